"""Peers of the demo, each a process of its own, driven as a person would: by the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from meshnode.control import Control, Message, NotRunningError
from meshnode.errors import MeshnodeError, StorageError

START_SECONDS_MAX = 60.0  # a start costs about two seconds of CPU; the machine may be busy
STOP_SECONDS_MAX = 10.0
MESHNODE = (sys.executable, "-m", "meshnode")


class PeerProcess:
    """One peer: its data directory, and the process while it runs."""

    def __init__(self, name: str, home: Path) -> None:
        self.name = name
        self.home = home
        self.control = Control(home / "control.sock")
        self.log = home.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    async def command(self, *arguments: str) -> Any:  # noqa: ANN401 - JSON
        """Run `meshnode ARGUMENTS --json` on this home and return what it prints.

        Raises:
            MeshnodeError: it failed, with its own message.
        """
        command = [*MESHNODE, *arguments, "--json"]
        environment = {**os.environ, "MESHNODE_HOME": str(self.home)}
        done = await trio.run_process(
            command, env=environment, capture_stdout=True, capture_stderr=True, check=False
        )
        if done.returncode:
            raise _failure(arguments, done.stderr.decode(errors="replace"))
        return json.loads(done.stdout) if done.stdout.strip() else None

    async def start(self) -> None:
        """Start the process and wait until it answers."""
        environment = {**os.environ, "MESHNODE_HOME": str(self.home)}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - it outlives this call
                [*MESHNODE, "run"], env=environment, stdout=log, stderr=log, start_new_session=True
            )
        with trio.move_on_after(START_SECONDS_MAX):
            while self._process.poll() is None:
                try:
                    await self.control.ask("ping")
                except NotRunningError:
                    await trio.sleep(0.1)
                else:
                    return
        raise StorageError(
            f"peer {self.name} did not start: {self.last_words()}", hint=f"see {self.log}"
        )

    def kill(self) -> None:
        """End it at once (SIGKILL), as a power cut would end the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    async def stop(self) -> int:
        """Ask it to end (SIGTERM); return its exit status."""
        process, self._process = self._process, None
        if process is None:
            return 0
        process.send_signal(signal.SIGTERM)
        with trio.move_on_after(STOP_SECONDS_MAX, shield=True):
            return await trio.to_thread.run_sync(process.wait, abandon_on_cancel=True)
        process.kill()
        return process.wait()

    async def until(self, is_so: Callable[[Message], bool], seconds_max: float) -> Message:
        """Wait until the peer's status is as asked; return it.

        Raises:
            StorageError: it was not in time.
        """
        status: Message = {}
        with trio.move_on_after(seconds_max):
            async with aclosing(self.control.follow("watch")) as messages:
                async for message in messages:
                    status = message["event"]
                    if is_so(status):
                        return status
        raise StorageError(
            f"peer {self.name} did not get there in {seconds_max:.0f} s: it says {_brief(status)}",
            hint=f"see {self.log}",
        )

    def last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "its log is empty"


@asynccontextmanager
async def all_stopped(peers: list[PeerProcess]) -> AsyncIterator[None]:
    """Leave no process behind, whatever happens."""
    try:
        yield
    finally:
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as nursery:
                for peer in peers:
                    nursery.start_soon(peer.stop)


def _failure(arguments: tuple[str, ...], stderr: str) -> MeshnodeError:
    command = " ".join(("meshnode", *arguments))
    try:
        said = json.loads(stderr.strip().splitlines()[-1])["error"]
    except (ValueError, IndexError, KeyError, TypeError):
        return StorageError(f"`{command}` failed: {stderr.strip()[-500:]}")
    return StorageError(f"`{command}` failed: {said['message']}", hint=said["hint"])


def _brief(status: Message) -> str:
    heads = {
        catalogue["title"]: [log["seq"] for log in catalogue["logs"]]
        for catalogue in status.get("catalogues", [])
    }
    return f"backlog {status.get('backlog')}, logs {heads}"
