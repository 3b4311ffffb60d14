"""A peer holds parts of payloads, gives up others, and never gives a byte that is not right."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Collection
from dataclasses import replace
from functools import partial
from pathlib import Path

import libtorrent as lt
import pytest
import trio

from meshnode.demo.mirror import serve_directory
from meshnode.errors import PeerError, StorageError, UsageError
from meshnode.runtime.payloads.account import Progress, State
from meshnode.runtime.payloads.bitmaps import packed, unpacked
from meshnode.runtime.payloads.creation import describe
from meshnode.runtime.payloads.holes import can_punch, held_bytes, punch
from meshnode.runtime.payloads.piece_check import PieceCheck
from meshnode.runtime.payloads.torrent_check import (
    CheckedTorrent,
    open_foreign_torrent,
    open_torrent,
)
from meshnode.runtime.payloads.torrents import Torrents
from meshnode.runtime.payloads.transfers import Transfer
from meshnode.runtime.payloads.wants import UNWANTED, Want, priority
from tests.runtime.test_quota import Peak, limited
from tests.runtime.test_torrents import LOCAL, fetch, running, zeros

pytestmark = pytest.mark.slow

MIB = 1 << 20
PIECES = 12


@pytest.fixture
def content(tmp_path: Path) -> Path:
    """One file of twelve pieces of 1 MiB."""
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "big.bin").write_bytes(random.Random(3).randbytes(PIECES * MIB))
    return folder / "big.bin"


@pytest.fixture
def torrent(content: Path) -> CheckedTorrent:
    made = describe(content)
    return open_torrent(made.torrent, made.files)


async def hold(
    torrents: Torrents, torrent: CheckedTorrent, pieces: Collection[int] | None, url: str
) -> Progress:
    last = None
    with trio.fail_after(60):
        steps = torrents.hold(torrent, pieces, mirrors=[url])
        async with contextlib.aclosing(steps):
            async for step in steps:
                last = step
    assert last is not None
    assert last.state is State.DONE
    return last


async def read(torrents: Torrents, torrent: CheckedTorrent, span: range, *urls: str) -> bytes:
    with trio.fail_after(60):
        async with contextlib.aclosing(torrents.read(torrent, 0, span, mirrors=urls)) as parts:
            return b"".join([part async for part in parts])


def transfer_of(torrents: Torrents, torrent: CheckedTorrent) -> Transfer:
    transfer = torrents._roster.find(torrent.key)
    assert transfer is not None
    return transfer


def whole(path: Path) -> bytes:
    return path.read_bytes()


def here(torrents: Torrents, torrent: CheckedTorrent) -> list[int]:
    """Return the pieces that the peer says are on the disk."""
    written = transfer_of(torrents, torrent).holdings.written
    return [piece for piece, is_here in enumerate(written) if is_here]


def block_bytes(torrents: Torrents, torrent: CheckedTorrent) -> int:
    return held_bytes(transfer_of(torrents, torrent).locations)


def flip(path: Path, at: int) -> None:
    """Change one byte of a file, as a disk does that rots: size and time stay."""
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


# --- Small parts ----------------------------------------------------------------------------------
def test_the_strongest_want_says_how_urgent_a_piece_is() -> None:
    said = [
        priority(readers=r, downloads=d, holds=h)
        for r, d, h in [(0, 0, 0), (0, 0, 2), (0, 1, 2), (1, 1, 1), (1, 0, 0)]
    ]
    assert said == [UNWANTED, Want.HOLD, Want.DOWNLOAD, Want.READ, Want.READ]
    assert sorted(Want) == [Want.HOLD, Want.DOWNLOAD, Want.READ]


def test_flags_come_back_from_their_bits() -> None:
    flags = [1, 0, 0, 1, 1, 0, 1, 0, 0, 1]
    assert packed(flags) == bytes([0b01011001, 0b10])
    assert list(unpacked(packed(flags), 10)) == flags
    with pytest.raises(ValueError, match="8 flags, not 9"):
        unpacked(b"\0", 9)


def test_a_hole_gives_back_its_blocks_and_keeps_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "file"
    raw = random.Random(1).randbytes(4 * MIB)
    path.write_bytes(raw)
    path.chmod(0o444)

    punch(path, [range(MIB, 3 * MIB)])
    punch(tmp_path / "none", [range(MIB)])

    assert can_punch(tmp_path)
    assert path.read_bytes() == raw[:MIB] + bytes(2 * MIB) + raw[3 * MIB :]
    assert held_bytes([path, tmp_path / "none"]) == 2 * MIB
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("flags", [0, lt.create_torrent.v1_only, lt.create_torrent.v2_only])
def test_each_kind_of_torrent_finds_a_byte_that_changed(tmp_path: Path, flags: int) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    for number, size in enumerate((3 * 65536 + 5, 40_000, 65536, 9)):
        (folder / f"{number}.bin").write_bytes(random.Random(number).randbytes(size))
    creator = lt.create_torrent(lt.list_files(str(folder)), 65536, int(flags))
    lt.set_piece_hashes(creator, str(tmp_path))
    raw = lt.bencode(creator.generate())
    is_v1 = flags == lt.create_torrent.v1_only
    torrent = open_foreign_torrent(raw) if is_v1 else open_torrent(raw, describe(folder).files)
    paths = [tmp_path / file.path for file in torrent.files.files]
    check = PieceCheck(torrent, paths)

    assert [check.is_right(piece) for piece in range(torrent.piece_count)] == (
        [True] * torrent.piece_count
    )
    assert check.right_part(1, torrent.spans[1].start) is not None
    flip(paths[0], 65536 + 7)
    flip(paths[3], 8)
    wrong = [piece for piece in range(torrent.piece_count) if not check.is_right(piece)]
    assert wrong == sorted({1 + torrent.spans[0].start, torrent.spans[3].start})
    paths[2].unlink()
    assert not check.is_right(torrent.spans[2].start)


# --- Holding --------------------------------------------------------------------------------------
async def test_only_the_pieces_to_hold_cross_the_wire_and_fill_the_disk(
    tmp_path: Path, content: Path, torrent: CheckedTorrent
) -> None:
    wanted = [0, 3, 4, 9]
    async with (
        serve_directory(content.parent) as mirror,
        running(LOCAL, tmp_path / "home") as torrents,
    ):
        progress = await hold(torrents, torrent, wanted, mirror.url + "big.bin")

        assert progress.done_bytes == progress.total_bytes == len(wanted) * MIB
        assert mirror.served_bytes <= 1.02 * len(wanted) * MIB
        assert here(torrents, torrent) == wanted
        assert block_bytes(torrents, torrent) == len(wanted) * MIB
        assert torrents.serves(torrent.key)
        assert not torrents.holds(torrent.key)


async def test_what_is_released_frees_its_blocks_and_the_rest_is_served_on(
    tmp_path: Path, content: Path, torrent: CheckedTorrent
) -> None:
    async with (
        serve_directory(content.parent) as mirror,
        running(LOCAL, tmp_path / "home") as torrents,
        running(LOCAL, tmp_path / "other") as other,
    ):
        await hold(torrents, torrent, None, mirror.url + "big.bin")
        assert torrents.holds(torrent.key)

        assert await torrents.release(torrent.key, range(2, 12)) == 10
        assert here(torrents, torrent) == [0, 1]
        assert block_bytes(torrents, torrent) == 2 * MIB
        assert not torrents.holds(torrent.key)

        steps = other.hold(torrent, [0, 1], peers=[("127.0.0.1", torrents.port)])
        with trio.fail_after(60):
            async with contextlib.aclosing(steps):
                progress = [step async for step in steps][-1]
        assert list(progress.by_source) == [f"peer 127.0.0.1:{torrents.port}"]
        assert await read(other, torrent, range(2 * MIB)) == whole(content)[: 2 * MIB]

        assert await torrents.release(torrent.key) == 2
        assert not (tmp_path / "home" / torrent.key.hex()).exists()
        with pytest.raises(UsageError, match="nothing of this payload is here"):
            await torrents.release(torrent.key)


async def test_parts_are_served_again_after_a_restart_and_nothing_else_is_there(
    tmp_path: Path, content: Path, torrent: CheckedTorrent
) -> None:
    async with serve_directory(content.parent) as mirror:
        async with running(LOCAL, tmp_path / "home") as torrents:
            await hold(torrents, torrent, [1, 5], mirror.url + "big.bin")
            (path,) = transfer_of(torrents, torrent).locations
        with path.open("r+b") as file:  # what came just before a crash, and was not recorded
            os.pwrite(file.fileno(), whole(content)[7 * MIB : 8 * MIB], 7 * MIB)
    async with running(LOCAL, tmp_path / "home") as torrents:
        assert here(torrents, torrent) == [1, 5]
        assert block_bytes(torrents, torrent) == 2 * MIB
        assert (
            await read(torrents, torrent, range(5 * MIB, 6 * MIB))
            == (whole(content)[5 * MIB : 6 * MIB])
        )


async def test_who_fetches_is_not_cut_off_when_pieces_are_given_up(
    tmp_path: Path, content: Path, torrent: CheckedTorrent
) -> None:
    async with (
        serve_directory(content.parent) as mirror,
        running(LOCAL, tmp_path / "home") as torrents,
        running(LOCAL, tmp_path / "leech") as leech,
    ):
        await hold(torrents, torrent, None, mirror.url + "big.bin")
        await trio.to_thread.run_sync(
            partial(transfer_of(torrents, torrent).holdings.keep, range(12), is_kept=False)
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                partial(
                    fetch,
                    leech,
                    torrent,
                    peers=[("127.0.0.1", torrents.port)],
                    mirrors=[mirror.url + "big.bin"],
                )
            )
            for piece in range(8):
                await torrents.release(torrent.key, [piece])
        assert leech.holds(torrent.key)
        assert here(torrents, torrent) == [8, 9, 10, 11]
        assert transfer_of(leech, torrent).handle.current.status(0).total_failed_bytes == 0


async def test_a_file_that_a_user_has_by_another_name_keeps_its_bytes(
    tmp_path: Path, content: Path, torrent: CheckedTorrent
) -> None:
    async with (
        serve_directory(content.parent) as mirror,
        running(LOCAL, tmp_path / "home") as torrents,
    ):
        await fetch(torrents, torrent, mirrors=[mirror.url + "big.bin"])
        mine = tmp_path / "mine.bin"
        mine.hardlink_to(transfer_of(torrents, torrent).locations[0])

        assert await torrents.release(torrent.key, [1, 2, 3]) == 0
        assert await torrents.release(torrent.key) == PIECES

    assert whole(mine) == whole(content)


async def test_where_files_have_no_holes_whole_files_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meshnode.runtime.payloads.torrents.can_punch", lambda _folder: False)
    folder = tmp_path / "files" / "set"
    folder.mkdir(parents=True)
    for name in "ab":
        (folder / name).write_bytes(random.Random(name).randbytes(2 * MIB))
    made = describe(folder)
    torrent = open_torrent(made.torrent, made.files)
    async with (
        serve_directory(folder.parent) as mirror,
        running(LOCAL, tmp_path / "home") as torrents,
    ):
        await hold(torrents, torrent, None, mirror.url)

        assert await torrents.release(torrent.key, [0, 2, 3]) == 2
        assert here(torrents, torrent) == [0, 1]
        assert block_bytes(torrents, torrent) == 2 * MIB


# --- The cache ------------------------------------------------------------------------------------
async def test_a_file_larger_than_the_quota_is_read_through_within_it(
    tmp_path: Path, content: Path, torrent: CheckedTorrent
) -> None:
    limit = 6 * MIB
    async with (
        serve_directory(content.parent) as mirror,
        limited(tmp_path / "home", limit) as (torrents, _),
    ):
        with Peak(tmp_path / "home").watching() as peak:
            found = await read(torrents, torrent, range(PIECES * MIB), mirror.url + "big.bin")

        assert found == whole(content)
        assert 4 * MIB <= peak.bytes <= limit
        # What is on its way when pieces go is asked for again: a piece for each that goes, at most.
        assert mirror.served_bytes <= 2 * PIECES * MIB


async def test_pieces_go_that_were_not_read_for_the_longest_time_and_kept_ones_stay(
    tmp_path: Path, content: Path, torrent: CheckedTorrent
) -> None:
    url = "big.bin"
    async with (
        serve_directory(content.parent) as mirror,
        limited(tmp_path / "home", 7 * MIB) as (torrents, _),
    ):
        await hold(torrents, torrent, [11], mirror.url + url)
        for piece in (0, 1, 2, 3, 4, 0, 1, 7, 8):
            span = range(piece * MIB, piece * MIB + 9)
            await read(torrents, torrent, span, mirror.url + url)

        assert set(here(torrents, torrent)) >= {0, 1, 7, 8, 11}
        assert not {2, 3} & set(here(torrents, torrent))


async def test_when_others_fill_the_disk_what_nobody_keeps_goes_and_the_rest_stays(
    tmp_path: Path, content: Path, torrent: CheckedTorrent
) -> None:
    async with (
        serve_directory(content.parent) as mirror,
        limited(tmp_path / "home", 0) as (torrents, quota),
    ):
        url = mirror.url + "big.bin"
        await hold(torrents, torrent, [2, 3], url)
        await read(torrents, torrent, range(6 * MIB, 8 * MIB), url)
        assert here(torrents, torrent) == [2, 3, 6, 7]
        quota._free_min = 1 << 60  # as if others had taken the rest
        await torrents._tending._give_way()
        assert here(torrents, torrent) == [2, 3]


async def test_the_quota_holds_while_all_happens_at_once(
    tmp_path: Path, content: Path, torrent: CheckedTorrent
) -> None:
    limit = 12 * MIB
    other = content.parent / "other.bin"
    other.write_bytes(random.Random(4).randbytes(6 * MIB))
    described = describe(other)
    second = open_torrent(described.torrent, described.files)
    async with (
        serve_directory(content.parent) as mirror,
        limited(tmp_path / "home", limit) as (torrents, _),
    ):

        async def read_parts(start: int) -> None:
            for piece in (start, start + 3, start + 6):
                span = range(piece * MIB + 9, (piece + 1) * MIB)
                found = await read(torrents, torrent, span, mirror.url + "big.bin")
                assert found == whole(content)[span.start : span.stop]

        async def hold_and_release() -> None:
            for piece in range(4):
                await hold(torrents, second, [piece, piece + 1], mirror.url + "other.bin")
                await torrents.release(second.key, [piece])

        with Peak(tmp_path / "home").watching() as peak:
            async with trio.open_nursery() as nursery:
                for start in range(3):
                    nursery.start_soon(read_parts, start)
                nursery.start_soon(hold_and_release)
        assert here(torrents, second) == [4]
        assert 5 * MIB <= peak.bytes <= limit
        assert peak.looks_per_second >= 20


# --- Rot ------------------------------------------------------------------------------------------
async def test_a_rotten_byte_is_not_given_but_fetched_again(
    tmp_path: Path, content: Path, torrent: CheckedTorrent
) -> None:
    async with (
        serve_directory(content.parent) as mirror,
        running(LOCAL, tmp_path / "home") as torrents,
    ):
        await fetch(torrents, torrent, mirrors=[mirror.url + "big.bin"])
        flip(transfer_of(torrents, torrent).locations[0], 5 * MIB + 1)
        flip(transfer_of(torrents, torrent).locations[0], 6 * MIB + 1)
        before = mirror.served_bytes
        found = await read(torrents, torrent, range(PIECES * MIB), mirror.url + "big.bin")

        assert found == whole(content)
        assert mirror.served_bytes - before <= 1.02 * 2 * MIB
        assert whole(transfer_of(torrents, torrent).locations[0]) == whole(content)


async def test_a_rotten_byte_without_a_good_source_is_an_error_and_never_given(
    tmp_path: Path, content: Path, torrent: CheckedTorrent
) -> None:
    settings = replace(LOCAL, read_stall_seconds=2)
    async with (
        serve_directory(content.parent) as mirror,
        running(LOCAL, tmp_path / "home") as torrents,
    ):
        await fetch(torrents, torrent, mirrors=[mirror.url + "big.bin"])
    async with (
        serve_directory(content.parent, change=zeros) as bad,
        running(settings, tmp_path / "home") as torrents,
    ):
        flip(transfer_of(torrents, torrent).locations[0], 5 * MIB + 1)
        with pytest.raises(PeerError, match=r"corrupt|nothing came"):
            await read(torrents, torrent, range(5 * MIB, 6 * MIB), bad.url + "big.bin")
        assert 5 not in here(torrents, torrent)


async def test_a_publishers_own_file_that_rots_is_served_no_more_and_never_written_to(
    tmp_path: Path, content: Path, torrent: CheckedTorrent
) -> None:
    good = tmp_path / "good"
    good.mkdir()
    (good / "big.bin").write_bytes(whole(content))
    async with (
        serve_directory(good) as mirror,
        running(LOCAL, tmp_path / "home") as torrents,
    ):
        await torrents.seed(torrent, content)
        flip(content, 5 * MIB + 1)
        damaged = whole(content)
        with pytest.raises(StorageError, match="was changed since it was published"):
            await read(torrents, torrent, range(5 * MIB, 6 * MIB))
        assert 5 not in here(torrents, torrent)
        span = range(5 * MIB, 6 * MIB)
        assert (
            await read(torrents, torrent, span, mirror.url + "big.bin")
            == (whole(good / "big.bin")[5 * MIB : 6 * MIB])
        )
    assert whole(content) == damaged
