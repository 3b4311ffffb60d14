"""`python -m benchmarks.parts`: what one entry's verification is made of, beside its SHA-256.

Each part is done for all entries in turn, again and again in one process; the best round counts.
What a step adds is its time less that of the steps which it contains.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable
from dataclasses import fields
from typing import Final

import libipld

from benchmarks import samples
from meshnode.core.encoding import decode
from meshnode.core.entries import SegmentAdded, numbered_entries
from meshnode.core.limits import ENTRY_BYTES_MAX
from meshnode.core.merkle import Frontier, leaf_hash

ENTRIES: Final = 5_000
ROUNDS: Final = 7

Step = Callable[[], object]


def main() -> None:
    seconds = _measured(_steps(samples.catalogue("entries", ENTRIES).entries))
    floor = seconds["SHA-256"]
    parts = {
        "SHA-256 of the bytes, the floor": floor,
        "leaf hash and tree": seconds["tree"],
        "libipld reads it": seconds["libipld"],
        "proof that it is canonical": seconds["decode"] - seconds["libipld"],
        "shapes": seconds["entry"] - seconds["decode"] - seconds["dataclass"],
        "the dataclass": seconds["dataclass"],
        "all that is verified": seconds["tree"] + seconds["entry"],
    }
    for part, each in parts.items():
        line = f"{part:32} {each / ENTRIES * 1e6:6.2f} us {each / floor:6.1f} x"
        sys.stdout.write(line + "\n")


def _steps(raws: tuple[bytes, ...]) -> dict[str, Step]:
    entries = numbered_entries(raws)
    names = [field.name for field in fields(SegmentAdded)]
    values = [tuple(getattr(entry, name) for name in names) for entry, _ in entries]
    return {
        "SHA-256": lambda: [hashlib.sha256(b"\x00" + raw).digest() for raw in raws],
        "tree": lambda: Frontier().extend([leaf_hash(raw) for raw in raws]),
        "libipld": lambda: [libipld.decode_dag_cbor(raw) for raw in raws],
        "decode": lambda: [decode(raw, ENTRY_BYTES_MAX) for raw in raws],
        "dataclass": lambda: [SegmentAdded(*each) for each in values],
        "entry": lambda: numbered_entries(raws),
    }


def _measured(steps: dict[str, Step]) -> dict[str, float]:
    """Return the CPU-seconds of each step, of its best round."""
    best = dict.fromkeys(steps, float("inf"))
    for _ in range(ROUNDS):
        for name, step in steps.items():
            began = time.process_time()
            step()
            best[name] = min(best[name], time.process_time() - began)
    return best


if __name__ == "__main__":
    main()
