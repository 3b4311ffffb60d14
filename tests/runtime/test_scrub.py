"""Rot on the disk is found, given up, and fetched again."""

from __future__ import annotations

import contextlib
import random
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from meshnode.control import Control
from meshnode.demo.mirror import serve_directory
from meshnode.runtime.clock import unix_now
from meshnode.runtime.payloads import scrub as scrubbing
from meshnode.runtime.payloads.payload_directory import PayloadDirectory
from meshnode.runtime.payloads.scrub import ScrubProgress, ScrubRecord, read_record, write_record
from meshnode.runtime.payloads.torrent_check import CheckedTorrent
from meshnode.runtime.payloads.torrents import Torrents
from meshnode.runtime.service import running as running_peer
from tests.runtime.homes import WITHIN_SECONDS, loopback, made_home
from tests.runtime.test_operator_payloads import publish_payload
from tests.runtime.test_partial_holding import (
    MIB,
    PIECES,
    content,  # noqa: F401 - a fixture
    flip,
    here,
    hold,
    torrent,  # noqa: F401 - a fixture
    transfer_of,
    whole,
)
from tests.runtime.test_torrents import LOCAL, fetch, running

pytestmark = pytest.mark.slow


async def look(torrents: Torrents, torrent: CheckedTorrent, steps_max: int = 100) -> ScrubProgress:  # noqa: F811
    """Scrub without a limit, so many steps; return the last progress."""
    last = None
    with trio.fail_after(60):
        async with contextlib.aclosing(torrents.scrub(torrent.key, 0)) as steps:
            async for step in steps:
                last = step
                steps_max -= 1
                if not steps_max:
                    break
    assert last is not None
    return last


async def test_rot_is_found_and_given_up_and_the_rest_stays(
    tmp_path: Path,
    content: Path,  # noqa: F811
    torrent: CheckedTorrent,  # noqa: F811
) -> None:
    async with (
        serve_directory(content.parent) as mirror,
        running(LOCAL, tmp_path / "home") as torrents,
    ):
        await hold(torrents, torrent, range(2, 10), mirror.url + "big.bin")
        assert (await look(torrents, torrent)).rotten == ()
        for piece in (3, 9):
            flip(transfer_of(torrents, torrent).locations[0], piece * MIB + 5)
        seen = await look(torrents, torrent)

        assert (seen.rotten, seen.done_bytes, seen.total_bytes) == ((3, 9), 8 * MIB, 8 * MIB)
        assert here(torrents, torrent) == [2, 4, 5, 6, 7, 8]
        assert torrents.missing() == {torrent.key: {3, 9}}
        record = read_record(PayloadDirectory(tmp_path / "home", torrent.key))
        assert (record.next_piece, record.rotten_pieces) == (0, 2)
        assert record.ended <= unix_now()


async def test_a_look_that_was_cut_off_goes_on_where_it_was_also_after_a_restart(
    tmp_path: Path,
    content: Path,  # noqa: F811
    torrent: CheckedTorrent,  # noqa: F811
) -> None:
    async with (
        serve_directory(content.parent) as mirror,
        running(LOCAL, tmp_path / "home") as torrents,
    ):
        await fetch(torrents, torrent, mirrors=[mirror.url + "big.bin"])
        assert (await look(torrents, torrent, steps_max=6)).done_bytes == 5 * MIB
    async with running(LOCAL, tmp_path / "home") as torrents:
        seen = await look(torrents, torrent)
        assert seen.done_bytes == seen.total_bytes == (PIECES - 5) * MIB
        assert (await look(torrents, torrent)).total_bytes == PIECES * MIB


async def test_a_peer_scrubs_by_itself_what_is_due(
    tmp_path: Path,
    content: Path,  # noqa: F811
    torrent: CheckedTorrent,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scrubbing, "LOOK_SECONDS", 0.1)
    directory = PayloadDirectory(tmp_path / "home", torrent.key)
    lately = ScrubRecord(ended=unix_now() - 3600)
    async with (
        serve_directory(content.parent) as mirror,
        running(LOCAL, tmp_path / "home") as torrents,
    ):
        await hold(torrents, torrent, [1], mirror.url + "big.bin")
        transfer = transfer_of(torrents, torrent)
        await trio.to_thread.run_sync(write_record, directory, lately)
        assert not torrents._scrubber._is_due(transfer)
        flip(transfer.locations[0], MIB + 5)
        await trio.to_thread.run_sync(write_record, directory, ScrubRecord(ended=1))
        with trio.fail_after(60):
            while here(torrents, torrent) == [1]:  # noqa: ASYNC110 - bounded by the deadline
                await trio.sleep(0.05)
    assert read_record(directory).rotten_pieces == 1


async def test_a_damaged_record_begins_the_look_anew(tmp_path: Path) -> None:
    path = tmp_path / ("00" * 32)
    await trio.Path(path).mkdir()
    for damaged in (b"{}", b"[1]", b'{"format": 9}', b'{"format": 1, "next_piece": "x"}', b"\xff"):
        await trio.Path(path / "scrub").write_bytes(damaged)
        found = await trio.to_thread.run_sync(
            read_record,
            PayloadDirectory(tmp_path, bytes(32)),  # type: ignore[arg-type]
        )
        assert found == ScrubRecord()


async def test_a_publishers_own_file_that_rots_is_named_and_not_written_to(
    tmp_path: Path,
    content: Path,  # noqa: F811
    torrent: CheckedTorrent,  # noqa: F811
) -> None:
    async with running(LOCAL, tmp_path / "home") as torrents:
        await torrents.seed(torrent, content)
        flip(content, 5)
        damaged = whole(content)
        assert (await look(torrents, torrent)).rotten == (0,)
        assert here(torrents, torrent) == list(range(1, PIECES))
        assert torrents.missing() == {}
        assert whole(content) == damaged


async def test_the_operator_has_rot_found_and_mended_from_a_mirror(tmp_path: Path) -> None:
    home, folder = made_home(tmp_path / "home"), tmp_path / "web"
    folder.mkdir()
    tile = folder / "tile.tif"
    tile.write_bytes(random.Random(1).randbytes(3 * MIB))
    with trio.fail_after(WITHIN_SECONDS):
        async with (
            serve_directory(folder) as mirror,
            running_peer(home.root, loopback(), online=True) as peer,
        ):
            assert peer.network is not None
            torrents = peer.network.torrents
            torrents._settings = replace(torrents._settings, stall_seconds=2)
            key = await publish_payload(home, tile, mirrors=[f"{mirror.url}tile.tif"])
            control = Control(home.control)
            await control.ask("payload_hold", payload=key, any_licence=True)
            flip(home.payloads / key / "data" / "0", MIB + 5)

            (found,) = (await control.ask("payload_scrub", bytes_per_second=0))["payloads"]
            assert (found["rotten_pieces"], found["missing_pieces"]) == ([1], [])
            assert whole(home.payloads / key / "data" / "0") == whole(tile)

            flip(home.payloads / key / "data" / "0", MIB + 5)
            await trio.Path(tile).unlink()
            (found,) = (await control.ask("payload_scrub", bytes_per_second=0))["payloads"]
            assert (found["rotten_pieces"], found["missing_pieces"]) == ([1], [1])
            assert "mirror" in found["reason"]
