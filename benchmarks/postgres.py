"""A PostgreSQL server of our own in one folder, on loopback: Debian's, with PostGIS.

Needs `apt-get install postgresql-15 postgresql-15-postgis-3` or the like. PostgreSQL refuses to run
as root: started by root it is run by the user `postgres`, to whom the folder then belongs.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

USER: Final = "postgres"
DATABASE: Final = "postgres"
# As a small server of its own is set up: a quarter of 8 GiB to share, disks without heads. What a
# crash would lose is of no interest here.
SETTINGS: Final = {
    "shared_buffers": "2GB",
    "effective_cache_size": "6GB",
    "work_mem": "64MB",
    "maintenance_work_mem": "512MB",
    "max_wal_size": "8GB",
    "random_page_cost": "1.1",
    "synchronous_commit": "off",
    "listen_addresses": "127.0.0.1",
}


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs; `process` is the first one of its processes."""

    port: int
    process: int

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which libpq and stac-fastapi-pgstac find it."""
        return {
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.port),
            "PGUSER": USER,
            "PGPASSWORD": "none",
            "PGDATABASE": DATABASE,
        }


@contextmanager
def running(folder: Path) -> Iterator[Server]:
    """Run the server whose data lie in the folder, made if there are none; end it afterwards.

    Raises:
        FileNotFoundError: PostgreSQL is not installed.
    """
    programs = _programs()
    folder.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        shutil.chown(folder, USER, USER)
    data = folder / "data"
    if not (data / "PG_VERSION").exists():
        _do(programs / "initdb", "-D", data, "-U", USER, "-A", "trust", "-E", "UTF8", "--no-sync")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    settings = SETTINGS | {"port": str(port), "unix_socket_directories": ""}
    options = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
    control = (programs / "pg_ctl", "-D", data, "-w", "-t", "120")
    _do(*control, "-l", folder / "log", "-o", options, "start")
    try:
        yield Server(port, int((data / "postmaster.pid").read_text().splitlines()[0]))
    finally:
        _do(*control, "-m", "fast", "stop")


def size_bytes(folder: Path) -> int:
    """Return what the tables and indices of the folder's server occupy."""
    base = folder / "data" / "base"
    return sum(path.stat().st_size for path in base.rglob("*") if path.is_file())


def _programs() -> Path:
    """Return the folder of the newest server that Debian has installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=lambda p: int(p.parts[-3]))
    if not found:
        raise FileNotFoundError("PostgreSQL is not installed: see the head of this module")
    return found[-1].parent


def _do(program: Path, *arguments: object) -> None:
    user = USER if os.geteuid() == 0 else None
    home = pwd.getpwnam(USER).pw_dir if user else None
    subprocess.run(
        [program, *map(str, arguments)],
        check=True,
        user=user,
        group=user,
        extra_groups=[] if user else None,
        cwd=home,
        stdout=subprocess.DEVNULL,
    )
