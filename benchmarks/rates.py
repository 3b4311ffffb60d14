"""How fast items are made ready to be signed: `python -m benchmarks.rates parquet --items 1000000`.

Wall-clock, because the aim is one (docs/sync.md): items a second from STAC-GeoParquet, or from a
STAC API on loopback beside the rate at which it delivers without us. Items are read, checked and
written as segments; nothing is signed. CPU-seconds say what it costs whatever else runs.

The API is a few lines over the standard library, or with `--server` stac-fastapi over items in its
memory, or over pgstac: then Debian's PostgreSQL is needed (`postgres`).
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

from benchmarks import pgstac, samples
from benchmarks.environments import STAC_FASTAPI, environment
from benchmarks.processes import cpu_seconds
from meshnode.runtime.datasets.collection import minimal_collection
from meshnode.runtime.maintainer.batches import Batch
from meshnode.runtime.maintainer.sources.api import PAGE_ITEMS
from meshnode.runtime.maintainer.sources.opening import opened

Served = tuple[str, list[int]]  # the address of an API, and the processes that serve it

_FASTAPI = Path(__file__).with_name("stac_fastapi_app.py")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rates", description=__doc__)
    parser.add_argument("source", choices=("parquet", "api"))
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--turns", type=int, default=3, help="the best of so many counts")
    parser.add_argument("--server", choices=SERVERS, default="plain", help="what serves the API")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="meshnode-rates-") as text:
        folder = Path(text)
        if asked.source == "parquet":
            figures = _parquet(folder, asked.items)
        else:
            served = SERVERS[asked.server](folder, asked.items)
            figures = _api(served, folder, asked.items, asked.turns)
    figures |= {
        "items": asked.items,
        "load": os.getloadavg()[0],
    }
    sys.stdout.write(json.dumps(figures) + "\n")
    return 0


def _parquet(folder: Path, count: int) -> dict[str, float]:
    path = folder / "items.parquet"
    samples.stac_geoparquet(path, count)
    reads, makes = _cpu_seconds()
    seconds = _seconds(str(path), folder, count)
    figures = {"items_per_second": count / seconds}
    return figures | _costs(reads, makes, count)


def _api(
    api: AbstractContextManager[Served], folder: Path, count: int, turns: int
) -> dict[str, float]:
    """Compare in turns: all items come to a client that only parses, and are published from."""
    alone, published = [], []
    with api as (url, processes):
        reads, makes = _cpu_seconds()
        served = sum(map(cpu_seconds, processes))
        drained = 0.0
        for _ in range(turns):
            begun, drains = time.perf_counter(), time.process_time()
            assert _drain(url) == count
            alone.append(time.perf_counter() - begun)
            drained += time.process_time() - drains
            published.append(_seconds(url, folder, count))
        serving = sum(map(cpu_seconds, processes)) - served
        costs = _costs(reads + drained, makes, count * turns)
    return {
        "api_items_per_second": count / min(alone),
        "items_per_second": count / min(published),
        "ratio": min(alone) / min(published),
        "serving_cpu_us": serving / (2 * turns * count) * 1e6,
        "parsing_cpu_us": drained / (turns * count) * 1e6,
        **costs,
    }


def _seconds(source: str, folder: Path, count: int) -> float:
    staging = Path(tempfile.mkdtemp(dir=folder))
    documents = {samples.COLLECTION: minimal_collection(samples.COLLECTION)}
    started = time.perf_counter()
    batch = Batch(staging, None, documents)
    with opened(source, (), staging / "sources.db") as reading:
        batch.take(reading.items, lambda number: None)
    seconds = time.perf_counter() - started
    assert (batch.taken, batch.refused_count) == (count, 0), batch.refused[:3]
    return seconds


def _cpu_seconds() -> tuple[float, float]:
    """Return those of this process, which reads, and of its children that have ended."""
    reads, makes = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return reads.ru_utime + reads.ru_stime, makes.ru_utime + makes.ru_stime


def _costs(reads: float, makes: float, count: int) -> dict[str, float]:
    """Return CPU-microseconds an item since then, and memory: of who reads, and of all others, the
    largest alone.
    """
    now_reads, now_makes = _cpu_seconds()
    return {
        "reading_cpu_us": (now_reads - reads) / count * 1e6,
        "making_cpu_us": (now_makes - makes) / count * 1e6,
        "reading_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
        "making_memory_mib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10,
    }


@contextmanager
def _stac_fastapi(folder: Path, count: int) -> Iterator[Served]:
    """Serve item search by stac-fastapi, over items in the memory of a process of its own."""
    python = environment("stac-fastapi", STAC_FASTAPI) / "python"
    served = folder / "served"
    served.mkdir()
    items = b",".join(raw for raw, _ in samples.items(count))
    (served / "items.json").write_bytes(b"[" + items + b"]")
    (served / "collections.json").write_text("[]")
    with subprocess.Popen([python, "-W", "ignore", _FASTAPI, served]) as process:
        try:
            while not (served / "port").exists():
                assert process.poll() is None, "stac-fastapi ended"
                time.sleep(0.1)
            yield f"http://127.0.0.1:{(served / 'port').read_text()}", [process.pid]
        finally:
            process.terminate()


@contextmanager
def _pgstac(_folder: Path, count: int) -> Iterator[Served]:
    """Serve item search by stac-fastapi-pgstac: processes of PostgreSQL, and one of Python."""
    with (
        pgstac.database(f"towns-{count}", *pgstac.towns(count)) as server,
        pgstac.api(server) as (url, process),
    ):
        yield url, [server.process, process]


@contextmanager
def _served(_folder: Path, count: int) -> Iterator[Served]:
    """Serve item search over ready pages, from a process of its own."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs, count))
    process.start()
    try:
        assert process.pid is not None
        yield f"http://127.0.0.1:{ours.recv()}", [process.pid]
    finally:
        process.terminate()
        process.join()


SERVERS: Final[Mapping[str, Callable[[Path, int], AbstractContextManager[Served]]]] = {
    "plain": _served,
    "stac-fastapi": _stac_fastapi,
    "pgstac": _pgstac,
}


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
        links = [link["href"] for link in page["links"] if link["rel"] == "next"]
        following = [urlsplit(href) for href in links]
        target = f"{following[0].path}?{following[0].query}" if following else ""
    return number


if __name__ == "__main__":
    sys.exit(main())
