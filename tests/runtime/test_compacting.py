"""A writer's segments rewritten as few: what is found stays the same, to the byte."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from meshnode.core import compaction
from meshnode.core.entries import ItemsRemoved, Reason
from meshnode.runtime.home import Home
from meshnode.runtime.index.query import Query
from meshnode.runtime.maintainer.batches import Batch
from meshnode.runtime.maintainer.compacting import Compaction, Rewrite
from meshnode.runtime.maintainer.publishing import Publisher
from meshnode.runtime.peer import Peer
from meshnode.runtime.service import offline
from tests.runtime.homes import follow, items_file, made_home, publisher_of, result_of
from tests.runtime.stac_samples import item

pytestmark = pytest.mark.slow


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return made_home(tmp_path / "home")


async def publish(publisher: Publisher, directory: Path, *values: dict[str, Any]) -> None:
    path = items_file(directory / "items.ndjson", list(values))
    with publisher.session():
        await result_of(publisher.recover())
        state = await publisher.state()
        batch = Batch(publisher.staging, None, publisher.documents(state))
        batch.read([path], lambda count: None)
        drafts = batch.drafts(state["collections"])
        await result_of(publisher.publish(state, drafts, batch.staged))


async def withdraw(publisher: Publisher, collection: str, *ids: str) -> None:
    with publisher.session():
        await result_of(publisher.recover())
        state = await publisher.state()
        entry = [lambda clock: ItemsRemoved(clock, collection, ids, Reason.ERROR, None)]
        await result_of(publisher.publish(state, entry, []))


async def compact(home: Home, publisher: Publisher) -> list[Rewrite]:
    with publisher.session():
        await result_of(publisher.recover())
        state = await publisher.state()
        own, documents = await publisher.own_segments(), publisher.documents(state)
        work = Compaction(home.objects, own, documents)
        rewrites = work.rewrites()
        drafts = [draft for each in rewrites for draft in work.drafts(each, publisher.staging)]
        if drafts:
            assert await result_of(publisher.publish(state, drafts, work.staged)) == {"refused": []}
        return rewrites


def rows(peer: Peer) -> list[tuple[str, bytes, int]]:
    """Return what a search finds: id, exact bytes, clock."""
    return sorted((found.id, found.item, found.clock) for found in peer.index.scan(Query()))


def version(item_id: str, number: int) -> dict[str, Any]:
    value = item(item_id)
    value["properties"]["version"] = str(number)
    return value


async def segments(publisher: Publisher) -> int:
    return len((await publisher.own_segments())["segments"])


async def test_many_segments_become_one_and_nobody_notices(home: Home, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(compaction, "SEGMENTS_MAX", 3)
    institution, publisher = publisher_of(home)
    async with offline(home.root) as peer:
        await follow(home, institution)
        for number in range(3):
            await publish(publisher, tmp_path, version("a", number), version(f"b{number}", 0))
        await publish(publisher, tmp_path, version("c", 0))
        collection = version("a", 0)["collection"]
        await withdraw(publisher, collection, "b1")
        before = rows(peer)
        assert [item_id for item_id, *_ in before] == ["a", "b0", "b2", "c"]

        [rewrite] = await compact(home, publisher)

        assert (rewrite.segments, len(rewrite.plan.segments), rewrite.plan.dropped) == (4, 4, 3)
        assert await segments(publisher) == 1
        assert rows(peer) == before
        assert await compact(home, publisher) == []
        await publish(publisher, tmp_path, version("a", 1))
    async with offline(home.root) as peer:
        newest = [raw for item_id, raw, _ in rows(peer) if item_id == "a"]
        assert [b'"version": "1"' in raw for raw in newest] == [True]


async def test_a_segment_that_comes_out_as_it_was_stays_and_the_beaten_ones_go(
    home: Home, tmp_path: Path, monkeypatch
):
    monkeypatch.setattr(compaction, "SEGMENTS_MAX", 1)
    institution, publisher = publisher_of(home)
    async with offline(home.root) as peer:
        await follow(home, institution)
        await publish(publisher, tmp_path, version("a", 0))
        await publish(publisher, tmp_path, version("b", 0))
        await compact(home, publisher)
        [whole] = (await publisher.own_segments())["segments"]
        await publish(publisher, tmp_path, version("c", 0))
        collection = version("a", 0)["collection"]
        await withdraw(publisher, collection, "c")
        [rewrite] = await compact(home, publisher)
        assert rewrite.plan.dropped == 1
        assert (await publisher.own_segments())["segments"] == [whole]
        assert [item_id for item_id, *_ in rows(peer)] == ["a", "b"]


async def test_a_collection_of_which_all_is_withdrawn_ends_without_segments(
    home: Home, tmp_path: Path
):
    institution, publisher = publisher_of(home)
    async with offline(home.root) as peer:
        await follow(home, institution)
        await publish(publisher, tmp_path, version("a", 0))
        await withdraw(publisher, version("a", 0)["collection"], "a")
        await compact(home, publisher)
        assert await segments(publisher) == 0
        assert rows(peer) == []
