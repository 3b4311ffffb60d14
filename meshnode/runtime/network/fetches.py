"""Objects from other peers: many on one stream, one after the other, kept when the stream breaks.

Implements the asking side of `object` and `objects` of protocol/05-sync.md. What is wanted of a
peer while a stream to it opens is asked for in one question. Each fetch is a task of its own: it
takes its object from the stream when its turn comes, and hands the stream on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

import trio

from meshnode.core.effects import FetchObject
from meshnode.core.events import ObjectStored
from meshnode.core.identifiers import Digest, PeerId
from meshnode.core.limits import OBJECT_BYTES_MAX
from meshnode.errors import PeerError
from meshnode.runtime.network.downloads import Download
from meshnode.runtime.network.exchange import (
    NotGivenError,
    RefusedError,
    exchange,
    give_up,
    opened,
    read_answer,
)
from meshnode.runtime.network.frames import CHUNK_BYTES, read_chunk, write_frame
from meshnode.runtime.network.streams import OpenStream, Stream, StreamBrokenError

OBJECTS_MAX: Final = 64  # in one question
CHUNKS_KEPT_TOGETHER: Final = 2  # half a MiB in memory for each object on its way
BYTES_PER_SECOND_MIN: Final = 32 << 10  # slower than that on average, and another peer is asked
SOURCES_REMEMBERED_MAX: Final = 1024
SINGLE_REMEMBERED_MAX: Final = 1024


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


class WrongBytesError(PeerError):
    """The bytes do not hash to the name under which they were asked for."""


@dataclass(slots=True, eq=False)
class _Wanted:
    """One object on its way; `turn` is set when the stream is at its answer, or broke before."""

    request: FetchObject
    download: Download
    turn: trio.Event = field(default_factory=trio.Event)

    @property
    def name(self) -> list[object]:
        return [self.request.digest, self.download.offset]


@dataclass(slots=True, eq=False)
class _Batch:
    """What is asked for in one question. Invariant: exactly one task has the stream."""

    wanted: list[_Wanted]
    stream: Stream | None = None
    failure: Exception | None = None

    def hand_on(self) -> None:
        """Let the next one take its answer; without a next one, nothing happens."""
        self.wanted.pop(0)
        if self.wanted:
            self.wanted[0].turn.set()

    def fail(self, failure: Exception) -> None:
        """Nothing more comes on this stream: tell all who wait."""
        self.failure = failure
        for each in self.wanted:
            each.turn.set()


class Fetches:
    """Fetches objects into the intake.

    Args:
        open_stream: opens a stream to a connected peer; raises PeerError.
        seconds: the deadline of each wait: the stream, the answer, each chunk of an object.
    """

    def __init__(self, open_stream: OpenStream, intake: Intake, seconds: float) -> None:
        self._open_stream = open_stream
        self._intake = intake
        self._seconds = seconds
        self._fetching: dict[Digest, None] = {}
        self._gathering: dict[PeerId, _Batch] = {}  # while their streams open
        self._single: dict[PeerId, None] = {}  # peers that know no question of many. Bounded
        # Who gave all bytes of a partial object; None when several did. Bounded.
        self._sources: dict[Digest, PeerId | None] = {}

    async def fetch(self, request: FetchObject) -> ObjectStored:
        """Return when the object is held.

        However the peer behaves, its answer ends within `attempt_seconds_max` of its turn.

        Raises:
            NotGivenError, WrongBytesError, FrameError, StreamBrokenError, trio.TooSlowError:
                it did not come, or not whole.
            StorageError: this machine's disk refused.
        """
        digest = request.digest
        if digest in self._fetching:
            raise NotGivenError("the object is being fetched already")
        if not 0 <= request.size_bytes <= OBJECT_BYTES_MAX:
            raise NotGivenError(f"an object of {request.size_bytes} bytes is not fetched")
        self._fetching[digest] = None
        try:
            with Download(self._intake.partial(digest), digest, request.size_bytes) as download:
                if download.is_begun:
                    await trio.to_thread.run_sync(download.resume)
                await self._fill_or_keep(_Wanted(request, download))
                is_right = await trio.to_thread.run_sync(self._finish, download, digest)
                self._check(request, is_right=is_right)
        finally:
            del self._fetching[digest]
        return ObjectStored(digest)

    async def _fill_or_keep(self, wanted: _Wanted) -> None:
        """Receive all of the object; if it ends early, what came is kept."""
        try:
            await self._fill(wanted)
        except BaseException:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(wanted.download.keep)
            raise

    def _finish(self, download: Download, digest: Digest) -> bool:
        """Store a whole object, or forget it; say whether it is right. In one worker thread: of
        small objects each visit there costs more than the work.
        """
        download.keep()
        is_right = download.is_right
        download.close()
        if is_right:
            self._intake.complete(digest, download.path)
        else:
            download.discard()
        return is_right

    async def _fill(self, wanted: _Wanted) -> None:
        if wanted.download.is_whole:
            return
        self._remember_source(wanted.request, resumed=wanted.download.offset > 0)
        peer = wanted.request.peer
        batch = self._gathering.get(peer)
        if peer in self._single:
            await self._alone(wanted)
        elif batch is None or len(batch.wanted) >= OBJECTS_MAX:
            await self._lead(peer, wanted)
        else:
            await self._follow(batch, wanted)

    async def _alone(self, wanted: _Wanted) -> None:
        """Ask for one object on a stream of its own."""
        async with opened(self._open_stream, wanted.request.peer, self._seconds) as stream:
            with trio.fail_after(self._seconds):
                answer = await exchange(stream, ["object", *wanted.name], "object", 1)
            await self._receive(stream, wanted, answer[0])

    async def _lead(self, peer: PeerId, wanted: _Wanted) -> None:
        """Open a stream, ask for all that is wanted of the peer by then, and take the first."""
        batch = self._gathering[peer] = _Batch([wanted])
        try:
            with trio.fail_after(self._seconds):
                batch.stream = await self._open_stream(peer)
        except (PeerError, trio.TooSlowError) as error:
            batch.fail(error)
            raise
        finally:
            if self._gathering.get(peer) is batch:
                del self._gathering[peer]
        await self._take(batch, wanted, question=_question(batch.wanted))

    async def _follow(self, batch: _Batch, wanted: _Wanted) -> None:
        batch.wanted.append(wanted)
        try:
            await wanted.turn.wait()
        except trio.Cancelled as error:
            await self._break(batch, error)  # nobody would hand the stream on
            raise
        await self._take(batch, wanted)

    async def _take(
        self, batch: _Batch, wanted: _Wanted, question: list[object] | None = None
    ) -> None:
        """Receive one object of a batch, whose turn it is, and hand the stream on."""
        if isinstance(batch.failure, RefusedError):
            await self._alone(wanted)
            return
        if batch.failure is not None or batch.stream is None:
            raise StreamBrokenError(f"an object before it did not come: {batch.failure}")
        try:
            is_given = await self._answer(batch.stream, wanted, question)
            is_last = len(batch.wanted) == 1
            batch.hand_on()
            if is_last:
                with trio.fail_after(self._seconds):
                    await batch.stream.close()
        except BaseException as error:
            await self._break(batch, error)
            if not isinstance(error, RefusedError) or question is None or len(question) != 2:
                raise
            self._remember_single(wanted.request.peer)
            await self._alone(wanted)
        else:
            if not is_given:
                raise NotGivenError("the peer does not have it")

    async def _answer(self, stream: Stream, wanted: _Wanted, question: list[object] | None) -> bool:
        """Read the answer for one object; say whether there was any."""
        try:
            with trio.fail_after(self._seconds):
                if question is not None:
                    await write_frame(stream, question)
                [size] = await read_answer(stream, "object", 1)
        except RefusedError:
            raise
        except NotGivenError:
            return False
        await self._receive(stream, wanted, size)
        return True

    async def _receive(self, stream: Stream, wanted: _Wanted, size: object) -> None:
        """Take the bytes that follow the answer."""
        request, download = wanted.request, wanted.download
        if size != request.size_bytes:
            # Another catalogue may have named the same bytes with their true size.
            raise NotGivenError(f"the peer's object has {size} bytes, not {request.size_bytes}")
        left_bytes = request.size_bytes - download.offset
        with trio.fail_after(attempt_seconds_max(left_bytes, self._seconds)):
            while not download.is_whole:
                await self._receive_some(stream, download, request.size_bytes)

    async def _receive_some(self, stream: Stream, download: Download, size_bytes: int) -> None:
        """Take some chunks, and keep them together: a worker thread for each costs more than it
        does. The last of them are kept when the stream has been handed on.
        """
        parts: list[bytes] = []
        offset = download.offset
        end = min(size_bytes, offset + CHUNKS_KEPT_TOGETHER * CHUNK_BYTES)
        try:
            while offset < end:
                # Of full size, so that nobody holds a download for days with a byte a frame.
                due = min(CHUNK_BYTES, size_bytes - offset)
                with trio.fail_after(self._seconds):
                    parts += await read_chunk(stream, due)
                offset += due
        finally:
            download.take(*parts)
        if not download.is_whole:
            await trio.to_thread.run_sync(download.keep)

    async def _break(self, batch: _Batch, error: BaseException) -> None:
        batch.fail(error if isinstance(error, Exception) else StreamBrokenError("it was given up"))
        if batch.stream is not None:
            await give_up(batch.stream)

    def _check(self, request: FetchObject, *, is_right: bool) -> None:
        """Raise unless the bytes were right, and say whose fault it is."""
        source = self._sources.pop(request.digest, None)
        if is_right:
            return
        if source is None:
            # Parts came from several peers, or before a restart: begin anew, blame nobody.
            raise NotGivenError("the parts of several attempts are not the object")
        raise WrongBytesError(
            f"{request.size_bytes} bytes that are not object {request.digest.hex()}"
        )

    def _remember_source(self, request: FetchObject, *, resumed: bool) -> None:
        same = self._sources.pop(request.digest, None) == request.peer
        self._sources[request.digest] = request.peer if same or not resumed else None
        if len(self._sources) > SOURCES_REMEMBERED_MAX:
            del self._sources[next(iter(self._sources))]

    def _remember_single(self, peer: PeerId) -> None:
        self._single[peer] = None
        if len(self._single) > SINGLE_REMEMBERED_MAX:
            del self._single[next(iter(self._single))]


def attempt_seconds_max(left_bytes: int, seconds: float) -> float:
    """Return how long a peer may take for so many bytes, if a single wait may take `seconds`."""
    return seconds + left_bytes / BYTES_PER_SECOND_MIN


def _question(wanted: Sequence[_Wanted]) -> list[object]:
    """Ask for one object as peers of every version understand it."""
    if len(wanted) == 1:
        return ["object", *wanted[0].name]
    return ["objects", [each.name for each in wanted]]
