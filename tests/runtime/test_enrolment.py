"""A mirror proves itself before it gives in bulk, leaves when it fails, and comes back."""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
import trio

from meshnode.errors import PeerError
from meshnode.runtime.clock import unix_now
from meshnode.runtime.payloads.mirror_record import REST_SECONDS_MIN, MirrorRecord
from meshnode.runtime.payloads.torrents import Torrents
from tests.runtime.test_mirror_record import Clock
from tests.runtime.test_torrents import MIB, fetch, same_files
from tests.runtime.test_web_seeds import HASTY, LOCAL, PIECE, got_from, torrent_of
from tests.runtime.web_seeds import Request, WebSeed, files, response, says, web_seed

pytestmark = pytest.mark.slow

BAD_AT = 2 * MIB + 5
BAD_PIECE = BAD_AT // PIECE


@pytest.fixture
def tile(tmp_path: Path) -> Path:
    path = tmp_path / "web" / "tile.bin"
    path.parent.mkdir()
    path.write_bytes(random.Random(1).randbytes(3 * MIB + 77))
    return path


@contextlib.asynccontextmanager
async def remembering(
    directory: Path, record: MirrorRecord, settings: Any = LOCAL
) -> AsyncIterator[Torrents]:
    torrents = Torrents(settings, directory, None, record)
    async with trio.open_nursery() as nursery:
        await nursery.start(torrents.run)
        yield torrents
        nursery.cancel_scope.cancel()


def zeros(_path: str, _first: int, body: bytes) -> bytes:
    return bytes(len(body))


def rot(_path: str, first: int, body: bytes) -> bytes:
    """Change one byte of the file."""
    if not first <= BAD_AT < first + len(body):
        return body
    place = BAD_AT - first
    return body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]


def without_ranges(body: bytes) -> Any:
    def made(seed: WebSeed) -> Any:
        async def respond(stream: trio.abc.Stream, _request: Request) -> bool:
            await stream.send_all(response("200 OK", body))
            seed.sent_bytes += len(body)
            return True

        return respond

    return made


async def test_a_mirror_of_wrong_bytes_sends_one_piece_and_no_more(
    tmp_path: Path, tile: Path
) -> None:
    async with web_seed(files(tile.parent, zeros)) as bad, web_seed(files(tile.parent)) as good:
        await got_from(tmp_path, torrent_of(tile, "hybrid"), tile, bad.url, good.url)
    assert bad.sent_bytes <= PIECE
    assert good.sent_bytes <= 1.02 * 3 * MIB + PIECE  # what is asked twice near the end


@pytest.mark.parametrize("kind", ["v1", "hybrid", "v2"])
async def test_the_piece_that_proves_a_mirror_is_not_fetched_again(
    tmp_path: Path, tile: Path, kind: str
) -> None:
    async with web_seed(files(tile.parent)) as seed:
        await got_from(tmp_path, torrent_of(tile, kind), tile, seed.url)
    assert seed.sent_bytes == 3 * MIB + 77


async def test_a_mirror_with_one_rotten_piece_gives_all_others_and_returns_when_it_is_mended(
    tmp_path: Path, tile: Path
) -> None:
    clock, torrent = Clock(), torrent_of(tile, "hybrid")
    record, spoilt = MirrorRecord(None, clock), [True]

    def change(path: str, first: int, body: bytes) -> bytes:
        return rot(path, first, body) if spoilt[0] else body

    async with (
        web_seed(files(tile.parent, change)) as seed,
        remembering(tmp_path / "home", record) as torrents,
    ):
        for _ in range(5):  # each rest ends; the piece that is wrong is asked for last
            with pytest.raises(PeerError, match="corrupt"):
                await fetch(torrents, torrent, mirrors=[seed.url])
            clock.now += REST_SECONDS_MIN << 5
        transfer = await torrents.open(torrent)
        held = transfer.held_pieces()
        assert [piece for piece, is_held in enumerate(held) if not is_held] == [BAD_PIECE]
        assert record.of(seed.url).quarantined(torrent.key) == {BAD_PIECE}

        spoilt[0] = False
        sent_before = seed.sent_bytes
        await fetch(torrents, torrent, mirrors=[seed.url])
        assert await trio.to_thread.run_sync(same_files, torrents, torrent, tile)
        assert seed.sent_bytes - sent_before == PIECE
        assert record.of(seed.url).quarantine == ()


async def test_a_rotten_mirror_beside_a_good_one_costs_little(tmp_path: Path, tile: Path) -> None:
    async with web_seed(files(tile.parent, rot)) as rotten, web_seed(files(tile.parent)) as good:
        await got_from(tmp_path, torrent_of(tile, "hybrid"), tile, rotten.url, good.url)


@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_a_server_that_wants_to_be_left_alone_is(
    tmp_path: Path, tile: Path, form: str
) -> None:
    said = "3600" if form == "seconds" else formatdate(unix_now() + 7200, usegmt=True)
    clock, torrent = Clock(), torrent_of(tile, "hybrid")
    record = MirrorRecord(None, clock)
    async with (
        web_seed(says("429 Too Many Requests", b"", f"Retry-After: {said}")) as seed,
        remembering(tmp_path / "home", record, replace(HASTY, stall_seconds=2)) as torrents,
    ):
        with pytest.raises(PeerError, match=r"is busy \(HTTP 429\)"):
            await fetch(torrents, torrent, mirrors=[seed.url])
        with pytest.raises(PeerError, match="it is left alone until"):
            await fetch(torrents, torrent, mirrors=[seed.url])
        clock.now += 3590
        with pytest.raises(PeerError, match="it is left alone until"):
            await fetch(torrents, torrent, mirrors=[seed.url])
        assert len(seed.requests) == 1
        assert record.of(seed.url).rests_until >= clock.now


async def test_a_server_without_ranges_gives_whole_files_and_is_marked(
    tmp_path: Path, tile: Path
) -> None:
    record, torrent = MirrorRecord(None, Clock()), torrent_of(tile, "hybrid")
    body = await trio.Path(tile).read_bytes()
    async with (
        web_seed(without_ranges(body)) as seed,
        remembering(tmp_path / "home", record) as torrents,
    ):
        await fetch(torrents, torrent, mirrors=[f"{seed.url}tile.bin"])
        assert await trio.to_thread.run_sync(same_files, torrents, torrent, tile)
        assert not record.of(f"{seed.url}tile.bin").gives_ranges
        assert len(seed.requests) == 2  # the range that was not given, then the file

        others = await torrents.open(torrent_of(tile, "v1"))
        parts = torrents.read(others.torrent, 0, range(10), mirrors=[f"{seed.url}tile.bin"])
        with trio.move_on_after(3):
            async with contextlib.aclosing(parts):
                await anext(parts)
        assert len(seed.requests) == 2  # nobody reads in place from it


async def test_files_whose_pieces_overlap_come_from_mirrors_too(tmp_path: Path) -> None:
    """In version 1 a piece may hold the end of one file and the beginning of another."""
    folder = tmp_path / "web" / "set"
    folder.mkdir(parents=True)
    for number in range(5):
        (folder / f"{number}.bin").write_bytes(random.Random(number).randbytes(100_000 * number))
    async with web_seed(files(folder.parent)) as seed:
        await got_from(tmp_path, torrent_of(folder, "v1"), folder, seed.url)


async def test_a_gib_costs_a_server_at_most_seventy_requests(tmp_path: Path) -> None:
    size = 256 * MIB
    path = tmp_path / "web" / "large.bin"
    path.parent.mkdir()
    with path.open("wb") as file:
        for number in range(size // MIB):
            file.seek(number * MIB)
            file.write(number.to_bytes(4, "big"))
        file.truncate(size)
    torrent = torrent_of(path, "v1")
    async with web_seed(files(path.parent)) as seed:
        await got_from(tmp_path, torrent, path, seed.url)
    asked = sum((request.last or 0) - (request.first or 0) + 1 for request in seed.requests)
    assert len(seed.requests) / (asked / 2**30) <= 70


async def test_a_mirror_that_is_much_slower_stands_by_until_the_others_fail(
    tmp_path: Path, tile: Path
) -> None:
    record = MirrorRecord(None, Clock())
    torrent = torrent_of(tile, "hybrid")
    async with (
        web_seed(files(tile.parent)) as slow,
        web_seed(files(tile.parent)) as good,
        web_seed(files(tile.parent)) as other,
        remembering(tmp_path / "home", record) as torrents,
    ):
        for seed, seconds in ((good, 0.1), (other, 0.1), (slow, 100.0)):
            record.note_proof(seed.url, torrent.key, 0, 1_000_000, 0.01, seconds)
        await fetch(torrents, torrent, mirrors=[slow.url, good.url, other.url])
        assert slow.requests == []
    async with (
        web_seed(files(tile.parent)) as slow,
        web_seed(says("404 Not Found")) as gone,
        web_seed(says("404 Not Found")) as away,
        remembering(tmp_path / "again", record) as torrents,
    ):
        record.note_proof(slow.url, torrent.key, 0, 1_000_000, 0.01, 100.0)
        for seed in (gone, away):
            record.note_proof(seed.url, torrent.key, 0, 1_000_000, 0.01, 0.1)
        await fetch(torrents, torrent, mirrors=[gone.url, away.url, slow.url])
        assert slow.requests
