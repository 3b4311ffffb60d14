"""How fast items are made ready to be signed: `python -m benchmarks.rates parquet --items 1000000`.

Wall-clock, because the aim is one (docs/sync.md): items a second from STAC-GeoParquet, or from a
STAC API on loopback beside the rate at which it delivers without us. Items are read, checked and
written as segments; nothing is signed.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from benchmarks import samples
from meshnode.runtime.datasets.collection import minimal_collection
from meshnode.runtime.maintainer.batches import Batch
from meshnode.runtime.maintainer.sources.api import PAGE_ITEMS
from meshnode.runtime.maintainer.sources.opening import opened


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rates", description=__doc__)
    parser.add_argument("source", choices=("parquet", "api"))
    parser.add_argument("--items", type=int, default=100_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="meshnode-rates-") as text:
        folder = Path(text)
        measure = _parquet if asked.source == "parquet" else _api
        figures = measure(folder, asked.items)
    figures |= {
        "items": asked.items,
        "memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
        "children_memory_mib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10,
    }
    sys.stdout.write(json.dumps(figures) + "\n")
    return 0


def _parquet(folder: Path, count: int) -> dict[str, float]:
    path = folder / "items.parquet"
    samples.stac_geoparquet(path, count)
    began = _cpu_seconds()
    seconds = _seconds(str(path), folder, count)
    cpu_seconds = _cpu_seconds() - began
    return {"items_per_second": count / seconds, "items_per_cpu_second": count / cpu_seconds}


def _api(folder: Path, count: int) -> dict[str, float]:
    with _served(count) as url:
        started = time.perf_counter()
        delivered = _drain(url)
        alone = time.perf_counter() - started
        assert delivered == count
        seconds = _seconds(url, folder, count)
    return {
        "api_items_per_second": count / alone,
        "items_per_second": count / seconds,
        "ratio": alone / seconds,
    }


def _seconds(source: str, folder: Path, count: int) -> float:
    staging = folder / "staging"
    staging.mkdir()
    documents = {samples.COLLECTION: minimal_collection(samples.COLLECTION)}
    started = time.perf_counter()
    batch = Batch(staging, None, documents)
    with opened(source, (), folder / "sources.db") as reading:
        batch.take(reading.items, lambda number: None)
    seconds = time.perf_counter() - started
    assert (batch.taken, batch.refused_count) == (count, 0), batch.refused[:3]
    return seconds


def _cpu_seconds() -> float:
    """Return those of this process and of its children that have ended."""
    used = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


@contextmanager
def _served(count: int) -> Iterator[str]:
    """Serve item search over ready pages, from a process of its own."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs, count))
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.terminate()
        process.join()


def _serve(ready: Connection, count: int) -> None:
    pairs = list(samples.items(count))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            here = f"http://127.0.0.1:{server.server_port}"
            if parts.path == "/":
                search = {"rel": "search", "href": f"{here}/search"}
                self._answer(json.dumps({"type": "Catalog", "links": [search]}).encode())
                return
            query = parse_qs(parts.query)
            start, limit = int(query.get("token", ["0"])[0]), int(query["limit"][0])
            end = start + limit
            # As an API does: from objects to text at each request.
            page: dict[str, object] = {
                "type": "FeatureCollection",
                "features": [value for _, value in pairs[start:end]],
                "links": [],
            }
            if end < count:
                href = f"{here}/search?limit={limit}&token={end}"
                page["links"] = [{"rel": "next", "href": href}]
            self._answer(json.dumps(page).encode())

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/geo+json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    ready.send(server.server_port)
    server.serve_forever()


def _drain(url: str) -> int:
    """Follow the pages as the simplest client does; return how many items came."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port)
    target, number = f"/search?limit={PAGE_ITEMS}", 0
    while target:
        connection.request("GET", target)
        page = json.loads(connection.getresponse().read())
        number += len(page["features"])
        following = [urlsplit(link["href"]) for link in page["links"]]
        target = f"{following[0].path}?{following[0].query}" if following else ""
    return number


if __name__ == "__main__":
    sys.exit(main())
