"""js-libp2p as a peer: `js/peer.js` in a process of its own, told what to do by JSON lines."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import trio

from meshnode.errors import UsageError

SOURCE: Final = Path(__file__).with_name("js")
FILES: Final = ("package.json", "package-lock.json", "peer.js")
NODE_VERSION_MIN: Final = 20
INSTALL_SECONDS_MAX: Final = 240
SAID_WITHIN_SECONDS: Final = 60.0  # far more than it takes: only a hang reaches it


class JsPeer:
    """A running peer: what it said so far, awaitable."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self._said: list[dict[str, Any]] = []
        self._more = trio.Event()

    @property
    def pid(self) -> int:
        return self._process.pid

    async def tell(self, **command: str) -> None:
        assert self._process.stdin is not None
        await self._process.stdin.send_all(json.dumps(command).encode() + b"\n")

    async def said(self, key: str, value: Any = None) -> Any:
        """Wait until it said `key`, with this value if one is named; return the value."""
        with trio.fail_after(SAID_WITHIN_SECONDS):
            while True:
                for line in self._said_so_far():
                    if key in line and value in (None, line[key]):
                        return line[key]
                await self._more.wait()

    async def count(self, key: str, number: int) -> None:
        """Wait until it said `key` so often."""
        with trio.fail_after(SAID_WITHIN_SECONDS):
            while sum(key in line for line in self._said_so_far()) < number:
                await self._more.wait()

    async def each(self, key: str) -> AsyncIterator[Any]:
        """Yield the value of `key` each time it said it, and says it from now on."""
        seen = 0
        while True:
            for line in self._said[seen:]:
                seen += 1
                if key in line:
                    yield line[key]
            if seen == len(self._said):
                await self._more.wait()

    async def listen(self) -> None:
        """Take what it says, until its output ends."""
        gathered = b""
        assert self._process.stdout is not None
        async for part in self._process.stdout:
            *lines, gathered = (gathered + part).split(b"\n")
            self._said += map(json.loads, lines)
            self._more.set()
            self._more = trio.Event()

    def _said_so_far(self) -> list[dict[str, Any]]:
        for line in self._said:
            assert "error" not in line, line["error"]
        return self._said


def install(folder: Path) -> Path:
    """Install what the lock names.

    Raises:
        UsageError: Node or npm is not here.
    """
    if reason := _missing():
        raise UsageError(reason, hint=f"install npm, and Node {NODE_VERSION_MIN} or newer")
    for name in FILES:
        shutil.copy(SOURCE / name, folder / name)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    subprocess.run(command, cwd=folder, check=True, timeout=INSTALL_SECONDS_MAX)
    return folder


@asynccontextmanager
async def js_peer(folder: Path) -> AsyncIterator[JsPeer]:
    """Run a peer from an installed folder; it ends with the block."""
    async with trio.open_nursery() as nursery:
        process = await trio.lowlevel.open_process(
            ["node", "peer.js"], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        peer = JsPeer(process)
        nursery.start_soon(peer.listen)
        try:
            yield peer
        finally:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
            nursery.cancel_scope.cancel()


def _missing() -> str:
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True)
    number = int(version.stdout.strip().lstrip("v").split(".")[0])
    return "" if number >= NODE_VERSION_MIN else f"node is of version {number}, too old"
