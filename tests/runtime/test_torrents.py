"""Payloads travel between real engines and a real HTTP mirror, all on loopback."""

from __future__ import annotations

import contextlib
import json
import random
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import libtorrent as lt
import pytest
import trio

from meshnode.core import addresses
from meshnode.core.filelist import FileList
from meshnode.core.identifiers import Digest
from meshnode.demo.mirror import serve_directory
from meshnode.errors import ConfigError, PeerError, StorageError, UsageError
from meshnode.runtime.payloads.account import Progress, State
from meshnode.runtime.payloads.creation import describe
from meshnode.runtime.payloads.limits import Limits
from meshnode.runtime.payloads.torrent_check import CheckedTorrent, open_torrent
from meshnode.runtime.payloads.torrent_session import TorrentSettings
from meshnode.runtime.payloads.torrents import Torrents

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).resolve().parents[2]
MIB = 1 << 20
FETCH_SECONDS_MAX = 200  # a mirror that failed is asked again after half a minute
LOCAL = TorrentSettings(allow_local_addresses=True, stall_seconds=20)


def zeros(part: bytes) -> bytes:
    return bytes(len(part))


@pytest.fixture
def content(tmp_path):
    """A folder of 6 MiB: two data files, a small one, an empty one, a folder within."""
    folder = tmp_path / "published" / "set"
    (folder / "a").mkdir(parents=True)
    numbers = random.Random(7)
    (folder / "one.bin").write_bytes(numbers.randbytes(3 * MIB + 11))
    (folder / "a" / "two é.bin").write_bytes(numbers.randbytes(2 * MIB))
    (folder / "a b.txt").write_bytes(b"small")
    (folder / "empty").write_bytes(b"")
    return folder


@pytest.fixture
def torrent(content):
    made = describe(content)
    return open_torrent(made.torrent, made.files)


@contextlib.asynccontextmanager
async def running(settings: TorrentSettings, directory: Path) -> AsyncIterator[Torrents]:
    torrents = Torrents(settings, directory)
    async with trio.open_nursery() as nursery:
        with trio.fail_after(20):
            await nursery.start(torrents.run)
        yield torrents
        nursery.cancel_scope.cancel()


async def fetch(torrents: Torrents, torrent: CheckedTorrent, **sources: Any) -> Progress:
    """Download to the end; return the last progress."""
    last = None
    with trio.fail_after(FETCH_SECONDS_MAX):
        async with contextlib.aclosing(torrents.download(torrent, **sources)) as steps:
            async for step in steps:
                last = step
    assert last is not None
    assert last.state is State.DONE
    return last


def same_files(torrents: Torrents, torrent: CheckedTorrent, content: Path) -> bool:
    located = [torrents.locate(torrent.key, i) for i in range(len(torrent.files.files))]
    originals = [content.parent / file.path for file in torrent.files.files]
    pairs = zip(located, originals, strict=True)
    return all(here and here.read_bytes() == there.read_bytes() for here, there in pairs)


@contextlib.asynccontextmanager
async def serve_redirects(to: str) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Serve HTTP that sends everybody on to the same path below `to`; yield URL and requests."""
    requests: list[bytes] = []

    async def redirect(stream: trio.SocketStream) -> None:
        with contextlib.suppress(trio.BrokenResourceError):
            request = await stream.receive_some()
            if not request:  # whoever called gave up before he asked
                return
            requests.append(request)
            place = to.encode() + request.split(b" ")[1].lstrip(b"/")
            await stream.send_all(
                b"HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % place
            )
            await stream.aclose()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, redirect, 0, host="127.0.0.1"))
        yield f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/", requests
        nursery.cancel_scope.cancel()


async def test_a_payload_comes_from_a_mirror_alone(tmp_path, content, torrent):
    async with (
        serve_directory(content.parent) as mirror,
        running(LOCAL, tmp_path / "home") as torrents,
    ):
        progress = await fetch(torrents, torrent, mirrors=[mirror.url])

        assert same_files(torrents, torrent, content)
        assert torrents.holds(torrent.key)
        assert list(progress.by_source) == [f"mirror {mirror.url}"]


async def test_a_payload_comes_from_a_peer_alone(tmp_path, content, torrent):
    async with (
        running(LOCAL, tmp_path / "seed") as seed,
        running(LOCAL, tmp_path / "home") as torrents,
    ):
        await seed.seed(torrent, content)
        progress = await fetch(torrents, torrent, peers=[("127.0.0.1", seed.port)])

        assert same_files(torrents, torrent, content)
        assert list(progress.by_source) == [f"peer 127.0.0.1:{seed.port}"]


async def test_who_downloaded_serves_others(tmp_path, content, torrent):
    async with (
        serve_directory(content.parent) as mirror,
        running(LOCAL, tmp_path / "first") as first,
        running(LOCAL, tmp_path / "second") as second,
    ):
        await fetch(first, torrent, mirrors=[mirror.url])
        await fetch(second, torrent, peers=[("127.0.0.1", first.port)])

        assert same_files(second, torrent, content)


async def test_a_mirror_and_a_peer_each_give_a_fair_share_at_once(tmp_path):
    path = tmp_path / "published" / "tile.tif"
    path.parent.mkdir()
    path.write_bytes(random.Random(1).randbytes(16_000_000))
    made = describe(path)
    torrent = open_torrent(made.torrent, made.files)
    slow = TorrentSettings(
        limits=Limits(upload_bytes_per_second=2_000_000), allow_local_addresses=True
    )
    async with (
        serve_directory(path.parent, bytes_per_second=2_000_000) as mirror,
        running(slow, tmp_path / "seed") as seed,
        running(LOCAL, tmp_path / "home") as torrents,
    ):
        await seed.seed(torrent, path)
        progress = await fetch(
            torrents, torrent, mirrors=[mirror.url], peers=[("127.0.0.1", seed.port)]
        )

    assert progress.done_bytes == progress.total_bytes
    total = sum(progress.by_source.values())
    assert total >= progress.total_bytes
    assert progress.by_source[f"mirror {mirror.url}"] >= total * 0.2
    assert progress.by_source[f"peer 127.0.0.1:{seed.port}"] >= total * 0.2


async def test_only_the_asked_files_are_fetched_and_the_rest_later(tmp_path, content, torrent):
    wanted = [file.path for file in torrent.files.files].index("set/a/two é.bin")
    async with (
        serve_directory(content.parent) as mirror,
        running(LOCAL, tmp_path / "home") as torrents,
    ):
        progress = await fetch(torrents, torrent, mirrors=[mirror.url], only=[wanted])

        assert progress.total_bytes == 2 * MIB
        assert mirror.served_bytes == 2 * MIB
        assert not torrents.holds(torrent.key)
        assert torrents.locate(torrent.key, wanted)

        await fetch(torrents, torrent, mirrors=[mirror.url])
        assert same_files(torrents, torrent, content)


async def test_a_corrupt_mirror_changes_nothing_but_its_own_standing(tmp_path, content, torrent):
    async with (
        serve_directory(content.parent, change=zeros) as bad,
        serve_directory(content.parent) as good,
        running(LOCAL, tmp_path / "home") as torrents,
    ):
        await fetch(torrents, torrent, mirrors=[bad.url, good.url])

        assert same_files(torrents, torrent, content)


async def test_when_every_source_is_corrupt_the_error_names_it(tmp_path, content, torrent):
    async with (
        serve_directory(content.parent, change=zeros) as bad,
        running(LOCAL, tmp_path / "home") as torrents,
    ):
        with pytest.raises(PeerError, match=rf"mirror {bad.url}: sent corrupt bytes"):
            await fetch(torrents, torrent, mirrors=[bad.url])

        assert not torrents.holds(torrent.key)


async def test_after_corrupt_sources_a_good_one_still_completes_it(tmp_path, content, torrent):
    async with (
        serve_directory(content.parent, change=zeros) as bad,
        serve_directory(content.parent) as good,
        running(LOCAL, tmp_path / "home") as torrents,
    ):
        with pytest.raises(PeerError):
            await fetch(torrents, torrent, mirrors=[bad.url])
        await fetch(torrents, torrent, mirrors=[good.url])

        assert same_files(torrents, torrent, content)


async def test_a_download_without_an_answer_fails_with_the_reason(tmp_path, torrent):
    (tmp_path / "other").mkdir()
    hasty = TorrentSettings(allow_local_addresses=True, stall_seconds=2)
    async with (
        serve_directory(tmp_path / "other") as mirror,
        running(hasty, tmp_path / "home") as torrents,
    ):
        with pytest.raises(
            PeerError, match=rf"for 2 s: mirror {mirror.url}: answered with an error"
        ):
            await fetch(torrents, torrent, mirrors=[mirror.url])


async def test_a_mirror_inside_the_network_is_never_asked(tmp_path, content, torrent):
    async with (
        serve_directory(content.parent) as mirror,
        running(TorrentSettings(), tmp_path / "home") as torrents,
    ):
        with pytest.raises(PeerError, match="inside this machine's own network"):
            await fetch(torrents, torrent, mirrors=[mirror.url])

        assert mirror.requests == 0


async def test_the_engine_itself_keeps_away_from_local_addresses(tmp_path, content, torrent):
    """The second guard: a name that resolves differently later, or a redirect, meets the filter."""
    guarded = TorrentSettings(stall_seconds=2)
    async with (
        serve_directory(content.parent) as mirror,
        running(LOCAL, tmp_path / "seed") as seed,
        running(guarded, tmp_path / "home") as torrents,
    ):
        await seed.seed(torrent, content)
        transfer = await torrents.open(torrent)
        transfer.handle.add_url_seed(mirror.url)
        transfer.handle.connect_peer(("127.0.0.1", seed.port))
        with pytest.raises(PeerError, match="nothing came"):
            await fetch(torrents, torrent, peers=[("127.0.0.1", seed.port)])

        assert mirror.requests == 0


async def test_a_redirect_into_a_forbidden_address_is_not_followed(
    tmp_path, content, torrent, monkeypatch
):
    """Of two addresses of this machine, one is allowed, and redirects to the other."""
    monkeypatch.setattr(addresses, "FORBIDDEN", (ip_network("127.0.0.2/32"),))
    guarded = TorrentSettings(stall_seconds=2)
    async with (
        serve_directory(content.parent, host="127.0.0.2") as inner,
        serve_redirects(inner.url) as (mirror, redirected),
        running(guarded, tmp_path / "home") as torrents,
        running(LOCAL, tmp_path / "other") as others,
    ):
        torrents._roster.engine.session.apply_settings(
            {"ssrf_mitigation": False}
        )  # what our own filter does
        with pytest.raises(PeerError, match="nothing came"):
            await fetch(torrents, torrent, mirrors=[mirror])
        assert redirected
        assert inner.requests == 0

        await fetch(others, torrent, mirrors=[mirror])
        assert inner.requests > 0


@contextlib.contextmanager
def small_files() -> Iterator[None]:
    """Let no file grow over 1 MiB, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_full_disk_ends_a_download_with_the_file_and_what_to_do(tmp_path, content, torrent):
    async with (
        serve_directory(content.parent) as mirror,
        running(LOCAL, tmp_path / "home") as torrents,
    ):
        full = pytest.raises(StorageError, match=r"cannot write .*/data/\d: File too large")
        with small_files(), full as caught:
            await fetch(torrents, torrent, mirrors=[mirror.url])
        assert caught.value.hint.startswith("free disk space")
        await fetch(torrents, torrent, mirrors=[mirror.url])
        assert same_files(torrents, torrent, content)


async def test_two_downloads_of_one_payload_at_once_each_get_what_they_ask_for(
    tmp_path, content, torrent
):
    paths = [file.path for file in torrent.files.files]
    first, second = paths.index("set/one.bin"), paths.index("set/a/two é.bin")
    async with (
        serve_directory(content.parent, bytes_per_second=8 * MIB) as mirror,
        running(LOCAL, tmp_path / "home") as torrents,
        contextlib.aclosing(
            torrents.download(torrent, mirrors=[mirror.url], only=[first])
        ) as steps,
    ):
        await anext(steps)
        await fetch(torrents, torrent, mirrors=[mirror.url], only=[second])
        last = [step async for step in steps][-1]

        assert last.state is State.DONE
        assert torrents.locate(torrent.key, first)
        assert torrents.locate(torrent.key, second)
        assert mirror.served_bytes <= 5 * MIB + 11


async def test_an_engine_that_does_not_listen_fetches_from_mirrors_and_peers(
    tmp_path, content, torrent
):
    mute = TorrentSettings(listen=None, allow_local_addresses=True, stall_seconds=20)
    wanted = [file.path for file in torrent.files.files].index("set/a/two é.bin")
    async with (
        serve_directory(content.parent) as mirror,
        running(LOCAL, tmp_path / "seed") as seed,
        running(mute, tmp_path / "home") as torrents,
    ):
        assert torrents.port == 0
        await seed.seed(torrent, content)
        await fetch(torrents, torrent, peers=[("127.0.0.1", seed.port)], only=[wanted])
        await fetch(torrents, torrent, mirrors=[mirror.url])
        assert same_files(torrents, torrent, content)


async def test_a_file_that_is_not_in_the_payload_is_refused(tmp_path, torrent):
    async with running(LOCAL, tmp_path / "home") as torrents:
        with pytest.raises(UsageError, match="the payload has 4 files"):
            await fetch(torrents, torrent, only=[4])


async def test_a_torrent_at_odds_with_the_signed_checksum_is_refused_after_download(
    tmp_path, content
):
    made = describe(content)
    forged = open_torrent(made.torrent, with_other_checksum(made.files))
    async with (
        serve_directory(content.parent) as mirror,
        running(LOCAL, tmp_path / "home") as torrents,
    ):
        with pytest.raises(PeerError, match=r"one.bin' matches the publisher's torrent, not its"):
            await fetch(torrents, forged, mirrors=[mirror.url])

        assert not torrents.holds(forged.key)


def with_other_checksum(files: FileList) -> FileList:
    last = files.files[-1]
    assert last.path == "set/one.bin"
    return FileList((*files.files[:-1], replace(last, sha256=Digest(b"x" * 32))))


async def test_what_was_left_early_goes_on_from_there(tmp_path, content, torrent):
    async with running(LOCAL, tmp_path / "home") as torrents:
        async with serve_directory(content.parent, bytes_per_second=4 * MIB) as mirror:
            steps = torrents.download(torrent, mirrors=[mirror.url])
            async with contextlib.aclosing(steps):
                async for progress in steps:
                    if progress.done_bytes >= MIB:
                        break
        async with serve_directory(content.parent) as mirror:
            await fetch(torrents, torrent, mirrors=[mirror.url])

            assert mirror.served_bytes <= torrent.files.size_bytes - MIB
        assert same_files(torrents, torrent, content)


KILLED = """
import sys, trio
from pathlib import Path
from meshnode.runtime.payloads.torrent_session import TorrentSettings
from meshnode.runtime.payloads.torrents import Torrents
from meshnode.runtime.payloads.torrent_check import open_torrent
from meshnode.core.filelist import decode_file_list

async def main(home, torrent, files, mirror):
    checked = open_torrent(Path(torrent).read_bytes(), decode_file_list(Path(files).read_bytes()))
    torrents = Torrents(TorrentSettings(allow_local_addresses=True), Path(home))
    async with trio.open_nursery() as nursery:
        await nursery.start(torrents.run)
        async for progress in torrents.download(checked, mirrors=[mirror]):
            print(progress.done_bytes, flush=True)

trio.run(main, *sys.argv[1:])
"""


def pieces_recorded(state: Path) -> bool:
    return state.exists() and int(json.loads(state.read_bytes())["pieces"], 16) > 0


async def until_saved(process: trio.Process, state: Path) -> None:
    """Return at the first sign of life after a piece was recorded; the download takes 6 s."""
    assert process.stdout
    async with process.stdout as lines:
        async for _ in lines:
            if await trio.to_thread.run_sync(pieces_recorded, state):
                return


async def test_after_kill_9_in_the_middle_a_download_resumes_and_is_right(
    tmp_path, content, torrent
):
    made = describe(content)
    (tmp_path / "t").write_bytes(made.torrent)
    (tmp_path / "f").write_bytes(made.file_list)
    home = tmp_path / "home"
    state = home / torrent.key.hex() / "state"
    async with serve_directory(content.parent, bytes_per_second=MIB) as mirror:
        arguments = [str(home), str(tmp_path / "t"), str(tmp_path / "f"), mirror.url]
        command = [sys.executable, "-c", KILLED, *arguments]
        process = await trio.lowlevel.open_process(command, cwd=PROJECT, stdout=subprocess.PIPE)
        with trio.fail_after(30):
            await until_saved(process, state)
        process.send_signal(signal.SIGKILL)
        await process.wait()

    async with (
        serve_directory(content.parent) as mirror,
        running(LOCAL, home) as torrents,
    ):
        assert not torrents.holds(torrent.key)
        await fetch(torrents, torrent, mirrors=[mirror.url])

        assert same_files(torrents, torrent, content)
        assert mirror.served_bytes < torrent.files.size_bytes


async def test_a_complete_payload_is_served_after_a_restart_without_hashing(
    tmp_path, content, torrent
):
    async with (
        serve_directory(content.parent) as mirror,
        running(LOCAL, tmp_path / "home") as torrents,
    ):
        await fetch(torrents, torrent, mirrors=[mirror.url])
    async with (
        running(LOCAL, tmp_path / "home") as torrents,
        running(LOCAL, tmp_path / "other") as other,
    ):
        assert torrents.holds(torrent.key)
        await fetch(other, torrent, peers=[("127.0.0.1", torrents.port)])

        assert same_files(other, torrent, content)


async def test_the_publishers_own_files_are_served_again_after_a_restart(
    tmp_path, content, torrent
):
    async with running(LOCAL, tmp_path / "home") as torrents:
        await torrents.seed(torrent, content)
    async with running(LOCAL, tmp_path / "home") as torrents:
        assert torrents.holds(torrent.key)
        assert torrents.locate(torrent.key, 3) == content / "one.bin"


async def test_files_that_changed_since_are_not_served(tmp_path, content, torrent):
    async with running(LOCAL, tmp_path / "home") as torrents:
        await torrents.seed(torrent, content)
    (content / "one.bin").write_bytes(bytes(3 * MIB + 11))
    async with running(LOCAL, tmp_path / "home") as torrents:
        assert not torrents.holds(torrent.key)


async def test_content_that_is_not_the_payload_is_not_seeded_nor_written_to(
    tmp_path, content, torrent
):
    (content / "one.bin").write_bytes(b"another file")
    shutil.rmtree(content / "a")
    before = sorted(content.rglob("*"))
    async with running(LOCAL, tmp_path / "home") as torrents:
        with pytest.raises(StorageError, match="does not hold the payload"):
            await torrents.seed(torrent, content)

        assert not torrents.holds(torrent.key)
    assert sorted(content.rglob("*")) == before
    assert (content / "one.bin").read_bytes() == b"another file"


async def test_a_port_that_is_taken_is_a_fault_of_the_configuration(tmp_path):
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    torrents = Torrents(TorrentSettings(listen=f"127.0.0.1:{port}"), tmp_path)
    async with listeners[0]:
        with (
            pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1:{port}"),
            trio.fail_after(20),
        ):
            await torrents.run()


def test_the_pinned_engine_is_the_one_that_was_measured():
    assert lt.__version__.startswith("2.1.")
