"""Asking other peers: one stream a question, with a deadline on every wait.

Implements the asking side of protocol/05-sync.md. Owns no decision: whom to ask, and what follows
from an answer, is the node's. `meshnode.runtime.network.fetches` fetches objects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_address
from typing import Final, assert_never

import trio

from meshnode.core.effects import AskHeads, AskLog, AskRoots, AskSnapshot, FetchObject, Request
from meshnode.core.encoding import MalformedRecordError
from meshnode.core.events import (
    Event,
    HeadsReceived,
    LogReceived,
    RequestFailed,
    RootsReceived,
    SnapshotReceived,
)
from meshnode.core.exchange import AskHello, AskRecon, AskRecords
from meshnode.core.identifiers import DIGEST_BYTES, CatalogueId, Digest, PeerId
from meshnode.core.limits import INTEGER_MAX, TREE_SIZE_MAX
from meshnode.core.names import HeadName, RootName
from meshnode.core.snapshots import begin
from meshnode.core.verdicts import Check
from meshnode.errors import PeerError
from meshnode.runtime.network.comparing import compare
from meshnode.runtime.network.exchange import NotGivenError, exchange_any, opened
from meshnode.runtime.network.fetches import Fetches, Intake, WrongBytesError
from meshnode.runtime.network.frames import (
    FrameError,
    expect_bytes,
    expect_int,
    expect_list,
    expect_text,
)
from meshnode.runtime.network.streams import OpenStream

DEADLINE_SECONDS: Final = 30.0
RECORDS_MAX: Final = 4096  # of one kind in one answer
TOLD_RECORDS_MAX: Final = 32  # signed records of others in one answer
OWN_RECORDS_MAX: Final = 8  # that a peer tells of itself
PEER_RECORD_BYTES_MAX: Final = 1024
IP_CHARACTERS_MAX: Final = 45  # the longest way to write an IPv6 address
KNOWN_MAX: Final = 256  # heads that the asker for a log names as known


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
        self._fetches = Fetches(open_stream, intake, deadline_seconds)

    async def perform(self, request: Request) -> Event:
        """Ask, and return what came of it.

        `RequestFailed.check` is set only where the peer is at fault: not when it has nothing, is
        slow, or the stream broke.

        Raises:
            StorageError: this machine's disk refused.
        """
        try:
            return await self._perform(request)
        except WrongBytesError as error:
            return RequestFailed(request, str(error), Check.CONTENT_HASH)
        except FrameError as error:
            return RequestFailed(request, str(error), Check.FRAME)
        except PeerError as error:
            return RequestFailed(request, str(error))
        except trio.TooSlowError:
            return RequestFailed(request, f"no answer within {self._deadline_seconds:g} s")

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

    async def ask_dialback(self, peer: PeerId, port: int) -> tuple[str, bool]:
        """Return the IP that a peer sees us at, and whether it could call us there.

        Raises:
            PeerError, trio.TooSlowError: it did not say.
        """
        ip, came_through = await self._ask(peer, ["dialback", port], "dialback", 2)
        if type(came_through) is not bool:
            raise FrameError("whether a call came through is true or false")
        return _ip(expect_text(ip, IP_CHARACTERS_MAX)), came_through

    async def _perform(self, request: Request) -> Event:
        match request:
            case AskHeads(peer, catalogues):
                heads, roots = await self._ask(peer, ["heads", list(catalogues)], "heads", 2)
                return HeadsReceived(peer, _records(heads), _root_names(roots))
            case AskRoots(peer, catalogue, after):
                (roots,) = await self._ask(peer, ["roots", catalogue, after], "roots", 1)
                return RootsReceived(peer, catalogue, _records(roots))
            case AskLog(peer, log, wanted, known):
                names = [_head(name) for name in known[:KNOWN_MAX]]
                question: list[object] = ["log", log.catalogue, log.writer, _head(wanted), names]
                heads, start, entries = await self._ask(peer, question, "log", 3)
                start = expect_int(start, 0, TREE_SIZE_MAX)
                return LogReceived(peer, log, _records(heads), start, _records(entries))
            case AskSnapshot():
                return await self._snapshot(request)
            case AskHello() | AskRecon() | AskRecords():
                return await compare(request, self._ask_any)
            case FetchObject():
                return await self._fetches.fetch(request)
            case _:
                assert_never(request)

    async def _ask(
        self, peer: PeerId, question: list[object], kind: str, fields: int
    ) -> list[object]:
        _, values = await self._ask_any(peer, question, {kind: fields})
        return values

    async def _ask_any(
        self, peer: PeerId, question: list[object], kinds: Mapping[str, int]
    ) -> tuple[str, list[object]]:
        with trio.fail_after(self._deadline_seconds):
            async with opened(self._open_stream, peer, self._deadline_seconds) as stream:
                return await exchange_any(stream, question, kinds)

    async def _snapshot(self, request: AskSnapshot) -> Event:
        """Fetch a snapshot unless it is held, and check all of it that can be checked alone."""
        ref = request.ref
        raw = await trio.to_thread.run_sync(self._intake.read_object, ref.object)
        if raw is None:
            await self._fetches.fetch(FetchObject(request.peer, ref.object, ref.size_bytes))
            raw = await trio.to_thread.run_sync(self._intake.read_object, ref.object)
        try:
            beginning = await trio.to_thread.run_sync(begin, request.log, ref, raw or b"")
        except MalformedRecordError as error:
            raise NotGivenError(f"the snapshot cannot be used: {error}") from error
        return SnapshotReceived(request.peer, request.log, beginning)


def peer_records(value: object, number_max: int) -> tuple[bytes, ...]:
    """Return a list of peer records, unread; raises FrameError."""
    records = tuple(expect_bytes(raw) for raw in expect_list(value, number_max))
    if any(len(raw) > PEER_RECORD_BYTES_MAX for raw in records):
        raise FrameError("a peer record is too long")
    return records


def _ip(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError as error:
        raise FrameError("not an IP address") from error


def _head(name: HeadName) -> list[object]:
    return [name.seq, name.digest]


def _root_names(value: object) -> tuple[RootName, ...]:
    return tuple(
        RootName(
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
