"""A log of several histories: what counts of it before and after a closing (L-38, L-39, L-60).

Expectations are written by hand from the rules, not computed.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import cbor2

from tests.protocol import examples
from tests.protocol.examples import COLLECTION, ROOT_KEY, START, WRITER, Record, digest
from tests.protocol.plain import encode, sha256, signed


def _segment(name: str, clock: int) -> bytes:
    entry = deepcopy(examples.SEGMENT_ENTRY)
    entry[2], entry[4] = clock, [digest(name), 48_213, 250, 1]
    return encode(entry)


class History:
    """Signed heads, a segment each, and the digests of their payloads."""

    def __init__(self, before: History | None = None, heads: int = 0) -> None:
        self.heads: list[bytes] = before.heads[:heads] if before else []
        self.entries: list[bytes] = before.entries[:heads] if before else []
        self.ids: list[bytes] = before.ids[:heads] if before else []

    def add(self, name: str) -> History:
        seq = len(self.heads) + 1
        self.entries.append(_segment(name, seq))
        payload = encode(examples.head(seq, self.ids[-1] if self.ids else None, self.entries))
        self.heads.append(encode(signed("head", payload, WRITER)))
        self.ids.append(sha256(payload))
        return self

    def shown(self) -> dict[str, list[str]]:
        return {
            "heads": [raw.hex() for raw in self.heads],
            "entries": [raw.hex() for raw in self.entries],
        }


def forks() -> dict[str, Any]:
    """One writer's log with three histories: two part after head 2, the third at the beginning."""
    ours = History().add("one").add("two").add("ours 3").add("ours 4")
    theirs = History(ours, 2).add("theirs 3")
    early = History().add("early")
    root = examples.root()
    return {
        "root": encode(signed("root", encode(root), ROOT_KEY)).hex(),
        "writer": WRITER.kid.hex(),
        "collection": COLLECTION,
        "histories": {
            "ours": ours.shown(),
            "theirs": theirs.shown(),
            "early": early.shown(),
        },
        "evidence": [
            _evidence(1, ours.heads[0], early.heads[0]),
            _evidence(3, ours.heads[2], theirs.heads[2]),
        ],
        "kept": 1,  # the seq of the evidence that a peer keeps which holds all of it
        "states": [
            _state("nobody closes the log", None, None, "one two ours-3 ours-4 theirs-3 early"),
            _state("closed at our head 4", root, [4, ours.ids[3]], "one two ours-3 ours-4"),
            _state("closed at our head 3", root, [3, ours.ids[2]], "one two ours-3"),
            _state("closed at their head", root, [3, theirs.ids[2]], "one two theirs-3"),
            _state("closed at the common head", root, [2, ours.ids[1]], "one two"),
            _state("closed at the early head", root, [1, early.ids[0]], "early"),
            _state("closed with nothing", root, False, ""),
        ],
    }


def _evidence(seq: int, one: bytes, other: bytes) -> dict[str, Any]:
    sides = sorted((cbor2.loads(raw) for raw in (one, other)), key=lambda side: side[0])
    return {"seq": seq, "hex": encode(["fork", 1, *sides]).hex()}


def _state(name: str, root: Record | None, closed: object, counted: str) -> dict[str, Any]:
    segments = [digest(word.replace("-", " ")).hex() for word in counted.split()]
    closing = _closing(root, closed).hex() if root is not None else None
    return {"name": name, "closing": closing, "segments": segments}


def _closing(root: Record, closed: object) -> bytes:
    record = deepcopy(root)
    record[2:4] = [record[2] + 1, sha256(encode(root))]
    record[4] = START + 1
    record[9][0][3] = closed
    return encode(signed("root", encode(record), ROOT_KEY))
