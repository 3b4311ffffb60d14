"""The gateway: files of payloads over HTTP, read in place.

`/payload/KEY/PATH` is the file PATH of the payload KEY (64 hexadecimal digits), also while none of
it is here: the bytes asked for are fetched from mirrors and peers, verified, then given. A path
that ends with a slash lists files, as JSON.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

import structlog
import trio

from meshnode.core.identifiers import Digest
from meshnode.errors import MeshnodeError, StorageError
from meshnode.runtime.http.addresses import PREFIX, path_of
from meshnode.runtime.http.asgi import (
    Header,
    Receive,
    Scope,
    Send,
    answer_json,
    cancel_when_gone,
    header,
    refuse,
)
from meshnode.runtime.http.library import Library, Readable, RefusedError
from meshnode.runtime.http.ranges import UnsatisfiableError, is_known, wanted_span
from meshnode.runtime.http.representation import Representation
from meshnode.runtime.network.network import Network
from meshnode.runtime.offers import providers
from meshnode.runtime.payloads.patience import CorruptSourcesError, StalledSourcesError
from meshnode.runtime.payloads.torrent_check import CheckedTorrent
from meshnode.runtime.peer import Peer
from meshnode.runtime.quota import QuotaError

LISTED_MAX: Final = 10_000  # files in one listing
PROVIDERS_AGAIN_SECONDS: Final = 60.0  # until peers are asked again who has the same payload
_ASKED_MAX: Final = 1_000  # payloads of which is remembered when peers were asked
_QUESTIONS_MAX: Final = 64  # payloads whose peers are still to be asked; more are not asked
_KEY_CHARS: Final = 64
_DONE: Final = {"type": "http.response.body", "body": b""}

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Reply:
    """The bytes `span` of file `index`, with the status and the headers that go before them."""

    readable: Readable
    index: int
    span: range
    status: int
    headers: tuple[Header, ...]


class Gateway:
    """An ASGI application. Peers are asked for sources only while `run` runs."""

    def __init__(self, peer: Peer, network: Network) -> None:
        self._peer = peer
        self._library = Library(peer)
        self._network = network
        self._asked: OrderedDict[Digest, float] = OrderedDict()
        self._ask, self._questions = trio.open_memory_channel[Digest](_QUESTIONS_MAX)

    async def run(self) -> None:
        """Ask peers who has what is read, until cancelled."""
        async with trio.open_nursery() as nursery:
            async for key in self._questions:
                nursery.start_soon(self._introduce, key)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._answer(scope, receive, send)
        except RefusedError as refusal:
            await refuse(send, refusal.status, str(refusal))

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            await refuse(send, 405, "payloads are only read", [(b"allow", b"GET, HEAD")])
            return
        key, path = _parsed(scope["path"])
        readable = await self._library.find(key)
        if not path or path.endswith("/"):
            await answer_json(send, listing(readable.torrent, path))
            return
        files = readable.torrent.files
        index = next((i for i, file in enumerate(files.files) if file.path == path), None)
        if index is None:
            raise RefusedError(404, f"the payload has no file {path!r}")
        file = Representation.of(files, index)
        if is_known(header(scope, b"if-none-match"), file.etag):
            await send({"type": "http.response.start", "status": 304, "headers": file.headers})
            await send(_DONE)
            return
        try:
            reply = _reply(scope, readable, index, file)
        except UnsatisfiableError:
            where = (b"content-range", b"bytes */%d" % file.size_bytes)
            await refuse(send, 416, f"the file has {file.size_bytes} bytes", [where])
            return
        await self._send_while_heard(reply, receive, send)

    async def _send_while_heard(self, reply: _Reply, receive: Receive, send: Send) -> None:
        """Send, and give up when the client goes away: nothing more is fetched for it then."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cancel_when_gone, receive, nursery.cancel_scope)
            await self._send(reply, send)
            nursery.cancel_scope.cancel()

    async def _send(self, reply: _Reply, send: Send) -> None:
        """Send headers only when the first bytes are at hand: until then an error has a status."""
        has_begun = False
        start = {"type": "http.response.start", "status": reply.status, "headers": reply.headers}
        try:
            async with aclosing(self._read(reply)) as parts:
                async for part in parts:
                    if not has_begun:
                        has_begun = True
                        await send(start)
                    await send({"type": "http.response.body", "body": part, "more_body": True})
        except MeshnodeError as error:
            if not has_begun:
                await refuse(send, _status_of(error), _sentence(error))
            else:  # the connection ends before the length that was promised
                _log.warning("reading in place was cut off", reason=str(error))
            return
        if not has_begun:
            await send(start)
        await send(_DONE)

    async def _read(self, reply: _Reply) -> AsyncGenerator[bytes, None]:
        torrents, torrent = self._network.torrents, reply.readable.torrent
        if not reply.span:
            return
        await torrents.open(torrent, cached=True)
        if torrents.lacks(torrent, reply.index, reply.span):
            self._ask_for_peers(torrent.key)
        mirrors = reply.readable.mirrors
        parts = torrents.read(torrent, reply.index, reply.span, mirrors=mirrors)
        async with aclosing(parts):
            async for part in parts:
                yield part

    # --- peers ------------------------------------------------------------------------------------
    def _ask_for_peers(self, key: Digest) -> None:
        now = trio.current_time()
        if now - self._asked.get(key, -math.inf) < PROVIDERS_AGAIN_SECONDS:
            return
        try:
            self._ask.send_nowait(key)
        except trio.WouldBlock:
            return
        self._asked[key] = now
        self._asked.move_to_end(key)
        while len(self._asked) > _ASKED_MAX:
            self._asked.popitem(last=False)

    async def _introduce(self, key: Digest) -> None:
        self._network.torrents.introduce(key, await providers(self._peer, self._network, key))


def listing(torrent: CheckedTorrent, folder: str) -> dict[str, Any]:
    """Return the files below a folder of the payload; raises RefusedError if there are none."""
    below = [file for file in torrent.files.files if file.path.startswith(folder)]
    if not below:
        raise RefusedError(404, f"the payload has no folder {folder!r}")
    return {
        "payload": torrent.key.hex(),
        "file_count": len(below),
        "files": [
            {
                "path": file.path,
                "href": path_of(torrent.key, file.path),
                "size_bytes": file.size_bytes,
                "sha256": file.sha256.hex() if file.sha256 else None,
            }
            for file in below[:LISTED_MAX]
        ],
    }


def _parsed(path: str) -> tuple[Digest, str]:
    key, _, rest = path.removeprefix(PREFIX).partition("/")
    try:
        if len(key) != _KEY_CHARS:
            raise ValueError(key)
        return Digest(bytes.fromhex(key)), rest
    except ValueError as error:
        raise RefusedError(404, f"{PREFIX}KEY/PATH: the key has 64 hexadecimal digits") from error


def _reply(scope: Scope, readable: Readable, index: int, file: Representation) -> _Reply:
    whole = range(file.size_bytes)
    span = None
    if scope["method"] == "GET":
        if_range = header(scope, b"if-range")
        span = wanted_span(file.size_bytes, header(scope, b"range"), if_range, file.etag)
    if span is None:
        length = (b"content-length", b"%d" % file.size_bytes)
        sent = whole if scope["method"] == "GET" else range(0)
        return _Reply(readable, index, sent, 200, (*file.headers, length))
    where = b"bytes %d-%d/%d" % (span.start, span.stop - 1, file.size_bytes)
    length = (b"content-length", b"%d" % len(span))
    headers = (*file.headers, length, (b"content-range", where))
    return _Reply(readable, index, span, 206, headers)


def _status_of(error: MeshnodeError) -> int:
    match error:
        case StalledSourcesError():
            return 504
        case CorruptSourcesError():
            return 502
        case QuotaError():
            return 507
        case StorageError():
            return 500
        case _:
            return 503


def _sentence(error: MeshnodeError) -> str:
    return f"{error} ({error.hint})" if error.hint else str(error)
