"""The difference between a source and what is published: what is signed, and what never is."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from meshnode.control import Control
from meshnode.core.entries import (
    CollectionAdded,
    ItemName,
    ItemsRemoved,
    Reason,
    SegmentAdded,
    encode_entry,
)
from meshnode.core.identifiers import Digest, sha256
from meshnode.core.limits import CLOCK_MAX, ENTRY_BYTES_MAX, ITEM_IDS_MAX
from meshnode.errors import UsageError
from meshnode.runtime.home import Home
from meshnode.runtime.maintainer import room
from meshnode.runtime.maintainer.batches import Batch
from meshnode.runtime.maintainer.difference import Difference, Standing
from meshnode.runtime.maintainer.drafts import parse_reason, withdrawals
from meshnode.runtime.maintainer.institutions import Institution
from meshnode.runtime.maintainer.plans import Plan, Within, plan, require_few_gone
from meshnode.runtime.maintainer.publishing import Draft
from meshnode.runtime.segments.items import ItemText, RefusedItem
from meshnode.runtime.service import offline
from tests.runtime.homes import (
    follow,
    ids_found,
    items_file,
    made_home,
    publish,
    publisher_of,
    result_of,
)
from tests.runtime.stac_samples import item, pair

NOTHING: dict[str, Any] = {"collections": {}, "segments": []}


def digest_of(value: dict[str, Any]) -> Digest:
    return sha256(pair(value)[0])


def given(*values: dict[str, Any]) -> list[ItemText]:
    return [ItemText.of(*pair(value), where=f"line {n}") for n, value in enumerate(values, 1)]


def planned(
    tmp_path: Path,
    published: Sequence[dict[str, Any]],
    items: Sequence[ItemText | RefusedItem],
    reason: Reason | None = Reason.RETIRED,
) -> tuple[Batch, Plan]:
    staging = tmp_path / "staging"
    staging.mkdir()
    difference = Difference()
    difference.hold((each["collection"], each["id"], digest_of(each)) for each in published)
    batch = Batch(staging, None, {}, difference)
    batch.take(items, lambda count: None)
    return batch, plan(batch, NOTHING, difference.collections(), reason)


def entries(made: Plan) -> list[object]:
    return [draft(9) for draft in made.drafts]


# --- The difference -------------------------------------------------------------------------------
def test_an_item_stands_by_its_bytes_to_what_is_published_and_what_came_before():
    difference = Difference()
    one, two = sha256(b"1"), sha256(b"2")
    difference.hold([("towns", "a", one), ("towns", "b", one), ("towns", "d", one)])
    looked = [
        difference.look(ItemName("towns", id_), digest)
        for id_, digest in [("a", one), ("a", one), ("a", two), ("b", two), ("c", one), ("b", one)]
    ]
    assert looked == [
        Standing.SAME,
        Standing.REPEATED,
        Standing.CONFLICTING,
        Standing.CHANGED,
        Standing.NEW,
        Standing.CONFLICTING,
    ]
    assert list(difference.gone("towns")) == ["d"]
    assert (difference.held("towns"), difference.gone_count("towns")) == (3, 1)
    assert difference.collections() == ["towns"]


# --- The plan -------------------------------------------------------------------------------------
def test_only_new_and_changed_items_are_in_the_segment_and_gone_ones_are_withdrawn(tmp_path: Path):
    published = [item("same"), item("changed"), item("gone")]
    batch, made = planned(
        tmp_path, published, given(item("same"), item("changed", west=10.0), item("new"))
    )
    document, segment, withdrawn = entries(made)
    assert isinstance(document, CollectionAdded)
    assert isinstance(segment, SegmentAdded)
    assert (segment.rows, batch.taken) == (2, 2)
    assert withdrawn == ItemsRemoved(9, "towns", ("gone",), Reason.RETIRED, None)
    [counts] = made.counts
    assert (counts.new, counts.changed, counts.same, counts.gone) == (1, 1, 1, 1)


def test_what_is_gone_stays_published_unless_it_shall_be_withdrawn(tmp_path: Path):
    _, made = planned(tmp_path, [item("a"), item("b")], given(item("a")), reason=None)
    assert (made.drafts, made.gone, made.counts[0].gone) == ((), {}, 1)


def test_an_item_that_is_refused_is_not_gone(tmp_path: Path):
    broken = item("a") | {"stac_version": "0.9"}
    batch, made = planned(tmp_path, [item("a")], given(broken))
    assert (batch.refused_count, made.drafts) == (1, ())


def test_nothing_is_withdrawn_where_a_part_of_the_source_could_not_be_read(tmp_path: Path):
    unread = RefusedItem("line 2", None, "not valid JSON")
    with pytest.raises(UsageError, match="1 places of the source could not be read"):
        planned(tmp_path, [item("a"), item("b")], [*given(item("a")), unread])


@pytest.mark.parametrize(("gone", "is_refused"), [(2, False), (3, True)])
def test_more_than_a_fifth_of_a_collection_is_not_withdrawn_by_itself(
    tmp_path: Path, gone: int, is_refused: bool
):
    published = [item(f"i{n}") for n in range(10)]
    _, made = planned(tmp_path, published, given(*published[gone:]))
    if is_refused:
        with pytest.raises(UsageError, match="3 of 10 published items of towns are gone"):
            require_few_gone(made)
    else:
        require_few_gone(made)


def test_items_of_other_collections_are_left_aside_and_counted():
    within = Within(["towns"])
    roads = item("r") | {"collection": "roads"}
    bare = {key: value for key, value in item("b").items() if key != "collection"}
    kept = list(within(given(item("a"), roads, bare)))
    assert [each.value["id"] for each in kept if isinstance(each, ItemText)] == ["a", "b"]
    assert within.outside == 1


# --- Withdrawals ----------------------------------------------------------------------------------
@pytest.mark.parametrize("length", [1, 30, 250])
def test_a_long_withdrawal_becomes_entries_that_every_peer_takes(length: int):
    ids = [f"{n:04}".rjust(max(4, length), "x") for n in range(1500)]
    drafts = list(withdrawals("c" * 255, ids, Reason.ERROR, ItemName("c" * 255, "i" * 255)))
    made = [draft(CLOCK_MAX) for draft in drafts]
    assert [id_ for each in made if isinstance(each, ItemsRemoved) for id_ in each.ids] == ids
    assert all(len(encode_entry(each)) <= ENTRY_BYTES_MAX for each in made)
    assert all(len(each.ids) <= ITEM_IDS_MAX for each in made if isinstance(each, ItemsRemoved))


def test_a_reason_that_does_not_exist_is_refused_with_those_that_do():
    with pytest.raises(UsageError) as caught:
        parse_reason("boredom")
    assert caught.value.hint.startswith("one of retired, superseded, error")


async def test_more_drafts_than_a_head_may_have_become_several_heads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(room, "HEAD_ENTRIES_MAX", 2)
    home = made_home(tmp_path / "home")
    institution, publisher = publisher_of(home)
    async with offline(home.root):
        await follow(home, institution)
        await publish(publisher, tmp_path, "a", "b", "c", "d")
        drafts: list[Draft] = []
        for id_ in ("a", "b", "c"):
            drafts += withdrawals("towns", [id_], Reason.ERROR)
        with publisher.session():
            await result_of(publisher.recover())
            before = await publisher.state()
            await result_of(publisher.publish(before, drafts, []))
            after = await publisher.state()
        assert after["size"] == before["size"] + 3
        assert published_ids(await rows_of(home, institution)) == ["d"]
        assert await ids_found(home) == ["d"]


# --- What is published ----------------------------------------------------------------------------
async def rows_of(home: Home, institution: Institution) -> list[list[str]]:
    rows: list[list[str]] = []
    said = Control(home.control).follow("published", catalogue=institution.text)
    async with aclosing(said) as messages:
        async for message in messages:
            rows += message.get("event", {}).get("published", [])
    return rows


def published_ids(rows: list[list[str]]) -> list[str]:
    return [row[1] for row in rows]


async def test_the_peer_names_what_is_published_by_the_hash_of_its_bytes(tmp_path: Path):
    home = made_home(tmp_path / "home")
    institution, publisher = publisher_of(home)
    async with offline(home.root):
        await follow(home, institution)
        await publish(publisher, tmp_path, "b", "a")
        rows = await rows_of(home, institution)
    raw = items_file(tmp_path / "a.ndjson", [item("a")]).read_bytes().strip()
    assert published_ids(rows) == ["a", "b"]
    assert rows[0] == ["towns", "a", sha256(raw).hex()]
