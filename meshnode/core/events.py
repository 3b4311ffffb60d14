"""The node's whole interface: what it is told (events) and what it asks for (effects).

`Node.handle(batch, now)` returns effects. The durable ones are on disk, in one transaction, before
any of the others starts: that order is the crash-safety contract. Each effect that does work ends
in an event, named beside it. Those by which two peers find out what one lacks are in `exchange`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, NewType

from meshnode.core.denylist import DenyList
from meshnode.core.exchange import (
    AskHello,
    AskRecon,
    AskRecords,
    HelloReceived,
    ReconReceived,
    RecordsReceived,
)
from meshnode.core.identifiers import CatalogueId, Digest, Kid, PeerId
from meshnode.core.statement_bodies import Endpoint
from meshnode.core.statements import StatementName

if TYPE_CHECKING:
    from meshnode.core.heads import SnapshotRef
    from meshnode.core.merkle import Frontier
    from meshnode.core.snapshots import Beginning

REMEMBERED_KEYS = 1024  # of segments

Ticket = NewType("Ticket", int)  # names one question of the operator; `Answer` carries it back


# --- Values ---------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Now:
    """Both clocks of one moment: retries count in monotonic seconds, records in unix seconds."""

    monotonic: float
    unix: int


@dataclass(frozen=True, slots=True, order=True)
class LogId:
    """One writer's log in one catalogue."""

    catalogue: CatalogueId
    writer: Kid


@dataclass(frozen=True, slots=True, order=True)
class HeadName:
    """A head of one log, by the digest of its payload."""

    seq: int
    digest: Digest


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of one branch of a log: heads after `after_seq` up to `seq`, entries `first` to
    `stop` - 1.
    """

    branch: int
    after_seq: int
    seq: int
    first: int
    stop: int


@dataclass(frozen=True, slots=True)
class SegmentRef:
    """What the log says of a segment; the file is checked against every field.

    `bbox` is (west, south, east, north) in 1e-7 degrees, west > east across the antimeridian;
    `span` the first and last item datetime in unix seconds (floor), None where items have none.
    """

    log: LogId
    collection: str
    digest: Digest
    size_bytes: int
    rows: int
    format: int
    clock: int
    bbox: tuple[int, int, int, int]
    span: tuple[int | None, int | None]

    @property
    def key(self) -> SegmentKey:
        return segment_key(self.log.catalogue, self.collection, self.digest)


@dataclass(frozen=True, slots=True, order=True)
class SegmentKey:
    """What the index knows a segment by: the same bytes may stand in several catalogues."""

    catalogue: CatalogueId
    collection: str
    digest: Digest


segment_key = lru_cache(REMEMBERED_KEYS)(SegmentKey)  # one segment is looked up many times


@dataclass(frozen=True, slots=True)
class StoredLog:
    """One branch of a log as it lies on disk: its own signed heads by rising seq, and its own
    entries, from index `first`. `beginning` is the snapshot that it begins with, if it does.
    """

    log: LogId
    heads: tuple[bytes, ...]
    entries: tuple[bytes, ...]
    first: int = 0
    beginning: bytes = b""


@dataclass(frozen=True, slots=True)
class Restored:
    """What the disk remembers at boot; all that follows from it the node derives again."""

    followed: tuple[CatalogueId, ...] = ()
    roots: tuple[tuple[CatalogueId, tuple[bytes, ...]], ...] = ()
    logs: tuple[StoredLog, ...] = ()  # the branches of a log by number
    forks: tuple[bytes, ...] = ()
    objects: frozenset[Digest] = frozenset()
    indexed: tuple[tuple[SegmentKey, int], ...] = ()  # with the clock it was indexed at
    stamps: tuple[StampEntry, ...] = ()
    deny_lists: tuple[KeepDenyList, ...] = ()
    statements: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class RootName:
    """A root, or a purge by a root of this version, by the digest of its payload."""

    catalogue: CatalogueId
    version: int
    digest: Digest


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """Rows of these items whose clock is smaller than `clock` are hidden.

    `erases`: for a reason for which no segment with such a row is served.
    """

    collection: str
    ids: tuple[str, ...]
    clock: int
    erases: bool = False


class Topic(Enum):
    """The topics of gossip; what a message is its first bytes say.

    Peers of version 1 know no signed statements: these have a topic of their own.
    """

    HEADS = "/meshnode/heads/1"
    STATEMENTS = "/meshnode/statements/1"
    CLAIMS = "/meshnode/statements/2"


class Check(Enum):
    """The checks of protocol/04-log-and-trust.md, "Order of checks": every refusal names one."""

    FRAME = "frame"  # length, byte budget, shape of a frame
    ENCODING = "encoding"  # strict decoding, schema, limits
    ROOT = "root chain"
    SIGNATURE = "signature"
    CHAIN = "head chain"  # prev links, seq, monotone root version
    TREE = "tree hash"
    CLOCK = "clock"
    CONTENT_HASH = "content hash"
    SEGMENT = "segment content"


class Verdict(Enum):
    """The three-way answer to gossip: only REJECT counts against the forwarder."""

    ACCEPT = "accept"
    IGNORE = "ignore"
    REJECT = "reject"


# --- Events: something happened -------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class PeerConnected:
    peer: PeerId


@dataclass(frozen=True, slots=True)
class PeerDisconnected:
    peer: PeerId


@dataclass(frozen=True, slots=True)
class AnnouncementReceived:
    """Gossip: an announcement of heads, or a notice; `raw` is untrusted."""

    peer: PeerId
    raw: bytes


@dataclass(frozen=True, slots=True)
class HeadsReceived:
    """The answer to `AskHeads`: signed heads, untrusted.

    `roots` names the newest roots that the peer holds of these catalogues, beyond version 1.
    """

    peer: PeerId
    raws: tuple[bytes, ...]
    roots: tuple[RootName, ...] = ()


@dataclass(frozen=True, slots=True)
class RootsReceived:
    """The answer to `AskRoots`: signed roots and purges by rising version, untrusted; may be empty.

    Several of one version where the institution signed several.
    """

    peer: PeerId
    catalogue: CatalogueId
    raws: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class LogReceived:
    """The answer to `AskLog`: signed heads by rising seq, entries from index `first`; untrusted."""

    peer: PeerId
    log: LogId
    heads: tuple[bytes, ...]
    first: int
    entries: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class SnapshotReceived:
    """The answer to `AskSnapshot`: the object is on disk and passed every check of its own."""

    peer: PeerId
    log: LogId
    beginning: Beginning


@dataclass(frozen=True, slots=True)
class SnapshotChecked:
    """Whether the snapshot made from the entries is the one that `ref` names; if so it is held.

    `listed` are the indices that it lists, `frontier` is the tree's at its index.
    """

    log: LogId
    ref: SnapshotRef
    is_true: bool
    frontier: Frontier
    listed: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class EntriesRecalled:
    """The entries of a branch that were dropped from memory, from its first own entry on."""

    log: LogId
    branch: int
    entries: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class RequestFailed:
    """A request ended without an answer; `check` is set when the peer is at fault."""

    request: Request
    reason: str
    check: Check | None = None


@dataclass(frozen=True, slots=True)
class ObjectStored:
    """The object is on disk, fsynced, and hashes to `digest`."""

    digest: Digest


@dataclass(frozen=True, slots=True)
class ObjectsPurged:
    """The objects are not on disk any more."""

    digests: tuple[Digest, ...]


@dataclass(frozen=True, slots=True)
class ObjectLost:
    """An object that was held is gone, since the disk damaged it: fetched anew if it counts."""

    digest: Digest


@dataclass(frozen=True, slots=True)
class SegmentIndexed:
    """The segment passed every check and its rows are searchable."""

    ref: SegmentRef


@dataclass(frozen=True, slots=True)
class SegmentRefused:
    """The segment's bytes are what the log names, but their content breaks the rules."""

    ref: SegmentRef
    reason: str


@dataclass(frozen=True, slots=True)
class Followed:
    """The operator follows a catalogue, with the roots he may already have (untrusted).

    Of a catalogue that is followed already, it brings roots: so a new root is published.
    """

    ticket: Ticket
    catalogue: CatalogueId
    roots: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Unfollowed:
    ticket: Ticket
    catalogue: CatalogueId


@dataclass(frozen=True, slots=True)
class Submitted:
    """Our own publisher extends one log; the objects that the entries name are already stored.

    The fields are those of `LogReceived`, and so are the checks.
    """

    ticket: Ticket
    heads: tuple[bytes, ...]
    first: int
    entries: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class DenyListChanged:
    """The operator puts `raw`, read as `deny_list`, in place of the list of this name.

    Empty: the list is taken away. `erase`: all that is denied is erased from the disk, too.
    """

    ticket: Ticket
    name: str
    raw: bytes
    deny_list: DenyList
    erase: bool = False


@dataclass(frozen=True, slots=True)
class Stated:
    """The operator has this peer say something: a statement that its own key has signed."""

    ticket: Ticket
    raw: bytes


@dataclass(frozen=True, slots=True)
class HolderCalled:
    """A peer was called at the addresses that it states.

    `kept_word` is False if it does not answer there, or has not what it stated to have.
    """

    peer: PeerId
    kept_word: bool


@dataclass(frozen=True, slots=True)
class BudgetsChanged:
    """The operator sets how many bytes each catalogue, all together, and single ones may have.

    None is no limit. They are the operator's settings: told again after each start.
    """

    ticket: Ticket
    each_bytes_max: int | None
    total_bytes_max: int | None
    own: tuple[tuple[CatalogueId, int], ...] = ()


@dataclass(frozen=True, slots=True)
class StorageFailed:
    """The disk refused a write (ENOSPC, EIO, …): the node goes on read-only."""

    reason: str


Event = (
    PeerConnected
    | PeerDisconnected
    | AnnouncementReceived
    | HeadsReceived
    | HelloReceived
    | ReconReceived
    | RecordsReceived
    | RootsReceived
    | LogReceived
    | SnapshotReceived
    | SnapshotChecked
    | EntriesRecalled
    | RequestFailed
    | ObjectStored
    | ObjectsPurged
    | ObjectLost
    | SegmentIndexed
    | SegmentRefused
    | Followed
    | Unfollowed
    | Submitted
    | DenyListChanged
    | Stated
    | HolderCalled
    | BudgetsChanged
    | StorageFailed
)


# --- Durable effects: on disk before anything else of the batch starts ----------------------------
@dataclass(frozen=True, slots=True)
class AdoptRoot:
    """Keep an authentic root, or a purge by a root of this version, beside others of it."""

    catalogue: CatalogueId
    version: int
    raw: bytes


@dataclass(frozen=True, slots=True)
class ExtendLog:
    """Append signed heads (by rising seq) and the entries from index `first` that they cover to a
    branch; one of a new number begins with them.

    `beginning`: a log that begins with this snapshot, in the place of all entries before `first`.
    """

    log: LogId
    heads: tuple[tuple[int, bytes], ...]  # (seq, signed head)
    first: int
    entries: tuple[bytes, ...]
    branch: int = 0
    beginning: bytes = b""


@dataclass(frozen=True, slots=True)
class KeepFork:
    """Keep this evidence, a `fork`, about the log in the place of what was kept of it."""

    log: LogId
    raw: bytes


@dataclass(frozen=True, slots=True)
class SetFollowed:
    catalogue: CatalogueId
    followed: bool


@dataclass(frozen=True, slots=True)
class StampEntry:
    """Remember when this peer stored an entry that erases: unix seconds, by its SHA-256."""

    catalogue: CatalogueId
    entry: Digest
    stored: int


@dataclass(frozen=True, slots=True)
class KeepDenyList:
    """Keep a deny list under its name; an empty one is not kept."""

    name: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class KeepStatement:
    """Keep a signed statement in the place of what was kept of this name."""

    name: StatementName
    raw: bytes


@dataclass(frozen=True, slots=True)
class DropStatements:
    """Keep nothing of these names: expired, of no use any more, or without room."""

    names: tuple[StatementName, ...]


Durable = (
    AdoptRoot
    | ExtendLog
    | KeepFork
    | SetFollowed
    | StampEntry
    | KeepDenyList
    | KeepStatement
    | DropStatements
)


# --- Effects: something to do ---------------------------------------------------------------------
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
