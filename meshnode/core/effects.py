"""What the node asks for. Each effect that does work ends in an event, named beside it."""

from __future__ import annotations

from dataclasses import dataclass

from meshnode.core.durable import Durable
from meshnode.core.exchange import AskHello, AskRecon, AskRecords
from meshnode.core.heads import SnapshotRef
from meshnode.core.identifiers import CatalogueId, Digest, PeerId
from meshnode.core.merkle import Frontier
from meshnode.core.names import HeadName, LogId, SegmentKey, SegmentRef, Stretch, Ticket, Withdrawal
from meshnode.core.statement_bodies import Endpoint
from meshnode.core.verdicts import Check, Topic


@dataclass(frozen=True, slots=True)
class Announce:
    """Gossip an announcement of heads, or a notice."""

    raw: bytes
    topic: Topic = Topic.HEADS


@dataclass(frozen=True, slots=True)
class AskHeads:
    """Ends in HeadsReceived or RequestFailed."""

    peer: PeerId
    catalogues: tuple[CatalogueId, ...]


@dataclass(frozen=True, slots=True)
class AskRoots:
    """Roots of a version above `after`. Ends in RootsReceived or RequestFailed."""

    peer: PeerId
    catalogue: CatalogueId
    after: int = 0  # 0: from the first
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class AskLog:
    """The way to the head `wanted`, from the newest of `known` on it, or from the first head.

    Ends in LogReceived or RequestFailed.
    """

    peer: PeerId
    log: LogId
    wanted: HeadName
    known: tuple[HeadName, ...]
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class AskSnapshot:
    """The snapshot with which a log that is not held may begin.

    Ends in SnapshotReceived or RequestFailed.
    """

    peer: PeerId
    log: LogId
    ref: SnapshotRef
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class FetchObject:
    """Ends in ObjectStored or RequestFailed."""

    peer: PeerId
    digest: Digest
    size_bytes: int
    attempt: int = 0


# `attempt` tells a request from an earlier one of the same, whose failure may come late.
Comparing = AskHello | AskRecon | AskRecords


Request = AskHeads | AskRoots | AskLog | AskSnapshot | FetchObject | Comparing


@dataclass(frozen=True, slots=True)
class CallHolder:
    """Connect to a peer that states to hold what nobody connected gives, at one of its endpoints.

    Ends in HolderCalled, and before it in PeerConnected if the peer answers.
    """

    peer: PeerId
    endpoints: tuple[Endpoint, ...]


@dataclass(frozen=True, slots=True)
class CheckSnapshot:
    """Make the snapshot at this frontier from the entries of these stretches; keep it as an object
    if it is the one that `ref` names. Ends in SnapshotChecked.
    """

    log: LogId
    ref: SnapshotRef
    frontier: Frontier
    stretches: tuple[Stretch, ...]


@dataclass(frozen=True, slots=True)
class IndexSegment:
    """Check the stored segment in a limited process and index it.

    Ends in SegmentIndexed or SegmentRefused.
    """

    ref: SegmentRef


@dataclass(frozen=True, slots=True)
class DropSegment:
    """Take a segment's rows out of the index; the bytes stay."""

    key: SegmentKey


@dataclass(frozen=True, slots=True)
class HideItems:
    """Hide rows of these items whose clock is smaller than `clock`, also those indexed later.

    `erases`: for a reason for which no segment with such a row is served.
    """

    catalogue: CatalogueId
    collection: str
    ids: tuple[str, ...]
    clock: int
    erases: bool = False


@dataclass(frozen=True, slots=True)
class SetHidden:
    """Make exactly these the withdrawals of a catalogue: what no longer counts shows again."""

    catalogue: CatalogueId
    withdrawals: tuple[Withdrawal, ...]

    @property
    def count(self) -> int:
        return len(self.withdrawals)


@dataclass(frozen=True, slots=True)
class ForgetCatalogue:
    """Take a catalogue that is no longer followed out of the index."""

    catalogue: CatalogueId


@dataclass(frozen=True, slots=True)
class PurgeObject:
    """Erase an object's bytes from the disk, and what the index keeps of deleted rows."""

    digest: Digest


@dataclass(frozen=True, slots=True)
class PurgeItems:
    """Erase rows of these items with a smaller clock, and the objects of segments that hold one.

    Ends in ObjectsPurged.
    """

    catalogue: CatalogueId
    collection: str
    ids: tuple[str, ...]
    clock: int


@dataclass(frozen=True, slots=True)
class StopPayload:
    """Stop serving a payload; its files stay."""

    key: Digest


@dataclass(frozen=True, slots=True)
class ServePayload:
    """Serve a payload again that was stopped, with the files that are still here."""

    key: Digest


@dataclass(frozen=True, slots=True)
class PurgePayload:
    """Stop serving a payload and erase its files, but for a publisher's own."""

    key: Digest


@dataclass(frozen=True, slots=True)
class Blame:
    """A peer's fault: counted against it, logged, shown."""

    peer: PeerId
    check: Check
    reason: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to the operator's question; `refusal` is empty when it was done."""

    ticket: Ticket
    refusal: str = ""


# What changes the index and the objects under it: carried out one after the other.
IndexWork = (
    IndexSegment | DropSegment | HideItems | SetHidden | ForgetCatalogue | PurgeObject | PurgeItems
)


@dataclass(frozen=True, slots=True)
class RecallEntries:
    """Read entries of one branch from disk that were dropped from memory: `first` to `stop` - 1.

    Ends in EntriesRecalled.
    """

    log: LogId
    branch: int
    first: int
    stop: int


Started = (
    Announce
    | Request
    | CallHolder
    | CheckSnapshot
    | RecallEntries
    | IndexWork
    | StopPayload
    | ServePayload
    | PurgePayload
    | Blame
    | Answer
)


Effect = Durable | Started
