"""A peer in a process of its own ends soon after SIGTERM, whatever it is in the middle of."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from meshnode.config import to_toml
from meshnode.control import Control, NotRunningError
from meshnode.runtime.home import Home
from tests.runtime.homes import WITHIN_SECONDS, loopback, made_home
from tests.runtime.test_operator_payloads import publish_payload

pytestmark = pytest.mark.slow

LOOK_SECONDS = 0.05  # a process says nothing when its socket is there
ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}


@asynccontextmanager
async def started(*arguments: str) -> AsyncIterator[trio.Process]:
    """Start Python with these arguments; it is killed if the block leaves it behind."""
    process = await trio.lowlevel.open_process(
        [sys.executable, *arguments],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


async def until_running(home: Home, process: trio.Process) -> None:
    while True:
        assert process.poll() is None, "it ended at once"
        try:
            await Control(home.control).ask("ping")
        except NotRunningError:
            await trio.sleep(LOOK_SECONDS)
        else:
            return


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = made_home(tmp_path / "home")
    home.config.write_text(to_toml(loopback()))
    return home


async def test_sigterm_ends_a_peer_whose_download_stalls_and_whose_asker_is_gone(
    home: Home, tmp_path: Path, nursery: trio.Nursery
):
    """The only mirror accepts connections and never answers."""
    content = tmp_path / "tile.tif"
    content.write_bytes(bytes(range(256)) * 10_000)
    called = trio.Event()

    async def say_nothing(_stream: trio.SocketStream) -> None:
        called.set()
        await trio.sleep_forever()

    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    nursery.start_soon(trio.serve_listeners, say_nothing, listeners)
    with trio.fail_after(WITHIN_SECONDS):
        async with started("-m", "meshnode", "run", "--home", str(home.root)) as peer:
            await until_running(home, peer)
            await publish_payload(home, content, mirrors=[f"http://127.0.0.1:{port}/"])
            async with trio.open_nursery() as asker:
                asker.start_soon(lambda: Control(home.control).ask("get", item="a"))
                await called.wait()
                asker.cancel_scope.cancel()
            peer.send_signal(signal.SIGTERM)
            assert await peer.wait() == 0


STUCK = """
import time
from contextlib import asynccontextmanager
from pathlib import Path
import trio
from meshnode.config import Config
from meshnode.runtime import service

@asynccontextmanager
async def stuck(root, config, *, online):
    print("ready", flush=True)
    yield None
    while True:
        time.sleep(3600)

service.GRACE_SECONDS = 0.5
service.running = stuck
trio.run(service.serve, Path(), Config())
"""


async def test_a_peer_that_something_holds_up_is_ended_by_the_system():
    with trio.fail_after(WITHIN_SECONDS):
        async with started("-c", STUCK) as process:
            assert process.stdout is not None
            assert (await process.stdout.receive_some()).startswith(b"ready")
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == -signal.SIGALRM
