"""Many clients of STAC APIs at once: `python -m benchmarks.clients URL [URL …]`.

Each of 32 clients sends its next item search when the last is answered, over a connection of its
own; the searches are boxes on land with three years each, the same for every API. The APIs take
turns, and the best turn of each counts; with `--pgstac N` stac-fastapi-pgstac over N scenes is the
last of them. Serve ours from a peer that holds the same items:

    python -m benchmarks.scenes --items 100000 > scenes.ndjson
    meshnode publish scenes.ndjson
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlencode, urlsplit

from benchmarks import pgstac, scenes

SEARCHES: Final = 500
TIMEOUT_SECONDS: Final = 60.0


@dataclass(slots=True)
class Turn:
    """What the clients of one API saw in one turn. Any of their threads may add to it."""

    seconds: list[float] = field(default_factory=list)
    found: int = 0
    failed: int = 0
    mutex: threading.Lock = field(default_factory=threading.Lock)

    def add(self, seconds: float, found: int | None) -> None:
        with self.mutex:
            self.seconds.append(seconds)
            self.found += found or 0
            self.failed += found is None

    def figures(self, lasted: float) -> dict[str, float]:
        ordered = sorted(self.seconds)
        return {
            "requests_per_second": len(ordered) / lasted,
            "p50_ms": ordered[len(ordered) // 2] * 1e3,
            "p99_ms": ordered[int(len(ordered) * 0.99)] * 1e3,
            "found_each": self.found / len(ordered),
            "failed": self.failed,
        }


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.clients",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("url", nargs="*", help="a landing page, as http://127.0.0.1:8470/stac")
    parser.add_argument("--pgstac", type=int, default=0, metavar="N", help="beside N scenes there")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=20.0, help="of one turn")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--limit", type=int, default=10, help="items asked for")
    asked = parser.parse_args()
    targets = _targets(asked.limit)
    with ExitStack() as stack:
        urls = list(asked.url)
        if asked.pgstac:
            items = scenes.documents(), scenes.all_scenes(asked.pgstac)
            server = stack.enter_context(pgstac.database(f"scenes-{asked.pgstac}", *items))
            urls.append(stack.enter_context(pgstac.api(server))[0])
        best: dict[str, dict[str, float]] = {}
        for _ in range(asked.turns):
            for url in urls:
                figures = _turn(url, targets, asked.clients, asked.seconds)
                before = best.setdefault(url, figures)
                if figures["requests_per_second"] > before["requests_per_second"]:
                    best[url] = figures
    last = best[urls[-1]]["requests_per_second"]
    for url, figures in best.items():
        told = {"url": url, **figures, "times_the_last": figures["requests_per_second"] / last}
        sys.stdout.write(json.dumps(told | {"load": os.getloadavg()[0]}) + "\n")
    return 1 if any(figures["failed"] for figures in best.values()) else 0


def _targets(limit: int) -> list[str]:
    """Return the queries of all searches, the same at each call."""
    targets = []
    for box, interval in scenes.boxes(SEARCHES):
        ends = [datetime.fromtimestamp(end // 1_000_000, UTC) for end in interval]
        query = {
            "bbox": ",".join(map(str, box)),
            "datetime": "/".join(f"{end:%Y-%m-%dT%H:%M:%SZ}" for end in ends),
            "limit": limit,
        }
        targets.append(urlencode(query))
    return targets


def _turn(url: str, targets: Sequence[str], clients: int, seconds: float) -> dict[str, float]:
    turn, begun = Turn(), time.perf_counter()
    threads = [
        threading.Thread(target=_client, args=(url, targets[number:], begun + seconds, turn))
        for number in range(clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return turn.figures(time.perf_counter() - begun)


def _client(url: str, targets: Sequence[str], ends: float, turn: Turn) -> None:
    parts = urlsplit(url)
    path = parts.path.rstrip("/") + "/search?"
    connection = http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT_SECONDS)
    number = 0
    while time.perf_counter() < ends:
        begun = time.perf_counter()
        found = _search(connection, path + targets[number % len(targets)])
        turn.add(time.perf_counter() - begun, found)
        number += 1
    connection.close()


def _search(connection: http.client.HTTPConnection, target: str) -> int | None:
    """Return how many items are found; None if the answer is none of an item search."""
    try:
        connection.request("GET", target)
        answer = connection.getresponse()
        page = json.loads(answer.read())
        return len(page["features"]) if answer.status == 200 else None
    except (OSError, http.client.HTTPException, ValueError, KeyError):
        connection.close()
        return None


if __name__ == "__main__":
    sys.exit(main())
