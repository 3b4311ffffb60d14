"""Rates by the hour, the month's bytes, a pause: what bounds how much payloads move."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from meshnode.config import parse
from meshnode.demo.mirror import serve_directory
from meshnode.errors import ConfigError, MeshnodeError, StorageError, UsageError
from meshnode.runtime.payloads import governor as governing
from meshnode.runtime.payloads.limits import (
    UNLIMITED,
    Limits,
    Rates,
    Stop,
    parse_hours,
    rates,
    stop,
)
from meshnode.runtime.payloads.torrent_check import CheckedTorrent
from meshnode.runtime.payloads.traffic import Month, Traffic
from meshnode.runtime.payloads.wants import Want
from tests.runtime.test_partial_holding import (
    MIB,
    PIECES,
    content,  # noqa: F401 - a fixture
    hold,
    read,
    torrent,  # noqa: F401 - a fixture
)
from tests.runtime.test_torrents import LOCAL, fetch, running

NOVEMBER = 1_795_996_800  # 2026-11-30T00:00Z
DECEMBER = NOVEMBER + 86_400
NIGHT = Limits(9, 8, (22 * 60, 6 * 60), 2, 1)


@pytest.mark.parametrize(
    ("minute", "expected"),
    [(0, (2, 1)), (359, (2, 1)), (360, (9, 8)), (1319, (9, 8)), (1320, (2, 1)), (1439, (2, 1))],
)
def test_slow_hours_may_span_midnight(minute: int, expected: tuple[int, int]) -> None:
    assert rates(NIGHT, minute) == Rates(*expected)
    assert rates(replace(NIGHT, slow_minutes=None), minute) == Rates(9, 8)


def test_the_month_or_the_operator_stops_what_moves() -> None:
    assert stop(UNLIMITED, 1 << 60, is_paused=False) is None
    assert stop(Limits(monthly_bytes_max=10), 9, is_paused=False) is None
    assert stop(Limits(monthly_bytes_max=10), 10, is_paused=False) is Stop.MONTH
    assert stop(Limits(monthly_bytes_max=10), 10, is_paused=True) is Stop.PAUSED


def test_hours_are_read_as_they_are_written() -> None:
    assert parse_hours("08:00-22:30") == (480, 1350)
    assert parse_hours("") is None
    for wrong in ("8", "08:00", "08:00-08:00", "24:00-01:00", "aa:00-01:00", "08:60-09:00"):
        with pytest.raises(ValueError, match=r"hours|no time"):
            parse_hours(wrong)


@pytest.mark.parametrize("hours", ["8:00-22:00", "08:00-08:00", "25:00-26:00", "08:00"])
def test_hours_that_are_none_are_no_setting(hours: str) -> None:
    with pytest.raises(ConfigError, match=r"payload\.slow_hours"):
        parse(f'[payload]\nslow_hours = "{hours}"', "the test")


def test_what_moved_is_counted_once_over_restarts_and_begins_anew_each_month(
    tmp_path: Path,
) -> None:
    now = [NOVEMBER]
    path = tmp_path / "traffic.json"
    traffic = Traffic(path, lambda: now[0])
    traffic.note(100, 10)
    traffic.note(150, 10)
    traffic.save()
    again = Traffic(path, lambda: now[0])
    again.note(5, 5)
    assert again.month == Month("2026-11", 155, 15)
    again.pause(is_paused=True)
    now[0] = DECEMBER
    again.note(6, 6)
    assert again.month == Month("2026-12", 1, 1, is_paused=True)
    again.save()
    assert Traffic(path, lambda: now[0]).month == again.month
    path.write_bytes(b"{}")
    with pytest.raises(StorageError, match="is damaged"):
        Traffic(path, lambda: now[0])


@pytest.mark.slow
async def test_a_pause_stops_a_download_and_what_came_is_kept_and_read(
    tmp_path: Path,
    content: Path,  # noqa: F811
    torrent: CheckedTorrent,  # noqa: F811
) -> None:
    async with (
        serve_directory(content.parent, bytes_per_second=4 * MIB) as mirror,
        running(LOCAL, tmp_path / "home") as torrents,
    ):
        url = mirror.url + "big.bin"
        await hold(torrents, torrent, [0, 1], url)
        steps = torrents.download(torrent, mirrors=[url])
        async with contextlib.aclosing(steps):
            await anext(steps)
            await torrents.governor.pause(is_paused=True)
            with pytest.raises(UsageError, match="transfers are paused"):
                async for _ in steps:
                    pass
        assert len(await read(torrents, torrent, range(2 * MIB))) == 2 * MIB
        with pytest.raises(UsageError, match="transfers are paused"):
            await read(torrents, torrent, range(11 * MIB, 12 * MIB), url)

        await torrents.governor.pause(is_paused=False)
        await fetch(torrents, torrent, mirrors=[url])
        assert torrents.holds(torrent.key)


@pytest.mark.slow
async def test_when_the_bytes_of_the_month_are_used_up_nothing_moves_any_more(
    tmp_path: Path,
    content: Path,  # noqa: F811
    torrent: CheckedTorrent,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(governing, "LOOK_SECONDS", 0.05)
    settings = replace(LOCAL, limits=Limits(monthly_bytes_max=4 * MIB))
    async with (
        serve_directory(content.parent, bytes_per_second=4 * MIB) as mirror,
        running(settings, tmp_path / "home") as torrents,
    ):
        with pytest.raises(UsageError, match="4194304 bytes of this month are used up"):
            await fetch(torrents, torrent, mirrors=[mirror.url + "big.bin"])
        moved = torrents.governor.traffic.month.received_bytes
        assert 4 * MIB <= moved < PIECES * MIB
        assert torrents.governor.stopped is Stop.MONTH


@pytest.mark.slow
async def test_holds_share_their_rate_and_who_waits_is_not_bound_by_it(
    tmp_path: Path,
    content: Path,  # noqa: F811
    torrent: CheckedTorrent,  # noqa: F811
) -> None:
    settings = replace(LOCAL, limits=Limits(hold_bytes_per_second=1000))
    async with (
        serve_directory(content.parent) as mirror,
        running(settings, tmp_path / "home") as torrents,
    ):
        transfer = await torrents.open(torrent)
        governor = torrents.governor
        with governor.holding(transfer):
            assert transfer.handle.current.download_limit() == 1000
            with transfer.priorities.claiming(Want.DOWNLOAD, [1]):
                governor.look()
                assert transfer.handle.current.download_limit() in (0, -1)
        assert transfer.handle.current.download_limit() in (0, -1)
        await fetch(torrents, torrent, mirrors=[mirror.url + "big.bin"])


@pytest.mark.slow
async def test_the_rates_of_the_hour_are_told_to_the_engine(tmp_path: Path) -> None:
    minute = [12 * 60]
    settings = replace(LOCAL, limits=NIGHT)
    async with running(settings, tmp_path / "home") as torrents:
        torrents.governor._minute = lambda: minute[0]
        for at, expected in ((12 * 60, (9, 8)), (23 * 60, (2, 1)), (7 * 60, (9, 8))):
            minute[0] = at
            torrents.governor.look()
            session = torrents._roster.engine.session
            found = session.get_settings()
            assert (found["download_rate_limit"], found["upload_rate_limit"]) == expected


@pytest.mark.slow
async def test_a_payload_that_is_denied_ends_for_its_reader_at_once(
    tmp_path: Path,
    content: Path,  # noqa: F811
    torrent: CheckedTorrent,  # noqa: F811
) -> None:
    async with (
        serve_directory(content.parent) as mirror,
        running(LOCAL, tmp_path / "home") as torrents,
    ):
        await fetch(torrents, torrent, mirrors=[mirror.url + "big.bin"])
        with trio.fail_after(60):
            parts = torrents.read(torrent, 0, range(PIECES * MIB))
            async with contextlib.aclosing(parts):
                await anext(parts)
                await torrents.stop(torrent.key, erase=False)
                with pytest.raises(MeshnodeError, match="withdrawn or denied meanwhile"):
                    await anext(parts)
        assert not torrents.serves(torrent.key)
