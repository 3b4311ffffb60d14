"""A small HTTP mirror for tests and the demo: one folder, byte ranges, a rate limit.

`python -m meshnode.demo.mirror FOLDER --rate 4000000` serves until it is stopped.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import trio
from hypercorn.config import Config
from hypercorn.trio import serve

_PART_BYTES: Final = 32 << 10  # small against any rate, so that the flow is even
_RANGE: Final = re.compile(rb"bytes=(\d{0,18})-(\d{0,18})")

_Message = MutableMapping[str, Any]
_Send = Callable[[_Message], Awaitable[None]]
_Receive = Callable[[], Awaitable[_Message]]


@dataclass(slots=True)
class Mirror:
    """A running mirror: its URL, and the body bytes it has sent."""

    url: str
    served_bytes: int = 0
    requests: int = 0


@asynccontextmanager
async def serve_directory(
    folder: Path,
    *,
    bytes_per_second: int = 0,
    change: Callable[[bytes], bytes] = bytes,
    host: str = "127.0.0.1",
    port: int = 0,
) -> AsyncIterator[Mirror]:
    """Serve the files below `folder` (read only; no listing) while the block runs.

    `bytes_per_second` bounds all answers together, 0 does not. `change` alters each part of a
    body and keeps its length: that is how a mirror with bad disks is played.
    """
    site = _Site(Path(await trio.Path(folder).resolve()), bytes_per_second, change)
    config = Config()
    config.bind = [f"{host}:{port}"]
    config.errorlog = None
    config.graceful_timeout = 0
    async with trio.open_nursery() as nursery:
        binds: list[str] = await nursery.start(_serve, site, config)
        site.mirror.url = f"{binds[0]}/"
        try:
            yield site.mirror
        finally:
            nursery.cancel_scope.cancel()


async def _serve(site: _Site, config: Config, task_status: trio.TaskStatus[list[str]]) -> None:
    await serve(site, config, task_status=task_status)  # type: ignore[arg-type, unused-ignore]


class _Site:
    """The ASGI application (https://asgi.readthedocs.io, HTTP connection scope)."""

    def __init__(
        self, folder: Path, bytes_per_second: int, change: Callable[[bytes], bytes]
    ) -> None:
        self.mirror = Mirror("")
        self._folder = folder
        self._bytes_per_second = bytes_per_second
        self._change = change
        self._free_at = 0.0  # when the next part may leave, on trio's clock

    async def __call__(
        self, scope: MutableMapping[str, Any], receive: _Receive, send: _Send
    ) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "http":
            self.mirror.requests += 1
            await self._answer(scope, send)

    async def _answer(self, scope: MutableMapping[str, Any], send: _Send) -> None:
        path = self._folder.joinpath(scope["path"].lstrip("/")).resolve()
        if not path.is_relative_to(self._folder) or not path.is_file():
            await _refuse(send, 404)
            return
        size = path.stat().st_size
        asked = dict(scope["headers"]).get(b"range")
        span = range(size) if asked is None else _span(asked, size)
        if span is None:
            await _refuse(send, 416, (b"content-range", b"bytes */%d" % size))
            return
        headers = [(b"accept-ranges", b"bytes"), (b"content-length", b"%d" % len(span))]
        if asked is not None:
            where = b"bytes %d-%d/%d" % (span.start, span.stop - 1, size)
            headers.append((b"content-range", where))
        status = 200 if asked is None else 206
        await send({"type": "http.response.start", "status": status, "headers": headers})
        if scope["method"] != "HEAD":
            await self._send_body(path, span, send)
        await send({"type": "http.response.body", "body": b""})

    async def _send_body(self, path: Path, span: range, send: _Send) -> None:
        async with await trio.open_file(path, "rb") as file:
            await file.seek(span.start)
            for at in range(span.start, span.stop, _PART_BYTES):
                part = await file.read(min(_PART_BYTES, span.stop - at))
                await self._wait_for_turn(len(part))
                body = self._change(part)
                await send({"type": "http.response.body", "body": body, "more_body": True})
                self.mirror.served_bytes += len(part)

    async def _wait_for_turn(self, count: int) -> None:
        if self._bytes_per_second == 0:
            return
        start = max(self._free_at, trio.current_time())
        self._free_at = start + count / self._bytes_per_second
        await trio.sleep_until(self._free_at)


async def _live(receive: _Receive, send: _Send) -> None:
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return


async def _refuse(send: _Send, status: int, *headers: tuple[bytes, bytes]) -> None:
    start = {"type": "http.response.start", "status": status}
    await send({**start, "headers": [*headers, (b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


def _span(asked: bytes, size: int) -> range | None:
    """Read one range of RFC 9110 §14.1.2; None if it cannot be satisfied or is another unit."""
    found = _RANGE.fullmatch(asked.strip())
    if not found or found.groups() == (b"", b""):
        return None
    first, last = found.groups()
    if not first:
        return range(max(0, size - int(last)), size) if int(last) else None
    stop = min(int(last) + 1, size) if last else size
    return range(int(first), stop) if int(first) < stop else None


async def _run(folder: Path, bytes_per_second: int, port: int) -> None:
    async with serve_directory(folder, bytes_per_second=bytes_per_second, port=port) as mirror:
        sys.stdout.write(f"{mirror.url}\n")
        sys.stdout.flush()
        await trio.sleep_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve a folder over HTTP, with a rate limit.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rate", type=int, default=0, help="bytes/s of all answers; 0: no limit")
    parser.add_argument("--port", type=int, default=0, help="TCP port; 0: the system chooses")
    options = parser.parse_args()
    trio.run(_run, options.folder, options.rate, options.port)


if __name__ == "__main__":
    main()
