"""Asking other peers: one stream a question, with a deadline on every wait.

Implements the asking side of protocol/05-sync.md. Owns no decision: whom to ask, and what follows
from an answer, is the node's. An object's bytes are hashed as they come and kept when a stream
breaks, so that the next attempt goes on where this one ended.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, Protocol, assert_never

import trio

from meshnode.core import events as ev
from meshnode.core.encoding import MalformedRecordError
from meshnode.core.events import Check
from meshnode.core.identifiers import DIGEST_BYTES, CatalogueId, Digest, PeerId
from meshnode.core.limits import INTEGER_MAX, OBJECT_BYTES_MAX, TREE_SIZE_MAX
from meshnode.core.snapshots import begin
from meshnode.errors import PeerError
from meshnode.runtime.network.downloads import Download
from meshnode.runtime.network.frames import (
    ANSWER_BYTES_MAX,
    CHUNK_BYTES,
    FrameError,
    expect_bytes,
    expect_int,
    expect_list,
    read_frame,
    write_frame,
)
from meshnode.runtime.network.streams import OpenStream, Stream

DEADLINE_SECONDS: Final = 30.0
RESET_SECONDS_MAX: Final = 2.0  # telling the other side that we gave up is a courtesy
RECORDS_MAX: Final = 4096  # of one kind in one answer
TOLD_RECORDS_MAX: Final = 32  # signed records of others in one answer
OWN_RECORDS_MAX: Final = 8  # that a peer tells of itself
PEER_RECORD_BYTES_MAX: Final = 1024
KNOWN_MAX: Final = 256  # heads that the asker for a log names as known
SOURCES_REMEMBERED_MAX: Final = 1024

_CHUNK_FRAME_BYTES_MAX: Final = CHUNK_BYTES + 8  # with msgpack's own header


class Intake(Protocol):
    """Where fetched objects go. Called in worker threads; may raise StorageError."""

    def partial(self, digest: Digest) -> Path:
        """Return where the bytes of an object gather, across attempts and restarts."""
        ...

    def complete(self, digest: Digest, temporary: Path) -> None:
        """Take over a file whose bytes hash to `digest`: durable when this returns."""
        ...

    def read_object(self, digest: Digest) -> bytes | None:
        """Return an object that is held."""
        ...


class NotGivenError(PeerError):
    """The peer does not have it, is busy, or would not say: no fault of its own."""


class WrongBytesError(PeerError):
    """The bytes do not hash to the name under which they were asked for."""


class Requests:
    """Performs the node's requests.

    Args:
        open_stream: opens a stream to a connected peer; raises PeerError.
        records: signed, where this peer can be dialled; told to those whom it asks for contacts.
        deadline_seconds: for each wait: the stream, the answer, each chunk of an object.
    """

    def __init__(
        self,
        open_stream: OpenStream,
        intake: Intake,
        records: Callable[[], Sequence[bytes]],
        deadline_seconds: float = DEADLINE_SECONDS,
    ) -> None:
        self._open_stream = open_stream
        self._intake = intake
        self._records = records
        self._deadline_seconds = deadline_seconds
        self._fetching: dict[Digest, None] = {}
        # Who gave all bytes of a partial object; None when several did. Bounded.
        self._sources: dict[Digest, PeerId | None] = {}

    async def perform(self, request: ev.Request) -> ev.Event:
        """Ask, and return what came of it.

        `RequestFailed.check` is set only where the peer is at fault: not when it has nothing, is
        slow, or the stream broke.

        Raises:
            StorageError: this machine's disk refused.
        """
        try:
            return await self._perform(request)
        except WrongBytesError as error:
            return ev.RequestFailed(request, str(error), Check.CONTENT_HASH)
        except FrameError as error:
            return ev.RequestFailed(request, str(error), Check.FRAME)
        except PeerError as error:
            return ev.RequestFailed(request, str(error))
        except trio.TooSlowError:
            return ev.RequestFailed(request, f"no answer within {self._deadline_seconds:g} s")

    async def ask_contacts(self, peer: PeerId) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
        """Return signed records of the peer itself, and of others that it saw.

        Raises:
            PeerError, trio.TooSlowError: it did not say.
        """
        question: list[object] = ["contacts", list(self._records())[:OWN_RECORDS_MAX]]
        own, others = await self._ask(peer, question, "contacts", 2)
        return peer_records(own, OWN_RECORDS_MAX), peer_records(others, TOLD_RECORDS_MAX)

    async def ask_provider(self, peer: PeerId, key: bytes) -> int | None:
        """Return the TCP port at which the peer serves payload `key` by BitTorrent, if it does.

        Raises:
            PeerError, trio.TooSlowError: it did not say.
        """
        (port,) = await self._ask(peer, ["provider", key], "provider", 1)
        return None if port is None else expect_int(port, 1, 65535)

    async def _perform(self, request: ev.Request) -> ev.Event:
        match request:
            case ev.AskHeads(peer, catalogues):
                heads, roots = await self._ask(peer, ["heads", list(catalogues)], "heads", 2)
                return ev.HeadsReceived(peer, _records(heads), _root_names(roots))
            case ev.AskRoots(peer, catalogue, after):
                (roots,) = await self._ask(peer, ["roots", catalogue, after], "roots", 1)
                return ev.RootsReceived(peer, catalogue, _records(roots))
            case ev.AskLog(peer, log, wanted, known):
                names = [_head(name) for name in known[:KNOWN_MAX]]
                question: list[object] = ["log", log.catalogue, log.writer, _head(wanted), names]
                heads, start, entries = await self._ask(peer, question, "log", 3)
                start = expect_int(start, 0, TREE_SIZE_MAX)
                return ev.LogReceived(peer, log, _records(heads), start, _records(entries))
            case ev.AskSnapshot():
                return await self._snapshot(request)
            case ev.FetchObject():
                return await self._fetch(request)
            case _:
                assert_never(request)

    async def _ask(
        self, peer: PeerId, question: list[object], kind: str, fields: int
    ) -> list[object]:
        with trio.fail_after(self._deadline_seconds):
            async with self._stream(peer) as stream:
                return await _exchange(stream, question, kind, fields)

    async def _snapshot(self, request: ev.AskSnapshot) -> ev.Event:
        """Fetch a snapshot unless it is held, and check all of it that can be checked alone."""
        ref = request.ref
        raw = await trio.to_thread.run_sync(self._intake.read_object, ref.object)
        if raw is None:
            await self._fetch(ev.FetchObject(request.peer, ref.object, ref.size_bytes))
            raw = await trio.to_thread.run_sync(self._intake.read_object, ref.object)
        try:
            beginning = await trio.to_thread.run_sync(begin, request.log, ref, raw or b"")
        except MalformedRecordError as error:
            raise NotGivenError(f"the snapshot cannot be used: {error}") from error
        return ev.SnapshotReceived(request.peer, request.log, beginning)

    # --- Objects ----------------------------------------------------------------------------------
    async def _fetch(self, request: ev.FetchObject) -> ev.Event:
        digest = request.digest
        if digest in self._fetching:
            raise NotGivenError("the object is being fetched already")
        if not 0 <= request.size_bytes <= OBJECT_BYTES_MAX:
            raise NotGivenError(f"an object of {request.size_bytes} bytes is not fetched")
        self._fetching[digest] = None
        try:
            path = self._intake.partial(digest)
            download = await trio.to_thread.run_sync(Download, path, digest, request.size_bytes)
            with download:
                await self._fill(download, request)
                await self._check(download, request)
            await trio.to_thread.run_sync(self._intake.complete, digest, path)
        finally:
            del self._fetching[digest]
        return ev.ObjectStored(digest)

    async def _fill(self, download: Download, request: ev.FetchObject) -> None:
        if download.is_whole:
            return
        self._remember_source(request, resumed=download.offset > 0)
        async with self._stream(request.peer) as stream:
            with trio.fail_after(self._deadline_seconds):
                question = ["object", request.digest, download.offset]
                (size,) = await _exchange(stream, question, "object", 1)
            if size != request.size_bytes:
                # Another catalogue may have named the same bytes with their true size.
                raise NotGivenError(f"the peer's object has {size} bytes, not {request.size_bytes}")
            while not download.is_whole:
                due = min(CHUNK_BYTES, request.size_bytes - download.offset)
                with trio.fail_after(self._deadline_seconds):
                    frame = await read_frame(stream, _CHUNK_FRAME_BYTES_MAX)
                # Of full size, so that nobody holds a download for days with a byte a frame.
                await trio.to_thread.run_sync(download.take, expect_bytes(frame, due))

    async def _check(self, download: Download, request: ev.FetchObject) -> None:
        source = self._sources.pop(request.digest, None)
        if download.is_right:
            return
        await trio.to_thread.run_sync(download.discard)
        if source is None:
            # Parts came from several peers, or before a restart: begin anew, blame nobody.
            raise NotGivenError("the parts of several attempts are not the object")
        raise WrongBytesError(
            f"{request.size_bytes} bytes that are not object {request.digest.hex()}"
        )

    def _remember_source(self, request: ev.FetchObject, *, resumed: bool) -> None:
        same = self._sources.pop(request.digest, None) == request.peer
        self._sources[request.digest] = request.peer if same or not resumed else None
        if len(self._sources) > SOURCES_REMEMBERED_MAX:
            del self._sources[next(iter(self._sources))]

    @asynccontextmanager
    async def _stream(self, peer: PeerId) -> AsyncIterator[Stream]:
        with trio.fail_after(self._deadline_seconds):
            stream = await self._open_stream(peer)
        try:
            yield stream
            with trio.fail_after(self._deadline_seconds):
                await stream.close()
        except BaseException:
            with trio.move_on_after(RESET_SECONDS_MAX, shield=True), suppress(PeerError):
                await stream.reset()
            raise


async def _exchange(stream: Stream, question: list[object], kind: str, fields: int) -> list[object]:
    """Ask one question and return the fields of its answer."""
    await write_frame(stream, question)
    answer = expect_list(await read_frame(stream, ANSWER_BYTES_MAX), 1 + fields)
    match answer:
        case ["none"]:
            raise NotGivenError("the peer does not have it")
        case ["busy"]:
            raise NotGivenError("the peer is busy")
        case ["refused"]:
            raise NotGivenError("the peer refused the question")
        case [said, *values] if said == kind and len(values) == fields:
            return values
        case _:
            raise FrameError(f"the answer to {question[0]!r} is not a {kind!r}")


def peer_records(value: object, number_max: int) -> tuple[bytes, ...]:
    """Return a list of peer records, unread; raises FrameError."""
    records = tuple(expect_bytes(raw) for raw in expect_list(value, number_max))
    if any(len(raw) > PEER_RECORD_BYTES_MAX for raw in records):
        raise FrameError("a peer record is too long")
    return records


def _head(name: ev.HeadName) -> list[object]:
    return [name.seq, name.digest]


def _root_names(value: object) -> tuple[ev.RootName, ...]:
    return tuple(
        ev.RootName(
            CatalogueId(expect_bytes(catalogue, DIGEST_BYTES)),
            expect_int(version, 1, INTEGER_MAX),
            Digest(expect_bytes(digest, DIGEST_BYTES)),
        )
        for catalogue, version, digest in (
            _exactly(3, name) for name in expect_list(value, RECORDS_MAX)
        )
    )


def _exactly(length: int, value: object) -> list[object]:
    fields = expect_list(value, length)
    if len(fields) != length:
        raise FrameError(f"{len(fields)} fields where {length} are due")
    return fields


def _records(value: object) -> tuple[bytes, ...]:
    return tuple(expect_bytes(raw) for raw in expect_list(value, RECORDS_MAX))
