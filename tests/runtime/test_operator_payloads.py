"""Payloads between whole peers: published, served, fetched by item; a fetch that is given up."""

from __future__ import annotations

import random
from contextlib import aclosing
from pathlib import Path

import pytest
import trio

from meshnode.control import Control
from meshnode.core.entries import ReleaseAdded, encode_entry
from meshnode.core.identifiers import Digest, sha256
from meshnode.errors import UsageError
from meshnode.runtime.home import Home
from meshnode.runtime.maintainer.binding import payload_draft
from meshnode.runtime.maintainer.staging import stage
from meshnode.runtime.payloads.creation import describe
from meshnode.runtime.service import running
from tests.runtime.homes import (
    WITHIN_SECONDS,
    follow,
    ids_found,
    loopback,
    made_home,
    publish,
    publisher_of,
    result_of,
)

pytestmark = pytest.mark.slow

SIZE_BYTES = 3 << 20


@pytest.fixture
def content(tmp_path: Path) -> Path:
    path = tmp_path / "tile.tif"
    path.write_bytes(random.Random(1).randbytes(SIZE_BYTES))
    return path


@pytest.fixture
async def silent_mirror(nursery: trio.Nursery) -> tuple[str, trio.Event]:
    """Return the URL of a mirror that accepts connections and never answers, and its first call."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    called = trio.Event()

    async def say_nothing(_stream: trio.SocketStream) -> None:
        called.set()
        await trio.sleep_forever()

    nursery.start_soon(trio.serve_listeners, say_nothing, listeners)
    return f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/", called


async def publish_payload(
    home: Home, content: Path, *, mirrors=(), item_id: str | None = "a"
) -> str:
    """Publish a file as the asset `image` of an item; return the payload's key."""
    institution, publisher = publisher_of(home)
    await follow(home, institution)
    bindings = {content.name: [(item_id, "image")]} if item_id else {}
    described = describe(content, bindings)
    with publisher.session():
        await result_of(publisher.recover())
        staged = [
            stage(publisher.staging, described.file_list),
            stage(publisher.staging, described.torrent),
        ]
        state = await publisher.state()
        draft = payload_draft(described, "towns", list(mirrors), 0)
        await result_of(publisher.publish(state, [draft], staged))
    return described.key.hex()


async def until_payloads(home: Home, count: int) -> None:
    async with aclosing(Control(home.control).follow("watch")) as changes:
        async for change in changes:
            known = sum(each["payloads"] for each in change["event"]["catalogues"])
            if known == count and change["event"]["backlog"] == 0:
                return


async def test_a_payload_served_by_one_peer_is_fetched_by_another(tmp_path: Path, content: Path):
    home, other = made_home(tmp_path / "home"), made_home(tmp_path / "other")
    institution, _ = publisher_of(home)
    with trio.fail_after(WITHIN_SECONDS):
        async with running(home.root, loopback(), online=True) as peer:
            key = await publish_payload(home, content)
            said = {"catalogue": institution.text, "key": key, "content": str(content)}
            assert (await Control(home.control).ask("seed", **said))["port"]
            with pytest.raises(UsageError, match="is not published"):
                await Control(home.control).ask("seed", **(said | {"key": "00" * 32}))
            addresses = (await Control(home.control).ask("status"))["addresses"]
            async with running(other.root, loopback(*addresses), online=True):
                await Control(other.control).ask("follow", catalogue=institution.text)
                await until_payloads(other, 1)
                got = await Control(other.control).ask("get", item="a")
                (file,) = got["files"]
                assert (
                    await trio.Path(file["at"]).read_bytes()
                    == await trio.Path(content).read_bytes()
                )
                assert sum(got["by_source"].values()) >= SIZE_BYTES
                for asked in ({"item": "b"}, {"item": "a", "asset": "none"}):
                    with pytest.raises(UsageError, match="no payload is known"):
                        await Control(other.control).ask("get", **asked)
            assert peer.network is not None


@pytest.fixture
def tiles(tmp_path: Path) -> Path:
    """Two files in a folder, one of them deeper."""
    folder = tmp_path / "tiles"
    (folder / "a").mkdir(parents=True)
    (folder / "a/tile.tif").write_bytes(random.Random(2).randbytes(SIZE_BYTES))
    (folder / "notes.txt").write_text("two files")
    return folder


async def test_a_payload_is_fetched_whole_by_its_key(tmp_path: Path, tiles: Path):
    home, other = made_home(tmp_path / "home"), made_home(tmp_path / "other")
    institution, _ = publisher_of(home)
    with trio.fail_after(WITHIN_SECONDS):
        async with running(home.root, loopback(), online=True):
            key = await publish_payload(home, tiles, item_id=None)
            said = {"catalogue": institution.text, "key": key, "content": str(tiles)}
            await Control(home.control).ask("seed", **said)
            addresses = (await Control(home.control).ask("status"))["addresses"]
            async with running(other.root, loopback(*addresses), online=True):
                with pytest.raises(UsageError, match="not known here"):
                    await Control(other.control).ask("get", payload=key)
                await Control(other.control).ask("follow", catalogue=institution.text)
                await until_payloads(other, 1)
                got = await Control(other.control).ask("get", payload=key)
    assert {file["path"] for file in got["files"]} == {"tiles/a/tile.tif", "tiles/notes.txt"}
    for file in got["files"]:
        wanted = trio.Path(tmp_path / file["path"])
        assert await trio.Path(file["at"]).read_bytes() == await wanted.read_bytes()


async def test_files_of_one_name_are_not_put_into_one_folder(tmp_path: Path, tiles: Path):
    (tiles / "tile.tif").write_text("of the same name")
    home = made_home(tmp_path / "home")
    async with running(home.root, loopback(), online=True):
        key = await publish_payload(home, tiles, item_id=None)
        with pytest.raises(UsageError, match="in different folders have the same name"):
            await Control(home.control).ask("get", payload=key)


async def test_of_two_payloads_of_an_item_the_later_is_meant(tmp_path: Path, content: Path):
    home = made_home(tmp_path / "home")
    later = tmp_path / "later" / "tile.tif"
    later.parent.mkdir()
    later.write_bytes(b"a later release")
    institution, _ = publisher_of(home)
    with trio.fail_after(WITHIN_SECONDS):
        async with running(home.root, loopback(), online=True):
            for path in (content, later):
                key = await publish_payload(home, path)
                said = {"catalogue": institution.text, "key": key, "content": str(path)}
                await Control(home.control).ask("seed", **said)
            got = await Control(home.control).ask("get", item="a", collection="towns")
    assert [file["size_bytes"] for file in got["files"]] == [len(b"a later release")]


async def test_a_payload_that_a_release_supersedes_is_not_meant_though_it_came_last(
    tmp_path: Path, content: Path
):
    home = made_home(tmp_path / "home")
    last = tmp_path / "last" / "tile.tif"
    last.parent.mkdir()
    last.write_bytes(b"bound again, and superseded")
    institution, _ = publisher_of(home)
    with trio.fail_after(WITHIN_SECONDS):
        async with running(home.root, loopback(), online=True):
            keys = [await publish_payload(home, path) for path in (content, last)]
            said = {"catalogue": institution.text, "key": keys[0], "content": str(content)}
            await Control(home.control).ask("seed", **said)
            former = await release(home, "1", keys[1], None)
            await release(home, "2", keys[0], former)
            got = await Control(home.control).ask("get", item="a")
    assert [file["size_bytes"] for file in got["files"]] == [SIZE_BYTES]


async def release(home: Home, version: str, key: str, supersedes: Digest | None) -> Digest:
    """Sign a release of one payload; return its name."""
    _, publisher = publisher_of(home)
    payloads = (Digest(bytes.fromhex(key)),)

    def draft(clock: int) -> ReleaseAdded:
        return ReleaseAdded(clock, "towns", version, None, payloads, None, supersedes)

    with publisher.session():
        await result_of(publisher.publish(await publisher.state(), [draft], ()))
        state = await publisher.state()
    return sha256(encode_entry(draft(state["clock"])))


async def test_a_payload_that_stalls_holds_up_no_entry(
    tmp_path: Path, content: Path, silent_mirror: tuple[str, trio.Event]
):
    home, other = made_home(tmp_path / "home"), made_home(tmp_path / "other")
    institution, publisher = publisher_of(home)
    url, called = silent_mirror
    with trio.fail_after(WITHIN_SECONDS):
        async with running(home.root, loopback(), online=True) as peer:
            await publish_payload(home, content, mirrors=[url])
            assert peer.network is not None
            addresses = peer.network.mesh.addresses()
            async with (
                running(other.root, loopback(*addresses), online=True),
                trio.open_nursery() as asking,
                aclosing(Control(other.control).follow("watch")) as changes,
            ):
                await Control(other.control).ask("follow", catalogue=institution.text)
                await until_payloads(other, 1)
                asking.start_soon(lambda: Control(other.control).ask("get", item="a"))
                await called.wait()
                for number in range(3):
                    await publish(publisher, tmp_path, f"i{number}")
                async for change in changes:
                    if change["event"]["catalogues"][0]["items"] == 3:
                        break
                assert await ids_found(other) == ["i0", "i1", "i2"]
                assert asking.child_tasks  # the payload has not come, and nothing gave it up
                asking.cancel_scope.cancel()


async def test_a_fetch_in_progress_does_not_hold_up_the_end_of_the_peer(
    tmp_path: Path, content: Path, silent_mirror: tuple[str, trio.Event]
):
    home = made_home(tmp_path / "home")
    url, called = silent_mirror
    with trio.fail_after(WITHIN_SECONDS / 2):
        async with running(home.root, loopback(), online=True), trio.open_nursery() as asking:
            await publish_payload(home, content, mirrors=[url])
            asking.start_soon(lambda: Control(home.control).ask("get", item="a"))
            await called.wait()
            asking.cancel_scope.cancel()
    assert not home.control.exists()
