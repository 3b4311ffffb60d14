"""What a statement of each known kind says (protocol/02-records.md, R-44 to R-49, and its CDDL).

Owns the shapes alone: whether a claim is believed, and what follows from it, is decided by the part
that uses it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from meshnode.core import shapes
from meshnode.core.encoding import MalformedRecordError, decode, encode
from meshnode.core.entries import ItemName, Reason
from meshnode.core.identifiers import Digest, Kid
from meshnode.core.limits import RISK_MAX, STATEMENT_BODY_BYTES_MAX, TREE_SIZE_MAX

NOTE_BYTES_MAX: Final = 1024
DAY_SECONDS: Final = 86_400


class Problem(Enum):
    """What is wrong with a catalogue, an object or a payload."""

    OTHER = 0
    CONTENT = 1
    PLACE = 2
    TIME = 3
    NOT_RETRIEVABLE = 4
    LICENCE = 5
    PERSONAL_DATA = 6


class Cause(Enum):
    """Why a payload or a catalogue is at risk; the protocol numbers them and no more."""

    C0, C1, C2, C3, C4, C5 = range(6)


@dataclass(frozen=True, slots=True)
class HeldExtents:
    key_start: bytes
    extents: int
    rice: int
    gaps: bytes


@dataclass(frozen=True, slots=True)
class Holding:
    """Extents that the issuer holds: `capacity` and `free` are in extents of 1 GiB."""

    capacity: int
    free: int
    uptime_permille: int
    operator: str | None
    jurisdiction: str | None
    held: tuple[HeldExtents, ...]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An IPv4 (4 bytes) or IPv6 (16 bytes) address and a TCP port."""

    address: bytes
    port: int


@dataclass(frozen=True, slots=True)
class Provider:
    """Where the issuer serves a payload by BitTorrent, or where it is called as a peer that holds
    the bytes of a catalogue (R-93).
    """

    endpoints: tuple[Endpoint, ...]


@dataclass(frozen=True, slots=True)
class SeenMirror:
    """What was seen of one mirror of a payload; `verified` in unix seconds."""

    url_sha256: Digest
    verified: int | None
    wrong: int
    unreachable: int


@dataclass(frozen=True, slots=True)
class AtRisk:
    level: int
    cause: Cause
    until: int | None


@dataclass(frozen=True, slots=True)
class Load:
    """Totals of the last `seconds`; `received` and `sent` are bytes."""

    seconds: int
    received: int
    sent: int
    busy_permille: int
    peers: int


@dataclass(frozen=True, slots=True)
class Issue:
    """A report: what is wrong, about which item if about one, and in words."""

    problem: Problem
    about: ItemName | None
    note: str


@dataclass(frozen=True, slots=True)
class HeldLog:
    writer: Kid
    seq: int
    size: int


@dataclass(frozen=True, slots=True)
class Status:
    """How much of a catalogue the issuer holds; `behind` counts segments that it lacks."""

    root_version: int
    logs: tuple[HeldLog, ...]
    behind: int


@dataclass(frozen=True, slots=True)
class Rebuild:
    manifest: Digest
    environment: Digest
    sources: Digest
    result: Digest


@dataclass(frozen=True, slots=True)
class Deny:
    """What the issuer refuses to serve."""

    reason: Reason
    items: tuple[ItemName, ...]


Body = Holding | Provider | tuple[SeenMirror, ...] | AtRisk | Load | Issue | Status | Rebuild | Deny


def encode_body(body: Body) -> bytes:
    return encode(shapes.plain(body))


def decode_body(kind: str, raw: bytes) -> Body | None:
    """Return what a statement says; None where it says nothing to this peer (R-49)."""
    read = _READERS.get(kind)
    if read is None:
        return None
    try:
        body: Body = read(decode(raw, STATEMENT_BODY_BYTES_MAX))
    except MalformedRecordError:
        return None
    return body


_permille = shapes.integer(0, 1000)
_byte = shapes.integer(0, 255)
_item = shapes.row(ItemName, shapes.name, shapes.name)
_address = shapes.checked(
    shapes.blob(4, 16), lambda address: len(address) in (4, 16), "an address has 4 or 16 bytes"
)
_SHAPES: Final[Mapping[str, shapes.Shape]] = {
    "holding": shapes.row(
        Holding,
        shapes.count,
        shapes.count,
        _permille,
        shapes.optional(shapes.name),
        shapes.optional(shapes.text(2, 2)),
        shapes.listed(
            shapes.row(
                HeldExtents,
                shapes.blob(8),
                shapes.integer(1, 65_536),
                shapes.integer(0, 31),
                shapes.blob(0, STATEMENT_BODY_BYTES_MAX),
            ),
            0,
            1024,
        ),
    ),
    "provider": shapes.row(
        Provider,
        shapes.listed(shapes.row(Endpoint, _address, shapes.integer(1, 65_535)), 1, 4),
    ),
    "mirror-health": shapes.listed(
        shapes.row(SeenMirror, shapes.digest, shapes.optional(shapes.second), _byte, _byte), 1, 16
    ),
    "at-risk": shapes.row(
        AtRisk,
        shapes.integer(0, RISK_MAX),
        shapes.member(Cause),
        shapes.optional(shapes.second),
    ),
    "load": shapes.row(
        Load,
        shapes.integer(1, DAY_SECONDS),
        shapes.count,
        shapes.count,
        _permille,
        shapes.integer(0, 65_535),
    ),
    "issue": shapes.row(
        Issue, shapes.member(Problem), shapes.optional(_item), shapes.text(0, NOTE_BYTES_MAX)
    ),
    "status": shapes.row(
        Status,
        shapes.count,
        shapes.listed(
            shapes.row(HeldLog, shapes.kid, shapes.count, shapes.integer(0, TREE_SIZE_MAX)), 0, 64
        ),
        shapes.count,
    ),
    "rebuild": shapes.row(Rebuild, *[shapes.digest] * 4),
    "deny": shapes.row(Deny, shapes.member(Reason), shapes.listed(_item, 0, 64)),
}
_READERS: Final[Mapping[str, Callable[[object], Any]]] = {
    kind: shapes.reader(shape) for kind, shape in _SHAPES.items()
}
KINDS: Final = tuple(_SHAPES)
