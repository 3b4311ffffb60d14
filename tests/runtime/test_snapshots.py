"""Snapshots on real disks and a real network: signed, checked anew, begun with, restarted from."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path

import pytest
import trio

from meshnode.control import Control
from meshnode.core.effects import RecallEntries
from meshnode.core.entries import encode_entry
from meshnode.core.events import EntriesRecalled
from meshnode.core.heads import SnapshotRef
from meshnode.core.names import LogId
from meshnode.errors import UsageError
from meshnode.runtime import snapshots
from meshnode.runtime.home import Home
from meshnode.runtime.maintainer.publishing import Publisher
from meshnode.runtime.peer import Peer
from meshnode.runtime.service import offline, running
from meshnode.runtime.verification.stores import verify_store
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


async def begin_snapshot(publisher: Publisher) -> dict[str, object]:
    with publisher.session():
        await result_of(publisher.recover())
        made = await publisher.made_snapshot(keep=True)
        await result_of(publisher.begin_snapshot(await publisher.state(), made))
    return made


async def checked(peer: Peer, publisher: Publisher) -> dict[SnapshotRef, bool]:
    """Wait until the peer has made the newest snapshot anew; return what it found."""
    [catalogue] = peer.node.catalogues.values()
    [log] = catalogue.logs.values()
    with peer.journal.notices.watch(lambda _: True) as watcher, trio.fail_after(WITHIN_SECONDS):
        while not log.snapshots:
            await watcher.receive()
    return log.snapshots


async def until_found(peer: Peer, *ids: str) -> None:
    with peer.journal.notices.watch(lambda _: True) as watcher, trio.fail_after(WITHIN_SECONDS):
        while await ids_found(peer.home) != list(ids):
            await watcher.receive()


async def test_a_new_peer_begins_with_the_snapshot_and_goes_on_from_it(tmp_path: Path):
    home, other = made_home(tmp_path / "home"), made_home(tmp_path / "other")
    institution, publisher = publisher_of(home)
    async with offline(home.root) as peer:  # so that gossip does not tell of the first heads
        await follow(home, institution)
        for ids in (("a",), ("b",), ("c",)):
            await publish(publisher, tmp_path, *ids)
        made = await begin_snapshot(publisher)
        [(ref, is_true)] = (await checked(peer, publisher)).items()
        assert is_true
        assert (ref.index, ref.object.hex(), ref.size_bytes) == (
            made["index"],
            made["object"],
            made["size_bytes"],
        )
        await publish(publisher, tmp_path, "d")

    async with running(home.root, loopback(), online=True) as peer:
        assert peer.network is not None
        addresses = peer.network.mesh.addresses()
        async with running(other.root, loopback(*addresses), online=True) as newcomer:
            await follow(other, institution)
            await until_found(newcomer, "a", "b", "c", "d")
            [log] = newcomer.node.catalogues[institution.catalogue].logs.values()
            assert (log.main.begin_seq, log.main.base_size) == (3, made["index"])
            assert log.head is not None
            said = await Control(other.control).ask(
                "log", catalogue=institution.text, writer=log.head.head.writer.hex()
            )
            assert said["head"] == log.head.raw.hex()
            with pytest.raises(UsageError, match="this peer began the log with a snapshot"):
                await Control(other.control).ask(
                    "evidence", catalogue=institution.text, collection="towns", item="a"
                )
            told = await history(other, institution.text)
            assert told["snapshots"][0]["entries"] == made["index"]

    report = await verify_store(other)
    assert (report.faults, report.heads, report.entries, report.items) == ([], 2, 1, 4)
    async with offline(other.root) as restarted:
        [log] = restarted.node.catalogues[institution.catalogue].logs.values()
        assert log.main.begin_seq == 3
        assert await ids_found(other) == ["a", "b", "c", "d"]


async def history(home: Home, catalogue: str) -> dict[str, list[dict[str, int]]]:
    said = Control(home.control).follow("history", catalogue=catalogue, limit=9)
    async with aclosing(said) as messages:
        async for message in messages:
            last = message
    return dict(last["result"])


async def test_a_damaged_snapshot_in_a_store_is_named(tmp_path: Path):
    home, other = made_home(tmp_path / "home"), made_home(tmp_path / "other")
    institution, publisher = publisher_of(home)
    async with offline(home.root):
        await follow(home, institution)
        await publish(publisher, tmp_path, "a")
        await begin_snapshot(publisher)
    async with running(home.root, loopback(), online=True) as peer:
        assert peer.network is not None
        addresses = peer.network.mesh.addresses()
        async with running(other.root, loopback(*addresses), online=True) as newcomer:
            await follow(other, institution)
            await until_found(newcomer, "a")
            newcomer.store._database.execute("UPDATE beginnings SET raw = x'00'")
    report = await verify_store(other)
    assert [fault.check for fault in report.faults] == ["content hash"]
    assert report.faults[0].where.startswith("the snapshot of writer ")


async def test_a_crash_after_the_journal_signs_the_same_snapshot_head(tmp_path: Path):
    home = made_home(tmp_path / "home")
    institution, publisher = publisher_of(home)
    async with offline(home.root):
        await follow(home, institution)
        await publish(publisher, tmp_path, "a")
        with publisher.session():
            made = await publisher.made_snapshot(keep=True)
            messages = publisher.begin_snapshot(await publisher.state(), made)
            async with aclosing(messages):
                await anext(messages)  # adopted, and the process ends here
        state = await publisher.state()
        with publisher.session():
            await result_of(publisher.recover())
        assert await publisher.state() == state
        again = await publisher.made_snapshot(keep=False)
        assert (again["index"], again["newest"]) == (made["index"], made["index"])


async def test_dropped_entries_are_read_from_the_store_again(tmp_path: Path):
    home = made_home(tmp_path / "home")
    institution, publisher = publisher_of(home)
    async with offline(home.root) as peer:
        await follow(home, institution)
        for name in ("a", "b"):
            await publish(publisher, tmp_path, name)
        [(kid, log)] = peer.node.catalogues[institution.catalogue].logs.items()
        log_id = LogId(institution.catalogue, kid)
        recalled = snapshots.read(peer.store, RecallEntries(log_id, 0, 0, 2))
        assert isinstance(recalled, EntriesRecalled)
        in_memory = tuple(encode_entry(entry) for entry, _ in log.main.entries)
        assert recalled == EntriesRecalled(log_id, 0, in_memory[:2])
