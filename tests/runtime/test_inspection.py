"""A look at a mirror: a random range, compared with what is here or hashed; and who is best."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from meshnode.core.mirror_choice import Tier
from meshnode.runtime.payloads.mirror_record import MirrorRecord
from meshnode.runtime.payloads.mirrors.inspection import COMPARED_BYTES_MAX, Found, Inspection
from meshnode.runtime.payloads.mirrors.range_client import Fault
from meshnode.runtime.payloads.mirrors.standings import standing_of, tier_of
from tests.runtime.repository_servers import repository
from tests.runtime.test_mirror_record import Clock
from tests.runtime.test_torrents import MIB
from tests.runtime.test_web_seeds import PIECE, torrent_of
from tests.runtime.web_seeds import files, says, web_seed


@pytest.fixture
def tile(tmp_path: Path) -> Path:
    path = tmp_path / "web" / "tile.bin"
    path.parent.mkdir()
    path.write_bytes(random.Random(1).randbytes(MIB + 77))
    return path


@pytest.fixture
def record() -> MirrorRecord:
    return MirrorRecord(None, Clock())


def nothing(_index: int) -> Path | None:
    return None


async def look(
    record: MirrorRecord, tile: Path, answer: Any, held: Callable[[int], Path | None] = nothing
) -> tuple[Found, int]:
    """Return what is found, and how many bytes the mirror sent."""
    inspection = Inspection(record, random.Random(5), allow_local=True)
    async with web_seed(answer) as seed:
        found = await inspection.look(torrent_of(tile, "hybrid"), seed.url, held)
    return found, seed.sent_bytes


def zeros(_path: str, _first: int, body: bytes) -> bytes:
    return bytes(len(body))


async def test_without_the_payload_a_piece_is_fetched_and_hashed(
    record: MirrorRecord, tile: Path
) -> None:
    found, sent = await look(record, tile, files(tile.parent))
    assert found.fault is None
    assert found.count == sent <= PIECE
    (health,) = record.known()
    assert (health.proofs, health.owed, health.failures) == (1, 0, 0)


async def test_with_the_payload_some_kilobytes_are_compared(
    record: MirrorRecord, tile: Path
) -> None:
    found, sent = await look(record, tile, files(tile.parent), lambda _: tile)
    assert found.fault is None
    assert 0 < sent <= COMPARED_BYTES_MAX
    found, _ = await look(record, tile, files(tile.parent, zeros), lambda _: tile)
    assert found.fault is Fault.WRONG


@pytest.mark.parametrize(
    ("answer", "fault", "reason"),
    [
        (says("404 Not Found"), Fault.ERROR, "answered with an error (HTTP 404)"),
        (says("429 Slow", b"", "Retry-After: 60"), Fault.BUSY, "is busy (HTTP 429)"),
        (says("200 OK", b"x"), Fault.WRONG, f"has a file of 1 bytes instead of {MIB + 77}"),
    ],
)
async def test_what_a_mirror_does_instead_is_noted(
    record: MirrorRecord, tile: Path, answer: Any, fault: Fault, reason: str
) -> None:
    found, _ = await look(record, tile, answer)
    assert (found.fault, found.reason) == (fault, reason)
    (health,) = record.known()
    assert health.failures == 1


async def test_wrong_bytes_are_corruption(record: MirrorRecord, tile: Path) -> None:
    found, _ = await look(record, tile, files(tile.parent, zeros))
    assert (found.fault, found.reason) == (Fault.WRONG, "sent corrupt bytes")
    assert record.rests(found.url) is not None


async def test_a_repository_is_looked_at_through_its_listing(
    record: MirrorRecord, tile: Path
) -> None:
    inspection = Inspection(record, random.Random(5), allow_local=True)
    async with web_seed(repository(tile.parent)) as seed:
        url = f"{seed.url}records/77"
        found = await inspection.look(torrent_of(tile, "v1"), url, nothing)
    assert found.fault is None


async def test_ones_own_network_is_not_looked_at(record: MirrorRecord, tile: Path) -> None:
    inspection = Inspection(record, random.Random(5), allow_local=False)
    async with web_seed(files(tile.parent)) as seed:
        found = await inspection.look(torrent_of(tile, "v1"), seed.url, nothing)
    assert found.fault is Fault.FORBIDDEN
    assert seed.requests == []


@pytest.mark.parametrize(
    ("url", "near", "tier"),
    [
        ("https://zenodo.org/records/1/files/a.tif?download=1", (), Tier.ARCHIVE),
        ("https://zenodo.org/api/records/1/files/a.tif/content", (), Tier.ARCHIVE),
        ("https://ia902606.us.archive.org/7/items/nasa/a.jpg", (), Tier.ARCHIVE),
        ("https://data.example.org/records", (), Tier.USUAL),
        ("https://notarchive.org/download/", (), Tier.USUAL),
        ("https://data.example.ca/tile.tif", ("*.example.ca",), Tier.NEAR),
        ("https://zenodo.org/records/1", ("zenodo.org",), Tier.NEAR),
    ],
)
def test_archives_are_known_by_their_urls_and_near_ones_by_the_operator(
    url: str, near: tuple[str, ...], tier: Tier
) -> None:
    assert tier_of(url, near) is tier


def test_a_mirror_stands_as_the_record_says(record: MirrorRecord, tile: Path) -> None:
    url = "https://data.example.org/tile.tif"
    assert standing_of(record.of(url), 0, ()).owed == 0  # unknown is no reproach
    record.note_corruption(url)
    standing = standing_of(record.of(url), Clock().now, (), transfers=2)
    assert (standing.owed, standing.failures, standing.transfers) == (1, 1, 2)
    assert standing.is_resting
