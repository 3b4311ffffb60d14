"""What a peer remembers of mirrors, and which of them it leaves alone for a while."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from meshnode.demo.mirror import serve_directory
from meshnode.errors import PeerError, StorageError
from meshnode.runtime.payloads.creation import describe
from meshnode.runtime.payloads.mirror_record import (
    MIRRORS_KNOWN_MAX,
    REST_SECONDS_MAX,
    REST_SECONDS_MIN,
    MirrorRecord,
)
from meshnode.runtime.payloads.torrent_check import open_torrent
from meshnode.runtime.payloads.torrents import Torrents
from tests.runtime.test_torrents import LOCAL, fetch, zeros

URL = "https://data.example.org/tile.tif"


class Clock:
    """Unix time that a test moves."""

    def __init__(self) -> None:
        self.now = 1_800_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def record(clock: Clock) -> MirrorRecord:
    return MirrorRecord(None, clock)


def test_a_corrupt_mirror_rests_twice_as_long_each_time_and_never_for_ever(
    record: MirrorRecord, clock: Clock
) -> None:
    rests = []
    for _ in range(14):
        record.note_corruption(URL)
        found = record.rests(URL)
        assert found is not None
        rests.append(found.rests_until - clock.now)
        clock.now = found.rests_until
        assert record.rests(URL) is None
    assert rests[:3] == [REST_SECONDS_MIN, 2 * REST_SECONDS_MIN, 4 * REST_SECONDS_MIN]
    assert rests[-1] == REST_SECONDS_MAX


def test_errors_are_borne_twice_in_a_row(record: MirrorRecord) -> None:
    record.note_error(URL)
    record.note_error(URL)
    assert record.rests(URL) is None
    record.note_error(URL)
    assert record.rests(URL) is not None


def test_bytes_forgive_errors_and_only_right_ones_forgive_corruption(record: MirrorRecord) -> None:
    record.note_error(URL)
    record.note_bytes(URL, 1000, 1.0)
    assert record.known()[0].failures == 0
    record.note_corruption(URL)
    record.note_bytes(URL, 1000, 1.0)
    assert record.known()[0].failures == 1
    record.note_verified(URL)
    assert record.known()[0].failures == 0
    assert record.rests(URL) is None


def test_the_speed_follows_slowly(record: MirrorRecord) -> None:
    record.note_bytes(URL, 1_000_000, 0.5)
    assert record.known()[0].bytes_per_second == 2_000_000
    record.note_bytes(URL, 1_000_000, 1.0)
    assert record.known()[0].bytes_per_second == 1_800_000


def test_what_is_known_survives_the_process_and_damage_is_begun_anew(
    tmp_path: Path, clock: Clock
) -> None:
    path = tmp_path / "mirrors.json"
    record = MirrorRecord(path, clock)
    record.note_bytes(URL, 1000, 1.0)
    record.note_corruption(URL)
    record.save()
    assert MirrorRecord(path, clock).known() == record.known()
    for damaged in (b"", b"{}", b'{"format": 1, "mirrors": [{"x": 1}]}', b'{"format": 9}'):
        path.write_bytes(damaged)
        assert MirrorRecord(path, clock).known() == []


def test_the_mirror_that_was_asked_least_lately_is_forgotten(record: MirrorRecord) -> None:
    for number in range(MIRRORS_KNOWN_MAX + 1):
        record.note_bytes(f"{URL}{number}", 1, 1.0)
    record.note_bytes(f"{URL}1", 1, 1.0)
    known = [each.url for each in record.known()]
    assert len(known) == MIRRORS_KNOWN_MAX
    assert (known[0], known[-1]) == (f"{URL}2", f"{URL}1")


def test_a_record_that_the_disk_refused_is_written_when_it_takes_it_again(
    tmp_path: Path, clock: Clock
) -> None:
    folder = tmp_path / "away"
    record = MirrorRecord(folder / "mirrors.json", clock)
    record.note_error(URL)
    folder.write_bytes(b"a file where the folder should be")
    with pytest.raises(StorageError):
        record.save()

    folder.unlink()
    record.save()

    assert [each.url for each in MirrorRecord(folder / "mirrors.json", clock).known()] == [URL]


@pytest.mark.slow
async def test_a_mirror_that_rests_is_not_asked_and_later_it_is(
    tmp_path: Path, clock: Clock
) -> None:
    content = tmp_path / "web" / "tile.bin"
    content.parent.mkdir()
    content.write_bytes(bytes(range(256)) * 8000)
    made = describe(content)
    torrent = open_torrent(made.torrent, made.files)
    record = MirrorRecord(None, clock)
    torrents = Torrents(LOCAL, tmp_path / "home", None, record)
    spoil = [True]

    def change(part: bytes) -> bytes:
        return zeros(part) if spoil[0] else part

    with trio.fail_after(60):
        async with (
            serve_directory(content.parent, change=change) as mirror,
            trio.open_nursery() as nursery,
        ):
            await nursery.start(torrents.run)
            url = f"{mirror.url}tile.bin"
            with pytest.raises(PeerError, match="every source is corrupt"):
                await fetch(torrents, torrent, mirrors=[url])
            asked = mirror.requests
            with pytest.raises(PeerError, match="sent corrupt bytes: it is left alone until"):
                await fetch(torrents, torrent, mirrors=[url])
            assert mirror.requests == asked

            spoil[0] = False
            clock.now += REST_SECONDS_MIN + 1
            await fetch(torrents, torrent, mirrors=[url])
            (health,) = record.known()
            assert (health.url, health.failures) == (url, 0)
            assert health.sent_bytes >= torrent.files.size_bytes
            nursery.cancel_scope.cancel()
