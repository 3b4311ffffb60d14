"""What the node is told: with `effects`, `durable` and `exchange`, its whole interface.

`Node.handle(batch, now)` returns effects. The durable ones are on disk, in one transaction, before
any of the others starts: that order is the crash-safety contract. The events by which two peers
find out what one lacks are in `exchange`.
"""

from __future__ import annotations

from dataclasses import dataclass

from meshnode.core.denylist import DenyList
from meshnode.core.effects import Request
from meshnode.core.exchange import HelloReceived, ReconReceived, RecordsReceived
from meshnode.core.heads import SnapshotRef
from meshnode.core.identifiers import CatalogueId, Digest, PeerId
from meshnode.core.merkle import Frontier
from meshnode.core.names import LogId, RootName, SegmentRef, Ticket
from meshnode.core.snapshots import Beginning
from meshnode.core.verdicts import Check


@dataclass(frozen=True, slots=True)
class Now:
    """Both clocks of one moment: retries count in monotonic seconds, records in unix seconds."""

    monotonic: float
    unix: int


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
