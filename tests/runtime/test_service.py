"""Whole peers in this process: start, stop, publish, search, full disks, and requests that fail."""

from __future__ import annotations

import os
import shutil
import socket
from contextlib import aclosing
from pathlib import Path

import pytest
import trio

from meshnode.config import Config
from meshnode.control import Control, NotRunningError
from meshnode.core.identifiers import sha256
from meshnode.errors import ConfigError, MeshnodeError, StorageError, UsageError
from meshnode.runtime.home import HomeLock
from meshnode.runtime.index import indexing
from meshnode.runtime.index.index import Index
from meshnode.runtime.segments import checker as segment_checker
from meshnode.runtime.service import offline, running, serve
from tests.runtime import homes
from tests.runtime.homes import WITHIN_SECONDS, follow, ids_found, loopback, made_home, publish

pytestmark = pytest.mark.slow


@pytest.fixture
def home(tmp_path: Path):
    return made_home(tmp_path / "home")


async def refused_start(home: Path, config: Config) -> MeshnodeError:
    with trio.fail_after(WITHIN_SECONDS), pytest.raises(BaseExceptionGroup) as caught:
        async with running(home, config, online=True):
            pass
    error: BaseException = caught.value
    while isinstance(error, BaseExceptionGroup):
        (error,) = error.exceptions
    assert isinstance(error, MeshnodeError)
    return error


async def test_an_offline_peer_knows_who_it_is_and_leaves_no_socket(home):
    async with offline(home.root):
        status = await Control(home.control).ask("status")
        assert await Control(home.control).ask("ping") == {"online": False}
    async with offline(home.root):
        assert (await Control(home.control).ask("status"))["peer"] == status["peer"]
    assert status["peer"].startswith("12D3KooW")
    assert not status["online"]
    assert not home.control.exists()


async def test_published_items_are_found_now_and_after_a_restart(home, tmp_path: Path):
    institution, publisher = homes.publisher_of(home)
    async with offline(home.root):
        await follow(home, institution)
        assert await publish(publisher, tmp_path, "a", "b") == {"refused": []}
        assert await ids_found(home) == ["a", "b"]
    async with offline(home.root):
        assert await ids_found(home) == ["a", "b"]
        assert await ids_found(home, ids=["b"], limit=1) == ["b"]
        assert await Control(home.control).ask("count") == {"count": 2, "to_index": 0}
    assert not publisher.staging.exists()
    assert not institution.journal.exists()


async def test_the_index_is_made_again_when_it_was_deleted(home, tmp_path: Path):
    institution, publisher = homes.publisher_of(home)
    async with offline(home.root):
        await follow(home, institution)
        await publish(publisher, tmp_path, "a")
    for path in home.root.glob("index.db*"):
        path.unlink()
    async with offline(home.root):
        assert await ids_found(home) == ["a"]
    for path in home.root.glob("index.db*"):
        path.unlink()
    async with offline(home.root):
        assert await Control(home.control).ask("count") == {"count": 1, "to_index": 0}


async def test_a_segment_that_the_disk_damaged_is_fetched_again_at_once(home, tmp_path: Path):
    institution, publisher = homes.publisher_of(home)
    other = made_home(tmp_path / "other")
    async with offline(home.root):
        await follow(home, institution)
        await publish(publisher, tmp_path, "a")
        segment = (await publisher.own_segments())["segments"][0]["segment"]
    shutil.copytree(home.root, other.root, dirs_exist_ok=True)
    place = other.objects / segment[:2] / segment
    os.truncate(place, 100)
    other.index.unlink()
    other.identity.unlink()
    async with running(home.root, loopback(), online=True):
        addresses = (await Control(home.control).ask("status"))["addresses"]
        with trio.fail_after(WITHIN_SECONDS):
            async with (
                running(other.root, loopback(*addresses), online=True),
                aclosing(Control(other.control).follow("watch")) as changes,
            ):
                async for change in changes:
                    if change["event"]["catalogues"][0]["items"]:
                        break
    assert sha256(place.read_bytes()).hex() == segment


async def test_a_document_that_the_disk_damaged_is_fetched_again_once_it_is_read(home, tmp_path):
    institution, publisher = homes.publisher_of(home)
    other = made_home(tmp_path / "other")
    async with offline(home.root):
        await follow(home, institution)
        await publish(publisher, tmp_path, "a")
        document = await Control(home.control).ask("collection", collection="towns")
    shutil.copytree(home.root, other.root, dirs_exist_ok=True)
    other.identity.unlink()
    digest = sha256(document["document"].encode()).hex()
    place = other.objects / digest[:2] / digest
    os.truncate(place, 10)
    async with running(home.root, loopback(), online=True):
        addresses = (await Control(home.control).ask("status"))["addresses"]
        async with running(other.root, loopback(*addresses), online=True):
            asking = Control(other.control)
            with pytest.raises(UsageError, match="not here yet"):
                await asking.ask("collection", collection="towns")
            with trio.fail_after(WITHIN_SECONDS):
                while (await asking.ask("status"))["backlog"] or not place.exists():
                    pass
            assert await asking.ask("collection", collection="towns") == document


async def test_a_second_process_on_one_home_is_refused(home):
    with HomeLock(home), pytest.raises(StorageError, match="in use"):
        async with offline(home.root):
            pass


async def test_a_busy_payload_port_is_one_sentence(home):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        config = loopback().model_copy(
            update={
                "payload": loopback().payload.model_copy(update={"listen": f"127.0.0.1:{port}"})
            }
        )
        error = await refused_start(home.root, config)
    assert isinstance(error, ConfigError)
    assert str(port) in str(error)


async def test_a_busy_mesh_port_is_one_sentence(home):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        network = loopback().network.model_copy(update={"listen": (f"/ip4/127.0.0.1/tcp/{port}",)})
        error = await refused_start(home.root, loopback().model_copy(update={"network": network}))
    assert str(port) in str(error)


async def test_a_served_peer_ends_when_it_is_told_to(home):
    async with trio.open_nursery() as nursery:
        with trio.fail_after(WITHIN_SECONDS):
            peer = await nursery.start(serve, home.root, loopback())
        status = await Control(home.control).ask("status")
        assert status["peer"] == peer.id
        assert status["addresses"][0].endswith(f"/p2p/{peer.id}")
        with pytest.raises(StorageError, match="in use"):
            async with offline(home.root):
                pass
        os.kill(os.getpid(), 15)
    with pytest.raises(NotRunningError):
        await Control(home.control).ask("ping")


async def test_two_peers_bring_each_other_what_one_publishes(home, tmp_path: Path):
    institution, publisher = homes.publisher_of(home)
    other = made_home(tmp_path / "other")
    with trio.fail_after(WITHIN_SECONDS):
        async with running(home.root, loopback(), online=True) as peer:
            await follow(home, institution)
            await publish(publisher, tmp_path, "a", "b")
            addresses = (await Control(home.control).ask("status"))["addresses"]
            async with running(other.root, loopback(*addresses), online=True):
                await Control(other.control).ask("follow", catalogue=institution.text)
                async with aclosing(Control(other.control).follow("watch")) as changes:
                    async for change in changes:
                        if sum(each["items"] for each in change["event"]["catalogues"]) == 2:
                            break
                assert await ids_found(other) == ["a", "b"]
                met = (await Control(other.control).ask("peers"))["peers"]
                assert [each["peer"] for each in met] == [peer.id]


async def test_a_full_disk_turns_the_peer_read_only_and_it_goes_on_answering(home, tmp_path: Path):
    institution, publisher = homes.publisher_of(home)
    async with offline(home.root) as peer:
        await follow(home, institution)
        await publish(publisher, tmp_path, "a")
        database = peer.store._database
        await publish(publisher, tmp_path, *"bcdef")
        database.pragma("max_page_count", database.pragma("page_count"))
        with pytest.raises(
            StorageError, match=r"refused: cannot write .*log\.db: .*full"
        ) as caught:
            for number in range(100):
                await publish(publisher, tmp_path, f"more-{number}")
        assert caught.value.hint.startswith("free disk space")
        assert "full" in (await Control(home.control).ask("status"))["read_only"]
        assert "a" in await ids_found(home)
        with pytest.raises(StorageError, match="read-only"):
            await Control(home.control).ask("unfollow", catalogue=institution.text)
    assert institution.journal.exists()
    async with offline(home.root):
        with publisher.session():
            await homes.result_of(publisher.recover())
        assert not institution.journal.exists()
        assert f"more-{number}" in await ids_found(home)


@pytest.mark.parametrize(
    ("action", "said", "problem"),
    [
        ("dance", {}, "cannot 'dance'"),
        ("status", {"extra": 1}, "status: extra: extra inputs are not permitted"),
        ("follow", {"catalogue": 7}, "a catalogue id is text"),
        ("follow", {"catalogue": "nonsense"}, "nonsense"),
        ("log", {"catalogue": "nonsense", "writer": ""}, "nonsense"),
        ("seed", {"catalogue": "x", "key": "zz", "content": ""}, ""),
        ("seed", {"catalogue": "x", "key": 5, "content": ""}, ""),
        ("seed", {"catalogue": "x", "key": "ab", "content": ""}, ""),
        ("get", {"item": "a"}, "only while the peer runs"),
        ("search", {"bbox": [1, 2, 3]}, "4 or 6 numbers"),
        ("search", {"bbox": [float("nan"), 0, 0, 0]}, ""),
        ("search", {"datetime": "yesterday"}, "yesterday"),
        ("search", {"limit": 0}, "limit"),
        ("collection", {"collection": "none"}, "no catalogue has"),
    ],
)
async def test_a_request_that_cannot_be_done_says_why(home, action, said, problem):
    async with offline(home.root):
        with pytest.raises(UsageError) as caught:
            await Control(home.control).ask(action, **said)
    assert problem in str(caught.value)


async def test_unfollowing_hides_a_catalogue_and_following_brings_it_back(home, tmp_path: Path):
    institution, publisher = homes.publisher_of(home)
    control = Control(home.control)
    async with offline(home.root):
        await follow(home, institution)
        await publish(publisher, tmp_path, "a")
        document = (await control.ask("collection", collection="towns"))["document"]
        assert '"id":"towns"' in document
        await control.ask("unfollow", catalogue=institution.text)
        with trio.fail_after(WITHIN_SECONDS):
            while await ids_found(home):
                pass
        with pytest.raises(UsageError, match="not followed"):
            await control.ask("unfollow", catalogue=institution.text)
        with pytest.raises(UsageError, match="does not follow"):
            await publisher.state()
        await follow(home, institution)
        with trio.fail_after(WITHIN_SECONDS):
            while not await ids_found(home):
                pass


async def test_a_check_whose_process_is_killed_is_done_again(home, tmp_path: Path, monkeypatch):
    institution, publisher = homes.publisher_of(home)
    killed: list[int] = []
    receive = segment_checker._Worker.receive

    async def killing(worker):
        if len(killed) < indexing.CHECKS_MAX - 1:
            killed.append(worker._process.pid)
            worker._process.kill()
        return await receive(worker)

    monkeypatch.setattr(segment_checker._Worker, "receive", killing)
    async with offline(home.root):
        await follow(home, institution)
        assert await publish(publisher, tmp_path, "a") == {"refused": []}
        assert await ids_found(home) == ["a"]
    assert len(set(killed)) == indexing.CHECKS_MAX - 1


async def test_a_segment_that_the_index_chokes_on_is_refused_and_the_peer_lives_on(
    home, tmp_path: Path, monkeypatch
):
    institution, publisher = homes.publisher_of(home)
    async with offline(home.root):
        await follow(home, institution)
        with monkeypatch.context() as patch:
            patch.setattr(Index, "adding", lambda *_: 1 / 0)
            result = await publish(publisher, tmp_path, "a")
        assert "this peer cannot index it: ZeroDivisionError" in result["refused"][0]["reason"]
        assert await publish(publisher, tmp_path, "b") == {"refused": []}
        assert await ids_found(home) == ["b"]


async def test_a_check_that_dies_each_time_refuses_the_segment(home, tmp_path: Path, monkeypatch):
    institution, publisher = homes.publisher_of(home)
    receive = segment_checker._Worker.receive

    async def killing(worker):
        worker._process.kill()
        await worker._process.wait()
        return await receive(worker)

    monkeypatch.setattr(segment_checker._Worker, "receive", killing)
    async with offline(home.root):
        await follow(home, institution)
        result = await publish(publisher, tmp_path, "a")
        assert "segment's check" in result["refused"][0]["reason"]
        assert (await Control(home.control).ask("status"))["refused"]
    monkeypatch.undo()
    async with offline(home.root):
        with trio.fail_after(WITHIN_SECONDS):
            while await ids_found(home) != ["a"]:
                pass


async def test_a_staged_object_that_is_not_what_its_name_says_is_refused(home, tmp_path: Path):
    institution, publisher = homes.publisher_of(home)
    digest = sha256(b"right")
    async with offline(home.root):
        await follow(home, institution)
        said = {"catalogue": institution.text, "heads": [], "first": 0, "entries": []}
        with pytest.raises(UsageError, match="cannot read the staged object"):
            await Control(home.control).ask("submit", staged=[digest.hex()], **said)
        publisher.staging.mkdir()
        (publisher.staging / digest.hex()).write_bytes(b"wrong")
        with pytest.raises(UsageError, match="not what its name says"):
            await Control(home.control).ask("submit", staged=[digest.hex()], **said)
    assert not list(home.objects.rglob("*" + digest.hex()))
