"""Searches in pgstac, one a line: run by the interpreter of pgstac's own environment.

Reads the body of an item search as a line of JSON, and answers with a line: the wall-clock, the
CPU-seconds of the server's process that worked for it, and the ids that were found, in order.
"""

import json
import sys
import time
from pathlib import Path

import psycopg  # type: ignore[import-not-found]


def main() -> None:
    with psycopg.connect("", autocommit=True) as connection:
        connection.execute("SET search_path TO pgstac, public")
        used = Path(f"/proc/{connection.info.backend_pid}/schedstat")
        for line in sys.stdin:
            begun, before = time.perf_counter(), int(used.read_text().split()[0])
            [page] = connection.execute("SELECT search(%s::jsonb)::text", [line]).fetchone()
            seconds = time.perf_counter() - begun
            cpu_seconds = (int(used.read_text().split()[0]) - before) / 1e9
            found = [feature["id"] for feature in json.loads(page)["features"]]
            answer = {"seconds": seconds, "cpu_seconds": cpu_seconds, "ids": found}
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
