"""What a peer keeps stays within what its operator gives, at every moment."""

from __future__ import annotations

import contextlib
import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest
import trio

from meshnode.control import Control
from meshnode.demo.mirror import serve_directory
from meshnode.errors import StorageError
from meshnode.runtime.payloads.creation import describe
from meshnode.runtime.payloads.torrent_check import CheckedTorrent, open_torrent
from meshnode.runtime.payloads.torrent_session import TorrentSettings
from meshnode.runtime.payloads.torrents import Torrents
from meshnode.runtime.quota import Quota, QuotaError, occupied_bytes
from meshnode.runtime.service import running
from tests.runtime.homes import (
    WITHIN_SECONDS,
    follow,
    loopback,
    made_home,
    publish,
    publisher_of,
)
from tests.runtime.test_torrents import fetch

pytestmark = pytest.mark.slow

MIB = 1 << 20
LOCAL = TorrentSettings(allow_local_addresses=True, stall_seconds=20, read_stall_seconds=20)


class Peak:
    """The most that a folder occupied, looked at all the time by a thread."""

    def __init__(self, root: Path) -> None:
        self.bytes = 0
        self.looks = 0
        self.seconds = 0.0
        self._root = root
        self._ended = threading.Event()

    @contextlib.contextmanager
    def watching(self) -> Iterator[Peak]:
        thread = threading.Thread(target=self._look)
        thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            thread.join()

    @property
    def looks_per_second(self) -> float:
        return self.looks / self.seconds

    def _look(self) -> None:
        started = time.perf_counter()
        while not self._ended.is_set():
            self.bytes = max(self.bytes, occupied_bytes(self._root))
            self.looks += 1
        self.seconds = time.perf_counter() - started


@pytest.fixture
def torrents_of(tmp_path: Path) -> dict[str, CheckedTorrent]:
    """Five payloads of 4 MiB each, at a mirror's folder."""
    folder = tmp_path / "files"
    folder.mkdir()
    made = {}
    for number in range(5):
        path = folder / f"{number}.bin"
        path.write_bytes(random.Random(number).randbytes(4 * MIB))
        described = describe(path)
        made[path.name] = open_torrent(described.torrent, described.files)
    return made


@contextlib.asynccontextmanager
async def limited(root: Path, limit_bytes: int, free_bytes_min: int = 0):
    await trio.Path(root).mkdir()
    quota = Quota(root, limit_bytes, free_bytes_min)
    torrents = Torrents(LOCAL, root / "payloads", quota)
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            await nursery.start(torrents.run)
            yield torrents, quota
            nursery.cancel_scope.cancel()


async def read_all(torrents: Torrents, torrent: CheckedTorrent, url: str) -> bytes:
    parts = torrents.read(torrent, 0, range(torrent.files.size_bytes), mirrors=[url])
    async with contextlib.aclosing(parts):
        return b"".join([part async for part in parts])


def test_what_is_occupied_is_counted_in_blocks_and_once_a_file(tmp_path: Path) -> None:
    holes = tmp_path / "holes"
    with holes.open("wb") as file:
        file.truncate(100 * MIB)
        os.pwrite(file.fileno(), bytes(range(256)) * 256, 50 * MIB)
    before = occupied_bytes(tmp_path)
    (tmp_path / "link").hardlink_to(holes)
    (tmp_path / "elsewhere").symlink_to("/")

    assert 64 << 10 <= before < MIB
    assert occupied_bytes(tmp_path) - before <= 4096


async def test_room_is_granted_up_to_the_limit_and_given_back(tmp_path: Path) -> None:
    quota = Quota(tmp_path, 16 * MIB)
    await quota.reserve("a", 10 * MIB)
    with pytest.raises(QuotaError, match=r"6\.3 MB more do not fit: of 16\.8 MB") as caught:
        await quota.reserve("b", 6 * MIB)
    quota.keep("a", 0)
    await quota.reserve("b", 6 * MIB)

    assert "meshnode payload drop" in caught.value.hint
    assert quota.known().reserved_bytes == 6 * MIB


async def test_what_was_written_under_a_reservation_counts_once(tmp_path: Path) -> None:
    quota = Quota(tmp_path, 32 * MIB)
    await quota.reserve("a", 14 * MIB)
    (tmp_path / "data").write_bytes(random.Random(1).randbytes(14 * MIB))
    quota.keep("a", 0)
    await quota.reserve("b", 14 * MIB)
    with pytest.raises(QuotaError):
        await quota.reserve("c", 4 * MIB)


async def test_the_disk_keeps_what_shall_stay_free(tmp_path: Path) -> None:
    quota = Quota(tmp_path, 0, free_bytes_min=1 << 60)
    with pytest.raises(QuotaError, match="are free on the disk") as caught:
        await quota.reserve("a", 1)
    assert quota.is_disk_full
    assert caught.value.hint == "free disk space, or lower payload.free_bytes_min"


async def test_downloads_at_once_are_refused_before_the_quota_is_exceeded(
    tmp_path: Path, torrents_of: dict[str, CheckedTorrent]
) -> None:
    limit = 14 * MIB
    refused: list[str] = []

    async def attempt(name: str) -> None:
        try:
            await fetch(torrents, torrents_of[name], mirrors=[mirror.url + name])
        except QuotaError:
            refused.append(name)

    async with (
        serve_directory(tmp_path / "files") as mirror,
        limited(tmp_path / "home", limit) as (torrents, _),
    ):
        with Peak(tmp_path / "home").watching() as peak:
            async with trio.open_nursery() as nursery:
                for name in torrents_of:
                    nursery.start_soon(attempt, name)

    assert len(refused) == 2  # three of four MiB fit into thirteen that are not held back
    assert 12 * MIB <= peak.bytes <= limit


async def test_a_refused_download_fetches_nothing_and_goes_once_there_is_room(
    tmp_path: Path, torrents_of: dict[str, CheckedTorrent]
) -> None:
    first, second = torrents_of["0.bin"], torrents_of["1.bin"]
    async with (
        serve_directory(tmp_path / "files") as mirror,
        limited(tmp_path / "home", 7 * MIB) as (torrents, _),
    ):
        await fetch(torrents, first, mirrors=[f"{mirror.url}0.bin"])
        with pytest.raises(QuotaError):
            await fetch(torrents, second, mirrors=[f"{mirror.url}1.bin"])
        assert mirror.served_bytes == 4 * MIB
        await torrents.stop(first.key, erase=True)
        await fetch(torrents, second, mirrors=[f"{mirror.url}1.bin"])
        assert torrents.holds(second.key)


def pieces_held(torrents: Torrents, torrent: CheckedTorrent) -> int:
    transfer = torrents._roster.find(torrent.key)
    return 0 if transfer is None else sum(transfer.holdings.written)


async def test_what_was_read_in_place_goes_when_its_room_is_needed_the_longest_unread_first(
    tmp_path: Path, torrents_of: dict[str, CheckedTorrent]
) -> None:
    limit = 14 * MIB
    async with (
        serve_directory(tmp_path / "files") as mirror,
        limited(tmp_path / "home", limit) as (torrents, _),
    ):
        with Peak(tmp_path / "home").watching() as peak:
            await fetch(torrents, torrents_of["4.bin"], mirrors=[f"{mirror.url}4.bin"])
            for number in (0, 1, 0, 2):
                found = await read_all(
                    torrents, torrents_of[f"{number}.bin"], f"{mirror.url}{number}.bin"
                )
                assert found == random.Random(number).randbytes(4 * MIB)
            held = {n: pieces_held(torrents, torrents_of[f"{n}.bin"]) for n in (0, 1, 2, 4)}

    assert held[4] == held[2] == 4
    assert held[1] < 4
    assert held[0] == 4 or held[1] == 0  # it was read later: it goes after
    assert peak.bytes <= limit


async def test_what_is_being_read_and_what_somebody_asked_for_does_not_go(
    tmp_path: Path, torrents_of: dict[str, CheckedTorrent]
) -> None:
    async with (
        serve_directory(tmp_path / "files") as mirror,
        limited(tmp_path / "home", 9 * MIB) as (torrents, _),
    ):
        await fetch(torrents, torrents_of["0.bin"], mirrors=[f"{mirror.url}0.bin"])
        reading = torrents.read(
            torrents_of["1.bin"], 0, range(4 * MIB), mirrors=[f"{mirror.url}1.bin"]
        )
        async with contextlib.aclosing(reading):
            first = await anext(reading)
            with pytest.raises(QuotaError):
                await fetch(torrents, torrents_of["2.bin"], mirrors=[f"{mirror.url}2.bin"])
            rest = b"".join([part async for part in reading])
        assert first + rest == random.Random(1).randbytes(4 * MIB)
        assert torrents.holds(torrents_of["0.bin"].key)


async def test_when_others_fill_the_disk_a_download_ends_with_the_reason(
    tmp_path: Path, torrents_of: dict[str, CheckedTorrent]
) -> None:
    async with (
        serve_directory(tmp_path / "files", bytes_per_second=MIB // 2) as mirror,
        limited(tmp_path / "home", 0) as (torrents, quota),
    ):
        steps = torrents.download(torrents_of["0.bin"], mirrors=[f"{mirror.url}0.bin"])
        async with contextlib.aclosing(steps):
            await anext(steps)
            quota._free_min = 1 << 60  # as if others had taken the rest
            with pytest.raises(StorageError, match="filled up to what is to stay free"):
                async for _ in steps:
                    pass


def test_a_folder_that_goes_while_it_is_measured_is_no_error(tmp_path: Path) -> None:
    assert occupied_bytes(tmp_path / "gone") == 0


async def test_catalogues_may_use_what_is_held_back_from_payloads(tmp_path: Path) -> None:
    quota = Quota(tmp_path, 32 * MIB, free_bytes_min=1 << 60)
    await quota.reserve("segment", 31 * MIB, is_payload=False)
    with pytest.raises(QuotaError):
        await quota.reserve("another", 2 * MIB, is_payload=False)


async def test_a_peer_whose_quota_is_used_up_takes_no_segment_and_says_why(tmp_path: Path) -> None:
    home, other = made_home(tmp_path / "home"), made_home(tmp_path / "other")
    institution, publisher = publisher_of(home)
    settings = loopback()
    with trio.fail_after(WITHIN_SECONDS):
        async with running(home.root, settings, online=True):
            await follow(home, institution)
            await publish(publisher, tmp_path, "a")
            addresses = (await Control(home.control).ask("status"))["addresses"]
            payload = settings.payload.model_copy(update={"quota_bytes": MIB})
            small = loopback(*addresses).model_copy(update={"payload": payload})
            async with (
                running(other.root, small, online=True),
                aclosing(Control(other.control).follow("watch")) as changes,
            ):
                await Control(other.control).ask("follow", catalogue=institution.text)
                async for change in changes:
                    if reason := change["event"]["read_only"]:
                        break
    assert "that this peer may keep" in reason
    assert occupied_bytes(other.root) <= MIB
