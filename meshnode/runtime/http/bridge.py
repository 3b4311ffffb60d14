"""The bridge: web seeds on this machine for files that a mirror has at URLs without any order.

A BitTorrent engine asks a mirror for `<URL>/<path in the payload>` (BEP 19). Where a repository
gives every file a URL of its own, the engine asks here instead, and each request is passed on.
What comes is verified by the engine, as from any mirror.

Each mirror has an address of its own in 127.0.0.0/8 and a secret path, both of them random: other
programs of this machine cannot use it, and it passes on nothing but the files that it was made for.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from contextlib import aclosing
from typing import Final

import structlog
import trio

from meshnode.runtime.http.asgi import (
    Header,
    Receive,
    Scope,
    Send,
    cancel_when_gone,
    header,
    refuse,
)
from meshnode.runtime.http.guard import Guard
from meshnode.runtime.http.ranges import UnsatisfiableError, wanted_span
from meshnode.runtime.http.server import HttpServer
from meshnode.runtime.payloads.mirrors.bridging import Bridged, Remote
from meshnode.runtime.payloads.mirrors.range_client import (
    Fault,
    MirrorError,
    RangeClient,
    require_part,
)

OPEN_MAX: Final = 64  # mirrors at a time
_SECRET_BYTES: Final = 16
_STATUS: Final = {
    Fault.UNREACHABLE: 502,
    Fault.ERROR: 404,
    Fault.BUSY: 503,
    Fault.NO_RANGES: 502,
    Fault.WRONG: 404,
    Fault.FORBIDDEN: 403,
}

_log = structlog.get_logger()


class Bridge:
    """Serves while `run` runs."""

    def __init__(self, *, allow_local: bool) -> None:
        self._allow_local = allow_local
        self._nursery: trio.Nursery | None = None
        self._open = 0

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            try:
                await trio.sleep_forever()
            finally:
                self._nursery = None

    async def open(self, mirror: str, files: Mapping[str, Remote]) -> Bridged | None:
        """Serve files of a mirror by their path in the payload; None if it cannot be."""
        if self._nursery is None or self._open >= OPEN_MAX:
            return None
        prefix = f"/{secrets.token_hex(_SECRET_BYTES)}/"
        server = HttpServer(f"{_random_address()}:0", Guard())
        seed = _Seed(prefix, files, RangeClient(mirror, allow_local=self._allow_local))
        server.mount(prefix, seed)
        scope: trio.CancelScope = await self._nursery.start(self._serve, server, seed)
        if server.url is None:
            scope.cancel()
            return None
        host, _, port = server.url.removeprefix("http://").rpartition(":")
        return Bridged(server.url + prefix, (host, int(port)), scope.cancel)

    async def _serve(
        self, server: HttpServer, seed: _Seed, task_status: trio.TaskStatus[trio.CancelScope]
    ) -> None:
        self._open += 1
        try:
            with trio.CancelScope() as scope:
                async with aclosing(seed.client), trio.open_nursery() as nursery:
                    await nursery.start(server.run)
                    task_status.started(scope)
                    await trio.sleep_forever()
        finally:
            self._open -= 1


class _Seed:
    """The ASGI application of one mirror."""

    def __init__(self, prefix: str, files: Mapping[str, Remote], client: RangeClient) -> None:
        self._prefix = prefix
        self._files = files
        self.client = client

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        file = self._files.get(scope["path"].removeprefix(self._prefix))
        if scope["method"] != "GET" or file is None:
            await refuse(send, 404, "nothing is served here")
            return
        try:
            asked = wanted_span(file.size_bytes, header(scope, b"range"), None, "")
        except UnsatisfiableError:
            await refuse(send, 416, f"the file has {file.size_bytes} bytes")
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cancel_when_gone, receive, nursery.cancel_scope)
            await self._pass_on(file, asked, send)
            nursery.cancel_scope.cancel()

    async def _pass_on(self, file: Remote, asked: range | None, send: Send) -> None:
        """Send what the mirror sends; where it breaks off, the connection ends early."""
        span = range(file.size_bytes) if asked is None else asked
        has_begun = False
        try:
            async with self.client.asked(file.url, span) as answer:
                require_part(answer, span, file.size_bytes)
                has_begun = True
                await send(_start(span, file.size_bytes, is_part=asked is not None))
                left = len(span)
                async for chunk in answer.chunks:
                    body = {"type": "http.response.body", "body": chunk[:left], "more_body": True}
                    left -= len(body["body"])  # type: ignore[arg-type]
                    await send(body)
                if not left:
                    await send({"type": "http.response.body", "body": b""})
        except MirrorError as error:
            _log.info("a mirror behind the bridge failed", url=file.url, reason=str(error))
            if not has_begun:
                await refuse(send, _STATUS[error.fault], str(error), _retry_after(error))


def _start(span: range, size_bytes: int, *, is_part: bool) -> dict[str, object]:
    headers = [(b"content-length", b"%d" % len(span)), (b"accept-ranges", b"bytes")]
    if is_part:
        where = b"bytes %d-%d/%d" % (span.start, span.stop - 1, size_bytes)
        headers.append((b"content-range", where))
    status = 206 if is_part else 200
    return {"type": "http.response.start", "status": status, "headers": headers}


def _retry_after(error: MirrorError) -> list[Header]:
    seconds = round(error.pause_seconds)
    return [(b"retry-after", b"%d" % seconds)] if seconds else []


def _random_address() -> str:
    """Return an address of this machine that a stranger would have to guess."""
    return f"127.{1 + secrets.randbelow(254)}.{secrets.randbelow(256)}.{1 + secrets.randbelow(254)}"
