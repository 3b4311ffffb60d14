"""Entries of one branch, and what a snapshot of them lists (L-100); snapshots that lie (L-103).

Which entries are listed is written by hand from the rules, not computed.
"""

from __future__ import annotations

from typing import Any

from tests.protocol.examples import CATALOGUE, COLLECTION, START, WRITER, digest
from tests.protocol.plain import encode, frontier, sha256

Entry = list[object]
FIRST, SECOND = "https://first.example/o/", "https://second.example/o/"


def _collection(name: str, document: str) -> Entry:
    return ["collection+", 1, 0, name, [digest(document), 700]]


def _segment(name: str, *replaces: str, collection: str = COLLECTION) -> Entry:
    box = [-1_400_000_000, 420_000_000, -520_000_000, 830_000_000]
    old = [digest(each) for each in replaces]
    return ["segment+", 1, 0, collection, [digest(name), 48_213, 250, 1], box, [None, None], old]


def _segment_gone(name: str, reason: int = 0, collection: str = COLLECTION) -> Entry:
    return ["segment-", 1, 0, collection, digest(name), reason]


def _payload(*mirrors: str) -> Entry:
    hashes = [digest("info v2"), None]
    parts = [digest("file list"), 900], 33_554_432, 1_048_576, hashes, [digest("torrent"), 4_000]
    return ["payload+", 1, 0, COLLECTION, digest("payload"), *parts, list(mirrors), 1]


def _mirror(add: list[str], drop: list[str]) -> Entry:
    return ["mirror", 1, 0, COLLECTION, digest("payload"), add, drop]


def _risk(level: int) -> Entry:
    return ["risk", 1, 0, COLLECTION, digest("payload"), level, START]


def _release(name: str) -> Entry:
    return ["release+", 1, 0, COLLECTION, name, None, [digest("payload")], None, None]


ITEMS_GONE: Entry = ["item-", 1, 0, COLLECTION, ["tile-17"], 4, None]
PAYLOAD_GONE: Entry = ["payload-", 1, 0, COLLECTION, digest("payload"), 4]
UNKNOWN: Entry = ["aurora+", 1, 0, b"\x01"]

# (what it shows, entries by rising index without their clocks, indices that are listed)
CASES: list[tuple[str, list[Entry], list[int]]] = [
    ("one entry is listed", [_segment("a")], [0]),
    ("the newest document of a collection", [_collection("c", "1"), _collection("c", "2")], [1]),
    ("each collection for itself", [_collection("c", "1"), _collection("d", "1")], [0, 1]),
    ("a segment that was replaced", [_segment("a"), _segment("b", "a")], [1]),
    ("a segment that was withdrawn", [_segment("a"), _segment_gone("a")], [1]),
    ("the same bytes in another collection", [_segment("a"), _segment_gone("a", 0, "d")], [0, 1]),
    ("a segment that came again", [_segment("a"), _segment_gone("a"), _segment("a")], [1, 2]),
    ("what replaces is kept", [_segment("b", "a"), _segment("c", "b")], [0, 1]),
    ("every removal is kept", [_segment_gone("a"), _segment_gone("a", 4), ITEMS_GONE], [0, 1, 2]),
    ("the newest of two equal segments", [_segment("a"), _segment("a")], [1]),
    ("a payload that was published again", [_payload(FIRST), _payload(FIRST)], [1]),
    ("a mirror that only the first named", [_payload(FIRST), _payload(SECOND)], [0, 1]),
    (
        "until another says more of it",
        [_payload(FIRST), _payload(SECOND), _mirror([], [FIRST])],
        [1, 2],
    ),
    ("a payload that was withdrawn is kept", [_payload(), PAYLOAD_GONE], [0, 1]),
    ("mirrors, each URL stated again", [_mirror([FIRST], [SECOND]), _payload(FIRST, SECOND)], [1]),
    ("mirrors, one URL stated again", [_mirror([FIRST], [SECOND]), _payload(FIRST)], [0, 1]),
    ("the newest risk", [_risk(1), _risk(3), _payload()], [1, 2]),
    ("all releases", [_release("1"), _release("1")], [0, 1]),
    ("what is not known", [UNKNOWN, UNKNOWN], [0, 1]),
]


def snapshots() -> dict[str, Any]:
    return {
        "catalogue": CATALOGUE.hex(),
        "writer": WRITER.kid.hex(),
        "snapshots": [_case(*case) for case in CASES],
        "lies": [_lie(name, listed, leaves) for name, listed, leaves in _LIES],
    }


_TOLD = [_segment("a"), _segment("b"), _segment_gone("a"), _segment("c")]
_LIES: list[tuple[str, list[int], int]] = [
    ("a segment that counts is missing", [2, 3], 4),
    ("a removal is missing", [1, 3], 4),
    ("what was taken over is listed", [0, 1, 2, 3], 4),
    ("the frontier is another tree's", [1, 2, 3], 3),
]


def _raws(entries: list[Entry]) -> list[bytes]:
    return [encode([*entry[:2], clock, *entry[3:]]) for clock, entry in enumerate(entries, 1)]


def _snapshot(raws: list[bytes], listed: list[int], leaves: list[bytes]) -> bytes:
    kept = [[index, raws[index]] for index in listed]
    record = ["snapshot", 1, CATALOGUE, WRITER.kid, len(raws), frontier(leaves), kept]
    return encode(record)


def _case(name: str, entries: list[Entry], listed: list[int]) -> dict[str, Any]:
    raws = _raws(entries)
    raw = _snapshot(raws, listed, raws)
    return {
        "name": name,
        "entries": [each.hex() for each in raws],
        "listed": listed,
        "snapshot": raw.hex(),
        "sha256": sha256(raw).hex(),
    }


def _lie(name: str, listed: list[int], leaves: int) -> dict[str, Any]:
    """A well-formed snapshot that is not the one of these entries."""
    raws = _raws(_TOLD)
    tree = raws if leaves == len(raws) else [*raws[:leaves], raws[0]]
    raw = _snapshot(raws, listed, tree)
    return {"name": name, "entries": [each.hex() for each in raws], "snapshot": raw.hex()}
