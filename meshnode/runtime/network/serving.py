"""Answering other peers: one stream a question, within each peer's budget.

Implements the answering side of protocol/05-sync.md. A question that is not understood is refused;
a peer that asks for more than its share hears `busy` or is served more slowly.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass
from typing import BinaryIO, Final, Protocol

import trio

from meshnode.core.disclosure import Disclosure
from meshnode.core.heads import FIRST_SEQ, SNAPSHOT_SEQ
from meshnode.core.identifiers import DIGEST_BYTES, KID_BYTES, CatalogueId, Digest, Kid, PeerId
from meshnode.core.names import HeadName, LogId, RootName, Stretch
from meshnode.errors import PeerError, StorageError
from meshnode.runtime.network.budget import Budgets
from meshnode.runtime.network.comparing import disclosed
from meshnode.runtime.network.exchange import RESET_SECONDS_MAX
from meshnode.runtime.network.fetches import OBJECTS_MAX
from meshnode.runtime.network.frames import (
    REQUEST_BYTES_MAX,
    FrameError,
    expect_bytes,
    expect_int,
    expect_list,
    read_frame,
    write_frame,
)
from meshnode.runtime.network.outgoing import Outgoing, answer_frame, opened, send_part
from meshnode.runtime.network.requests import (
    DEADLINE_SECONDS,
    KNOWN_MAX,
    OWN_RECORDS_MAX,
    peer_records,
)
from meshnode.runtime.network.streams import Stream

IN_FLIGHT_MAX: Final = 32  # questions of one peer that are being answered
BYTES_PER_SECOND: Final = float(64 << 20)  # for one peer
CATALOGUES_MAX: Final = 1024  # in one question
COMPARING_BURST: Final = 128.0  # questions of one comparison, and some: each costs milliseconds
COMPARING_PER_SECOND: Final = 4.0
NUMBER_MAX: Final = 2**53 - 1


# The asker and its own signed records; returns ours, and those of others.
Exchange = Callable[[PeerId, Sequence[bytes]], tuple[Sequence[bytes], Sequence[bytes]]]
# The asker and a port; returns the IP that it is seen at, and whether it answered there.
CallBack = Callable[[PeerId, int], Awaitable[tuple[str, bool] | None]]
FindStretches = Callable[[LogId, HeadName, Sequence[HeadName]], Sequence[Stretch]]


class Library(Protocol):
    """What this peer can serve. Called in worker threads; may raise StorageError."""

    def heads(self, catalogues: Sequence[CatalogueId]) -> list[bytes]: ...

    def roots(self, catalogue: CatalogueId, after: int) -> list[bytes]:
        """Return signed roots of versions above `after`, rising: about 1 MiB at most."""
        ...

    def log(self, log: LogId, stretches: Sequence[Stretch]) -> tuple[list[bytes], list[bytes]]:
        """Return the signed heads and entries of these stretches: about 1 MiB at most."""
        ...

    def open_object(self, digest: Digest) -> BinaryIO | None: ...


def _holds_no_log(
    _log: LogId, _wanted: HeadName, _known: Sequence[HeadName]
) -> tuple[Stretch, ...]:
    return ()


async def _calls_nobody(_asker: PeerId, _port: int) -> None:
    return None


async def _never(_digest: Digest) -> bool:
    return False


class Serving:
    """Answers what peers ask.

    Args:
        contacts: told what the asker says of itself, returns records of our own and of others.
        provider: returns the BitTorrent port if this peer serves the payload `key`.
        newest_roots: names the newest roots of these catalogues that others should know of.
        withholds: says whether an object is served to nobody.
        denies: says whether nothing of a catalogue is told to anybody.
        arrives: waits a moment for an object that is on its way here; says whether it came.
        calls_back: calls a peer at a port of the IP that it is seen at; None if it asks too often.
        stretches: finds where the way to a head lies, from the newest known one on it.
        disclosure: answers those who compare what they hold; without it, this is version 1.
        deadline_seconds: for each wait: the question, and each frame of the answer.
    """

    def __init__(
        self,
        library: Library,
        contacts: Exchange,
        provider: Callable[[bytes], int | None],
        *,
        newest_roots: Callable[[Sequence[CatalogueId]], Sequence[RootName]] = lambda _: (),
        withholds: Callable[[Digest], Awaitable[bool]] = _never,
        denies: Callable[[CatalogueId], bool] = lambda _: False,
        arrives: Callable[[Digest], Awaitable[bool]] = _never,
        stretches: FindStretches = _holds_no_log,
        disclosure: Disclosure | None = None,
        calls_back: CallBack = _calls_nobody,
        deadline_seconds: float = DEADLINE_SECONDS,
    ) -> None:
        self._library = library
        self._contacts = contacts
        self._provider = provider
        self._newest_roots = newest_roots
        self._withholds = withholds
        self._denies = denies
        self._arrives = arrives
        self._stretches = stretches
        self._disclosure = disclosure
        self._calls_back = calls_back
        self._deadline_seconds = deadline_seconds
        self._in_flight: dict[PeerId, int] = {}
        self._budgets: Budgets[PeerId] = Budgets(BYTES_PER_SECOND, BYTES_PER_SECOND)
        self._comparing: Budgets[PeerId] = Budgets(COMPARING_PER_SECOND, COMPARING_BURST)

    async def serve(self, peer: PeerId, stream: Stream) -> None:
        """Answer the one question of a stream; whatever the peer does, this only returns."""
        try:
            with self._place(peer) as free:  # also for a question that never comes
                await (self._hear(peer, stream) if free else self._say(stream, "busy"))
            with trio.fail_after(self._deadline_seconds):
                await stream.close()
        except (PeerError, trio.TooSlowError):
            with trio.move_on_after(RESET_SECONDS_MAX), suppress(PeerError):
                await stream.reset()

    async def _hear(self, peer: PeerId, stream: Stream) -> None:
        with trio.fail_after(self._deadline_seconds):
            question = await read_frame(stream, REQUEST_BYTES_MAX)
        try:
            answer = await self._look_up(peer, question)
        except FrameError:
            await self._say(stream, "refused")
        except StorageError:
            await self._say(stream, "busy")  # ours to repair; the peer may ask elsewhere
        else:
            if isinstance(answer, _Objects):
                await self._send_objects(peer, stream, answer)
            else:
                await self._say(stream, *answer)

    async def _look_up(self, peer: PeerId, question: object) -> list[object] | _Objects:
        """Find what is asked for. Raises FrameError, StorageError."""
        match question:
            case ["heads", named]:
                asked_for = map(_catalogue, expect_list(named, CATALOGUES_MAX))
                catalogues = [name for name in asked_for if not self._denies(name)]
                heads = await trio.to_thread.run_sync(self._library.heads, catalogues)
                names = self._newest_roots(catalogues)
                return ["heads", heads, [[n.catalogue, n.version, n.digest] for n in names]]
            case ["roots", name, after]:
                return await self._roots(_catalogue(name), expect_int(after, 0, NUMBER_MAX))
            case ["log", name, writer, wanted, known]:
                log = LogId(_catalogue(name), Kid(expect_bytes(writer, KID_BYTES)))
                held = [_head(value, SNAPSHOT_SEQ) for value in expect_list(known, KNOWN_MAX)]
                return await self._way(log, _head(wanted), held)
            case ["object", name, offset]:
                return _Objects((_part([name, offset]),))
            case ["objects", named]:
                return _Objects(tuple(map(_part, expect_list(named, OBJECTS_MAX))))
            case ["hello" | "recon" | "records", *_] if self._disclosure is not None:
                free = self._comparing.spend(peer, 1, trio.current_time())
                return disclosed(self._disclosure, question) if free else ["busy"]
            case _:
                return await self._say_of_peers(peer, question)

    async def _say_of_peers(self, peer: PeerId, question: object) -> list[object]:
        """Answer what is about peers, and not about catalogues. Raises FrameError."""
        match question:
            case ["contacts", offered]:
                own, others = self._contacts(peer, peer_records(offered, OWN_RECORDS_MAX))
                return ["contacts", list(own), list(others)]
            case ["dialback", port]:
                called = await self._calls_back(peer, expect_int(port, 1, 65535))
                return ["busy"] if called is None else ["dialback", *called]
            case ["provider", key]:
                return ["provider", self._provider(expect_bytes(key, DIGEST_BYTES))]
            case _:
                raise FrameError("not a question of this protocol")

    async def _roots(self, catalogue: CatalogueId, after: int) -> list[object]:
        if self._denies(catalogue):
            return ["none"]
        roots = await trio.to_thread.run_sync(self._library.roots, catalogue, after)
        return ["roots", roots] if roots else ["none"]

    async def _way(self, log: LogId, wanted: HeadName, known: Sequence[HeadName]) -> list[object]:
        """Answer with the way to a head, from the newest of `known` on it."""
        if self._denies(log.catalogue):
            return ["none"]
        stretches = self._stretches(log, wanted, known)
        if not stretches:
            return ["none"]
        heads, entries = await trio.to_thread.run_sync(self._library.log, log, stretches)
        return ["log", heads, stretches[0].first, entries]

    async def _send_objects(self, peer: PeerId, stream: Stream, asked: _Objects) -> None:
        """Send what is here of all that is asked for. For one that is on its way there is a wait,
        but for no other of the question once that was in vain.
        """
        is_patient = True
        for digest, offset in asked.parts:
            try:
                found = await self._find(digest, offset)
                if found is None and is_patient:
                    is_patient = await self._arrives(digest)
                    found = await self._find(digest, offset) if is_patient else None
            except StorageError:
                await self._say(stream, "busy")  # ours to repair; the peer may ask elsewhere
                continue
            if found is None:
                await self._say(stream, "none")
            else:
                await self._send_object(peer, stream, found)

    async def _find(self, digest: Digest, offset: int) -> Outgoing | None:
        if await self._withholds(digest):
            return None
        return await trio.to_thread.run_sync(opened, self._library.open_object, digest, offset)

    async def _send_object(self, peer: PeerId, stream: Stream, found: Outgoing) -> None:
        before = answer_frame(found.size_bytes)
        with found.file:
            async with aclosing(found.parts()) as parts:
                async for part in parts:
                    await trio.sleep(self._budgets.overdraw(peer, len(part), trio.current_time()))
                    await send_part(stream, part, before, self._deadline_seconds)
                    before = b""

    async def _say(self, stream: Stream, *answer: object) -> None:
        with trio.fail_after(self._deadline_seconds):
            await write_frame(stream, list(answer))

    @contextmanager
    def _place(self, peer: PeerId) -> Iterator[bool]:
        """Count a question of the peer; False if it has too many already."""
        before = self._in_flight.get(peer, 0)
        if before >= IN_FLIGHT_MAX:
            yield False
            return
        self._in_flight[peer] = before + 1
        try:
            yield True
        finally:
            self._in_flight[peer] -= 1
            if not self._in_flight[peer]:
                del self._in_flight[peer]


@dataclass(frozen=True, slots=True)
class _Objects:
    """What is asked for: objects, and the byte at which each begins."""

    parts: tuple[tuple[Digest, int], ...]


def _part(value: object) -> tuple[Digest, int]:
    match expect_list(value, 2):
        case [name, offset]:
            digest = Digest(expect_bytes(name, DIGEST_BYTES))
            return digest, expect_int(offset, 0, NUMBER_MAX)
        case _:
            raise FrameError("not an object and an offset")


def _catalogue(name: object) -> CatalogueId:
    return CatalogueId(expect_bytes(name, DIGEST_BYTES))


def _head(value: object, seq_min: int = FIRST_SEQ) -> HeadName:
    match expect_list(value, 2):
        case [seq, digest]:
            return HeadName(
                expect_int(seq, seq_min, NUMBER_MAX), Digest(expect_bytes(digest, DIGEST_BYTES))
            )
        case _:
            raise FrameError("not the name of a head")
