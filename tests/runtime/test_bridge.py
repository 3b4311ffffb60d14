"""The bridge: a payload from files at unrelated URLs, and nobody else can use it."""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from meshnode.runtime.http.bridge import Bridge
from meshnode.runtime.payloads.address_filter import Mirror
from meshnode.runtime.payloads.mirror_record import MirrorRecord
from meshnode.runtime.payloads.mirrors.bridging import Bridged, Remote
from meshnode.runtime.payloads.torrent_session import TorrentSettings
from meshnode.runtime.payloads.torrents import Torrents
from meshnode.runtime.payloads.wants import Want
from tests.runtime.repository_servers import repository
from tests.runtime.test_mirror_record import Clock
from tests.runtime.test_torrents import MIB, fetch, same_files
from tests.runtime.test_web_seeds import LOCAL, torrent_of
from tests.runtime.web_seeds import files, says, web_seed

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "web" / "set"
    (path / "a").mkdir(parents=True)
    for number, name in enumerate(("one.bin", "a/two é.bin", "a/#3 x.bin")):
        (path / name).write_bytes(random.Random(number).randbytes(2 * MIB + number))
    return path


@contextlib.asynccontextmanager
async def bridged_engine(
    directory: Path, settings: TorrentSettings = LOCAL
) -> AsyncIterator[tuple[Torrents, Bridge]]:
    bridge = Bridge(allow_local=True)
    torrents = Torrents(settings, directory, None, MirrorRecord(None, Clock()), bridge)
    async with trio.open_nursery() as nursery:
        await nursery.start(bridge.run)
        await nursery.start(torrents.run)
        yield torrents, bridge
        nursery.cancel_scope.cancel()


@contextlib.asynccontextmanager
async def opened(answer: Any, files: dict[str, int]) -> AsyncIterator[tuple[Bridged, Any]]:
    """Bridge a server's files, given with their sizes."""
    async with web_seed(answer) as seed, trio.open_nursery() as nursery:
        bridge = Bridge(allow_local=True)
        await nursery.start(bridge.run)
        remotes = {f"set/{name}": Remote(seed.url + name, size) for name, size in files.items()}
        made = await bridge.open(seed.url, remotes)
        assert made is not None
        yield made, seed
        nursery.cancel_scope.cancel()


async def get(url: str, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as web:
        return await web.get(url, headers=headers)


@pytest.mark.parametrize("kind", ["v1", "hybrid", "v2"])
@pytest.mark.parametrize("form", ["records/77", "details/tiles", "bucket/?list-type=2&prefix="])
async def test_a_folder_comes_from_a_repository_whose_urls_have_no_order(
    tmp_path: Path, folder: Path, kind: str, form: str
) -> None:
    torrent = torrent_of(folder, kind)
    async with (
        web_seed(repository(folder)) as seed,
        bridged_engine(tmp_path / "home") as (torrents, _),
    ):
        last = await fetch(torrents, torrent, mirrors=[seed.url + form])
        assert await trio.to_thread.run_sync(same_files, torrents, torrent, folder)
    assert set(last.by_source) == {f"mirror {seed.url}{form}"}
    assert seed.sent_bytes <= 1.02 * torrent.files.size_bytes


async def test_without_a_bridge_it_comes_piece_by_piece(tmp_path: Path, folder: Path) -> None:
    torrent = torrent_of(folder, "hybrid")
    torrents = Torrents(LOCAL, tmp_path / "home")
    async with web_seed(repository(folder)) as seed, trio.open_nursery() as nursery:
        await nursery.start(torrents.run)
        await fetch(torrents, torrent, mirrors=[f"{seed.url}records/77"])
        assert await trio.to_thread.run_sync(same_files, torrents, torrent, folder)
        nursery.cancel_scope.cancel()


async def test_the_engine_reaches_the_bridge_and_no_other_address_of_this_machine(
    tmp_path: Path, folder: Path
) -> None:
    torrent = torrent_of(folder, "hybrid")
    async with (
        web_seed(files(folder.parent)) as seed,
        bridged_engine(tmp_path / "home", TorrentSettings()) as (torrents, bridge),
    ):
        remotes = {
            file.path: Remote(
                seed.url + file.path.replace("#", "%23").replace(" ", "%20").replace("é", "%C3%A9"),
                file.size_bytes,
            )
            for file in torrent.files.files
        }
        made = await bridge.open(seed.url, remotes)
        assert made is not None
        transfer = await torrents.open(torrent)
        engine = torrents._roster.engine
        with (
            transfer.in_use(),
            transfer.priorities.claiming(Want.DOWNLOAD, range(torrent.piece_count)),
        ):
            transfer.sources.attach(Mirror(seed.url, ()))
            transfer.sources.attach(Mirror("http://bridge/", (made.endpoint,)), made.url)
            for _ in range(8):
                await transfer.wait(0.5)
            assert not any(transfer.held_pieces())
            engine.allow(made.endpoint[0], True)
            transfer.sources.attach(Mirror("http://bridge/", (made.endpoint,)), made.url)
            with trio.fail_after(60):
                while not all(transfer.held_pieces()):
                    await transfer.wait(0.5)
        assert transfer.sources.sent_bytes().keys() == {"mirror http://bridge/"}


async def test_a_range_is_passed_on_and_errors_are_translated() -> None:
    async with opened(says("404 Not Found"), {"x": 10}) as (made, _):
        assert (await get(f"{made.url}set/x", range="bytes=0-4")).status_code == 404
    busy = says("429 Too Many Requests", b"", "Retry-After: 40")
    async with opened(busy, {"x": 10}) as (made, _):
        answer = await get(f"{made.url}set/x", range="bytes=0-4")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "40")
    async with opened(says("200 OK", b"0123456789"), {"x": 10}) as (made, _):
        assert (await get(f"{made.url}set/x", range="bytes=0-4")).status_code == 502
        assert (await get(f"{made.url}set/x")).content == b"0123456789"
        assert (await get(f"{made.url}set/x", range="bytes=50-")).status_code == 416
    part = says("206 Partial", b"234", "Content-Range: bytes 2-4/10")
    async with opened(part, {"x": 10}) as (made, _):
        answer = await get(f"{made.url}set/x", range="bytes=2-4")
        assert (answer.status_code, answer.content) == (206, b"234")
        assert answer.headers["content-range"] == "bytes 2-4/10"


async def test_nothing_but_the_files_is_passed_on_and_only_to_who_knows_the_secret() -> None:
    async with opened(says("200 OK", b"0123456789"), {"x": 10}) as (made, seed):
        origin = f"http://{made.endpoint[0]}:{made.endpoint[1]}"
        for path in ("/", "/set/x", "/00000000000000000000000000000000/set/x"):
            assert (await get(origin + path)).status_code == 404
        for path in ("set/y", "x", "../x", "set/x/", "http://example.org/"):
            assert (await get(made.url + path)).status_code == 404
        for headers in ({"Origin": "https://stranger.example"}, {"Host": "stranger.example"}):
            assert (await get(f"{made.url}set/x", **headers)).status_code == 403
        assert seed.requests == []
        assert made.endpoint[0].startswith("127.")
        assert made.endpoint[0] != "127.0.0.1"
        made.close()
        with pytest.raises(httpx.ConnectError):
            for _ in range(100):
                await get(f"{made.url}set/x")
                await trio.sleep(0.05)
