"""Searching while much comes in: `python -m benchmarks.meanwhile --items 1000000`.

The first half of an archive is indexed, then the second half while one thread searches, all in one
process beside the one that checks, as in a peer. Told are searches a second before and meanwhile by
the wall-clock (so on a quiet machine only), the memory that the process has for itself alone
afterwards, and what it costs to make one more segment of 1,000 items visible.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from rich.console import Console

from benchmarks import archive, scenes
from benchmarks.archive import Archive
from benchmarks.large import LIMIT, sha256_us
from meshnode.runtime.index.index import Index
from meshnode.runtime.index.query import Query
from meshnode.runtime.segments.segment import write_segment

QUIET_SECONDS: Final = 10.0
_NEW: Final = range(10_000_000, 10_001_000)  # scenes that no archive has

err = Console(stderr=True, highlight=False)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.meanwhile", description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    asked = parser.parse_args()
    with err.status("making the archive") as status, tempfile.TemporaryDirectory() as folder:
        made = archive.made(asked.items, status.update)
        index = Index.open(Path(folder) / "index.db")
        half = len(made.refs) // 2
        archive.ingest(replace(made, refs=made.refs[:half]), index, status.update)
        figures = _rates(index, replace(made, refs=made.refs[half:]))
        figures["private_memory_mib"] = _private_bytes() / (1 << 20)
        figures["segment_visible_cpu_ms"] = _visible_ms(index, made, Path(folder))
        index.close()
    figures |= {"load": os.getloadavg()[0], "sha256_us": sha256_us()}
    sys.stdout.write(json.dumps(figures) + "\n")
    return 0


def _rates(index: Index, rest: Archive) -> dict[str, float]:
    _searches_per_second(index, QUIET_SECONDS, lambda: False)  # what is read first, is read again
    quiet = _searches_per_second(index, QUIET_SECONDS, lambda: False)
    adding = threading.Thread(target=archive.ingest, args=(rest, index, lambda text: None))
    begun = time.perf_counter()
    adding.start()
    meanwhile = _searches_per_second(index, float("inf"), lambda: not adding.is_alive())
    seconds = time.perf_counter() - begun
    return {
        "quiet_searches_per_second": quiet,
        "meanwhile_searches_per_second": meanwhile,
        "ratio": meanwhile / quiet,
        "meanwhile_items_per_second": sum(ref.rows for ref in rest.refs) / seconds,
    }


def _searches_per_second(index: Index, seconds: float, is_over: Callable[[], bool]) -> float:
    boxes, number, begun = scenes.boxes(500), 0, time.perf_counter()
    while not is_over() and time.perf_counter() - begun < seconds:
        box, interval = boxes[number % len(boxes)]
        index.search(Query(bbox=box, interval=interval, limit=LIMIT))
        number += 1
    return number / (time.perf_counter() - begun)


def _private_bytes() -> int:
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Private_"))


def _visible_ms(index: Index, made: Archive, folder: Path) -> float:
    """Return the CPU-milliseconds from a stored segment to a visible one.

    The process that checks is started before: a peer's is warm.
    """
    (folder / "segments").mkdir()
    refs = []
    for numbers in (_NEW[:1], _NEW[1:]):
        name = scenes.COLLECTIONS[0]
        document = json.dumps(scenes.documents()[0]).encode()
        file = write_segment(folder / "part", name, document, scenes.scenes(0, numbers))
        (folder / "part").rename(folder / "segments" / file.digest.hex())
        refs.append(archive.ref_of(file, name, clock=made.items))
    begins = replace(made, folder=folder, refs=tuple(refs[:1]))
    both = replace(begins, refs=tuple(refs))
    start = sum(archive.ingest(begins, index, lambda text: None))
    return (sum(archive.ingest(both, index, lambda text: None)) - start) * 1e3


if __name__ == "__main__":
    sys.exit(main())
