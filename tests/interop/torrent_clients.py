"""Other BitTorrent programs, as processes: how each is started with one torrent.

They are at ADDRESS, and learn of peers from the tracker in the torrent that they are given.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

ADDRESS: Final = "192.0.2.1"  # RFC 5737; Transmission speaks to nobody in 127/8
PORT: Final = 6999

QBITTORRENT_CONF: Final = f"""[LegalNotice]
Accepted=true

[BitTorrent]
Session\\DHTEnabled=false
Session\\LSDEnabled=false
Session\\PeXEnabled=false
Session\\Port={PORT}
Session\\InterfaceAddress={ADDRESS}
Session\\DefaultSavePath=%s

[Preferences]
WebUI\\Enabled=false
"""


@dataclass(frozen=True, slots=True)
class Client:
    """`command(folder, torrent)`: what runs it, with its files in `folder`/data.

    `refusals`: what it prints of a torrent of a kind that it cannot use; nothing where it takes the
    torrent and tells the tracker another info-hash, so that it meets nobody.
    """

    program: str
    command: Callable[[Path, Path], list[str]]
    kinds: tuple[str, ...]
    refusals: Mapping[str, str]


def _aria2(folder: Path, torrent: Path) -> list[str]:
    return [
        *("aria2c", "--no-conf", f"--dir={folder / 'data'}", f"--listen-port={PORT}"),
        *("--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false"),
        *("--check-integrity=true", "--bt-hash-check-seed=true", "--allow-overwrite=true"),
        *("--file-allocation=none", "--seed-ratio=0", "--seed-time=600", "--disable-ipv6=true"),
        *("--bt-tracker-interval=2", f"--bt-external-ip={ADDRESS}", str(torrent)),
    ]  # fmt: skip


def _transmission(folder: Path, torrent: Path) -> list[str]:
    watched = folder / "watched"
    watched.mkdir()
    shutil.copy(torrent, watched)
    return [
        *("transmission-daemon", "--foreground", "--log-debug"),
        *("--config-dir", str(folder / "config"), "--download-dir", str(folder / "data")),
        *("--watch-dir", str(watched), "--peerport", str(PORT), "--bind-address-ipv4", ADDRESS),
        *("--no-dht", "--no-lpd", "--no-portmap", "--no-utp", "--no-incomplete-dir"),
    ]


def _qbittorrent(folder: Path, torrent: Path) -> list[str]:
    settings = folder / "profile" / "qBittorrent" / "config" / "qBittorrent.conf"
    settings.parent.mkdir(parents=True)
    settings.write_text(QBITTORRENT_CONF % (folder / "data"))
    return [
        *("qbittorrent-nox", f"--profile={folder / 'profile'}"),
        *(f"--save-path={folder / 'data'}", "--skip-dialog=true", str(torrent)),
    ]


CLIENTS: Final = {
    "aria2": Client("aria2c", _aria2, ("v1",), {"hybrid": "", "v2": "Missing pieces"}),
    "transmission": Client(
        "transmission-daemon",
        _transmission,
        ("v1",),
        dict.fromkeys(("hybrid", "v2"), "Failed to add (corrupted?) torrent file"),
    ),
    "qbittorrent": Client("qbittorrent-nox", _qbittorrent, ("v1", "hybrid", "v2"), {}),
}


def require(client: Client) -> None:
    """Skip the test if the program is not here, unless it must be."""
    for program in (client.program, "unshare", "ip"):
        if shutil.which(program) is None:
            if os.environ.get("MESHNODE_REQUIRE_TORRENT_CLIENTS") == "1":
                pytest.fail(f"{program} is not installed")
            pytest.skip(f"{program} is not installed")
