"""Payloads between our engine and qBittorrent, aria2 and Transmission, as Debian has them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.interop.torrent_clients import CLIENTS, require

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

PROJECT = Path(__file__).resolve().parents[2]
KINDS = ("v1", "hybrid", "v2")
SPOKEN = [(name, kind) for name, client in CLIENTS.items() for kind in client.kinds]
REFUSED = [(n, k) for n, client in CLIENTS.items() for k in KINDS if k not in client.kinds]


def meet(name: str, kind: str, direction: str, folder: Path) -> None:
    require(CLIENTS[name])
    command = ["unshare", "-rn", sys.executable, "-m", "tests.interop.torrent_meeting"]
    done = subprocess.run(
        [*command, name, kind, direction, str(folder)],
        cwd=PROJECT,
        env=os.environ | {"HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=220,
    )
    log = folder / "theirs" / "log"
    said = log.read_text(errors="replace")[-3000:] if log.exists() else ""
    assert done.returncode == 0, f"{done.stderr[-3000:]}\n{name} said:\n{said}"
    assert f'"{direction}": true' in done.stdout


@pytest.mark.parametrize(("name", "kind"), SPOKEN)
@pytest.mark.parametrize("direction", ["serves", "fetches"])
def test_bytes_cross_in_both_directions(
    tmp_path: Path, name: str, kind: str, direction: str
) -> None:
    meet(name, kind, direction, tmp_path)


@pytest.mark.parametrize(("name", "kind"), REFUSED)
def test_what_a_program_does_not_know_it_refuses(tmp_path: Path, name: str, kind: str) -> None:
    meet(name, kind, "refuses", tmp_path)
