"""A web server on loopback that serves one file or folder, rightly or in a way of its own."""

from __future__ import annotations

import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urlsplit

import trio

REQUEST_BYTES_MAX = 1 << 14


@dataclass
class Request:
    """`path` is decoded; `first` and `last` are the bytes asked for, None without a range."""

    target: str
    path: str
    first: int | None
    last: int | None


# Answers a request on a stream; returning ends the connection unless it says that it goes on.
Answer = Callable[[trio.abc.Stream, Request], Awaitable[bool]]


@dataclass
class WebSeed:
    """`requests` in order, over so many `connections`; `sent_bytes` counts bodies."""

    url: str = ""
    requests: list[Request] = field(default_factory=list)
    sent_bytes: int = 0
    connections: int = 0


@asynccontextmanager
async def web_seed(
    answer: Callable[[WebSeed], Answer], *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[WebSeed]:
    """Serve with what `answer` makes while the block runs."""
    seed = WebSeed()
    respond = answer(seed)

    async def serve(stream: trio.SocketStream) -> None:
        seed.connections += 1
        talk: trio.abc.Stream = stream
        if tls is not None:
            talk = trio.SSLStream(stream, tls, server_side=True, https_compatible=True)
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async with talk:
                while (request := await _request(talk)) is not None:
                    seed.requests.append(request)
                    if not await respond(talk, request):
                        return

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        port = listeners[0].socket.getsockname()[1]
        seed.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}/"
        yield seed
        nursery.cancel_scope.cancel()


async def _request(stream: trio.abc.Stream) -> Request | None:
    head = b""
    while b"\r\n\r\n" not in head and len(head) < REQUEST_BYTES_MAX:
        part = await stream.receive_some(REQUEST_BYTES_MAX)
        if not part:
            return None
        head += part
    target = head.split(b" ")[1].decode()
    span = re.search(rb"(?i)\r\nrange: *bytes=(\d+)-(\d+)", head)
    first, last = (int(span[1]), int(span[2])) if span else (None, None)
    return Request(target, unquote(urlsplit(target).path), first, last)


def response(status: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def files(
    folder: Path, change: Callable[[str, int, bytes], bytes] = lambda _path, _at, body: body
) -> Callable[[WebSeed], Answer]:
    """Serve the files of a folder by ranges; `change` may spoil a body that begins at a byte."""

    def made(seed: WebSeed) -> Answer:
        async def respond(stream: trio.abc.Stream, request: Request) -> bool:
            path = trio.Path(folder / request.path.lstrip("/"))
            if not await path.is_file():
                await stream.send_all(response("404 Not Found"))
                return True
            whole = await path.read_bytes()
            first = request.first or 0
            last = len(whole) - 1 if request.last is None else min(request.last, len(whole) - 1)
            body = change(request.path, first, whole[first : last + 1])
            where = f"Content-Range: bytes {first}-{last}/{len(whole)}"
            await stream.send_all(response("206 Partial Content", body, where))
            seed.sent_bytes += len(body)
            return True

        return respond

    return made


def says(status: str, body: bytes = b"", *headers: str) -> Callable[[WebSeed], Answer]:
    """Give everybody the same answer."""

    def made(_seed: WebSeed) -> Answer:
        async def respond(stream: trio.abc.Stream, _request: Request) -> bool:
            await stream.send_all(response(status, body, *headers))
            return True

        return respond

    return made


def falls_silent(after_bytes: int, size_bytes: int) -> Callable[[WebSeed], Answer]:
    """Promise what is asked for, send so many zeros of it, and then nothing."""

    def made(_seed: WebSeed) -> Answer:
        async def respond(stream: trio.abc.Stream, request: Request) -> bool:
            first, last = request.first or 0, request.last or size_bytes - 1
            if after_bytes:
                head = (
                    f"HTTP/1.1 206 Partial Content\r\nContent-Length: {last - first + 1}\r\n"
                    f"Content-Range: bytes {first}-{last}/{size_bytes}\r\n\r\n"
                )
                await stream.send_all(head.encode() + bytes(after_bytes))
            await trio.sleep_forever()

        return respond

    return made


def redirects(
    to: Callable[[Request], str], status: str = "302 Found"
) -> Callable[[WebSeed], Answer]:
    """Send everybody elsewhere; where to is made of the request."""

    def made(_seed: WebSeed) -> Answer:
        async def respond(stream: trio.abc.Stream, request: Request) -> bool:
            await stream.send_all(response("302 Found", b"", f"Location: {to(request)}"))
            return True

        return respond

    return made
