"""pgstac with items of ours in it, and stac-fastapi-pgstac over it.

`python -m benchmarks.pgstac --items 100000` serves the sample items on loopback until Ctrl-C, for
whatever shall be measured beside it. Everything lies below build/bench and is made once.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks import environments, postgres, samples
from meshnode.runtime.datasets.collection import minimal_collection

_APP: Final = ("stac_fastapi.pgstac.app:create_app", "--factory", "--log-level", "warning")


@contextmanager
def database(
    name: str, collections: Iterable[dict[str, Any]], items: Iterable[bytes]
) -> Iterator[postgres.Server]:
    """Run a database with pgstac that holds the items; `name` says what is in it."""
    folder = environments.BUILD / f"pgstac-{name}"
    with postgres.running(folder) as server:
        loaded = folder / "loaded"
        if not loaded.exists():
            _load(server, collections, items)
            loaded.touch()
        yield server


@contextmanager
def api(server: postgres.Server, workers: int = 1) -> Iterator[tuple[str, int]]:
    """Serve a database by stac-fastapi-pgstac; give its address and its first process."""
    programs = environments.environment("pgstac", environments.PGSTAC)
    with socket.create_server(("127.0.0.1", 0), backlog=2_048) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        handed = str(listener.fileno())
        process = subprocess.Popen(
            [programs / "uvicorn", *_APP, "--fd", handed, "--workers", str(workers)],
            pass_fds=[listener.fileno()],
            env=os.environ | server.environment | {"USE_API_HYDRATE": "true"},
            stdout=subprocess.DEVNULL,
        )
    try:
        with urllib.request.urlopen(f"{url}/", timeout=60) as answer:  # noqa: S310 - ours
            answer.read()
        yield url, process.pid
    finally:
        process.terminate()
        process.wait()


def _load(
    server: postgres.Server, collections: Iterable[dict[str, Any]], items: Iterable[bytes]
) -> None:
    """Load by pypgstac, then let PostgreSQL count: without that it plans blindly."""
    programs = environments.environment("pgstac", environments.PGSTAC)
    load: list[str | Path] = [programs / "pypgstac", "load"]
    _run(server, [programs / "pypgstac", "migrate"])
    lines = (json.dumps(each).encode() for each in collections)
    _run(server, [*load, "collections", "/dev/stdin", "--method", "upsert"], lines)
    _run(server, [*load, "items", "/dev/stdin", "--method", "insert"], items)
    _run(server, ["psql", "--quiet", "--no-psqlrc", "-c", "VACUUM ANALYZE"])


def _run(server: postgres.Server, command: list[str | Path], lines: Iterable[bytes] = ()) -> None:
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env=os.environ | server.environment,
    ) as process:
        assert process.stdin is not None
        for line in lines:
            process.stdin.write(line + b"\n")
        process.stdin.close()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, [str(part) for part in command])


def towns(count: int) -> tuple[list[dict[str, Any]], Iterator[bytes]]:
    """Return the collection of the small sample items, and the items."""
    collection = json.loads(minimal_collection(samples.COLLECTION))
    return [collection], (raw for raw, _ in samples.items(count))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pgstac", description=__doc__)
    parser.add_argument("--items", type=int, default=100_000)
    asked = parser.parse_args()
    with (
        database(f"towns-{asked.items}", *towns(asked.items)) as server,
        api(server) as (url, _),
    ):
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()
        signal.sigwait([signal.SIGINT, signal.SIGTERM])
    return 0


if __name__ == "__main__":
    sys.exit(main())
