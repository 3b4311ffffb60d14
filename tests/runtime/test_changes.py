"""The feed of changes: who follows it from anywhere ends with exactly what is visible."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import apsw
import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from meshnode.core.identifiers import CatalogueId
from meshnode.core.names import SegmentKey, Withdrawal
from meshnode.core.rows import CheckedRow
from meshnode.errors import StorageError, UsageError
from meshnode.runtime.index import change_tables, changes
from meshnode.runtime.index.changes import Kind, Page, Wanted
from meshnode.runtime.index.index import Index
from meshnode.runtime.index.query import Query
from tests.runtime.homes import MEMORY
from tests.runtime.test_index import CITY, ref, row
from tests.runtime.test_index_oracle import (
    CATALOGUES,
    COLLECTIONS,
    Step,
    _perform,
    catalogues,
    clocks,
    collections,
    some_ids,
    steps,
)

Name = tuple[CatalogueId, str, str]
ALL = Wanted()


@dataclass(frozen=True)
class Purge:
    catalogue: CatalogueId
    collection: str
    ids: tuple[str, ...]
    clock: int


@dataclass(frozen=True)
class SetHidden:
    """What a fork or a closing does to the withdrawals of a catalogue."""

    catalogue: CatalogueId
    withdrawals: tuple[Withdrawal, ...]


@dataclass(frozen=True)
class Reopen:
    """The peer is started again, and forgets the oldest lines of what is gone."""


@dataclass(frozen=True)
class Read:
    """A reader reads a page, and stands there from now on until the end, as well as going on."""

    limit: int


withdrawals = st.builds(Withdrawal, collections, some_ids, clocks, st.booleans())
histories = st.lists(
    st.one_of(
        steps,
        steps,
        steps,
        st.builds(Purge, catalogues, collections, some_ids, clocks),
        st.builds(SetHidden, catalogues, st.lists(withdrawals, max_size=2).map(tuple)),
        st.just(Reopen()),
        st.builds(Read, st.integers(1, 3)),
        st.builds(Read, st.integers(1, 3)),
    ),
    max_size=16,
)


@dataclass(frozen=True)
class Follower:
    """Somebody who does what the feed says."""

    wanted: Wanted = ALL
    cursor: str = changes.BEGINNING
    held: dict[Name, bytes] = field(default_factory=dict)

    def after(self, page: Page) -> Follower:
        held = {} if page.is_reset else dict(self.held)
        for change in page.changes:
            name = (change.catalogue, change.collection, change.id)
            if change.found is None:
                assert change.kind is Kind.WITHDRAWN
                held.pop(name, None)
            else:
                assert change.kind is (Kind.REPLACED if name in held else change.kind)
                held[name] = change.found.item
        return replace(self, cursor=str(page.cursor), held=held)


def read(index: Index, follower: Follower, limit: int = 1000) -> Page:
    return index.read(lambda reader: changes.page(reader, follower.cursor, follower.wanted, limit))


def caught_up(index: Index, follower: Follower, limit: int = 2) -> Follower:
    while True:
        page = read(index, follower, limit)
        follower = follower.after(page)
        if page.is_last:
            return follower


def visible(index: Index, wanted: Wanted) -> dict[Name, bytes]:
    query = Query(catalogues=wanted.catalogues, collections=wanted.collections)
    return {(each.catalogue, each.collection, each.id): each.item for each in index.scan(query)}


@pytest.mark.slow
@settings(deadline=None)
@given(
    history=histories,
    wanted=st.sampled_from(
        [Wanted(), Wanted(collections=(COLLECTIONS[0],)), Wanted(catalogues=(CATALOGUES[0],))]
    ),
    span=st.sampled_from([1, 3, 1000]),
    gone_max=st.sampled_from([0, 1, 1000]),
)
def test_a_follower_from_any_cursor_ends_with_exactly_what_is_visible(
    history: list[Step | Purge | SetHidden | Reopen | Read],
    wanted: Wanted,
    span: int,
    gone_max: int,
) -> None:
    with (
        tempfile.TemporaryDirectory(dir=MEMORY) as directory,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(changes, "SPAN_MAX", span)
        patch.setattr(change_tables, "GONE_MAX", gone_max)
        path = Path(directory) / "index.db"
        index, reader = Index.open(path), Follower(wanted)
        followers = [reader]
        for step in history:
            match step:
                case Read(limit):
                    reader = reader.after(read(index, reader, limit))
                    followers.append(reader)
                case Reopen():
                    index.close()
                    index = Index.open(path)
                case Purge(catalogue, collection, ids, clock):
                    index.erase(catalogue, collection, ids, clock)
                case SetHidden(catalogue, hidden):
                    index.set_hidden(catalogue, hidden)
                case _:
                    _perform(index, step)
        expected = visible(index, wanted)
        found = [caught_up(index, follower).held for follower in followers]
        problems = index.check_file()
        index.close()
    assert found == [expected] * len(found)
    assert problems == []


@pytest.fixture
def index(tmp_path: Path):
    index = Index.open(tmp_path / "index.db")
    yield index
    index.close()


def said(page: Page) -> list[tuple[str, str]]:
    return [(change.kind.value, change.id) for change in page.changes]


def publish(index: Index, name: str, clock: int, *rows: CheckedRow) -> SegmentKey:
    added = ref(name, clock)
    with index.adding(added) as adding:
        adding.add(rows)
    return added.key


def test_added_replaced_withdrawn_and_shown_again(index: Index) -> None:
    publish(index, "1", 1, row("a"), row("b"))
    first = read(index, Follower())
    assert said(first) == [("added", "a"), ("added", "b")]

    replaced = publish(index, "2", 2, row("a", "new"))
    index.hide(CITY, "ortho", ["b"], 2)
    second = read(index, Follower(cursor=str(first.cursor)))
    assert said(second) == [("replaced", "a"), ("withdrawn", "b")]
    [new, gone] = second.changes
    assert (new.found and new.found.item, gone.found) == (row("a", "new").item, None)

    index.drop(replaced)
    publish(index, "3", 3, row("b"))
    third = read(index, Follower(cursor=str(second.cursor)))
    assert said(third) == [("replaced", "a"), ("replaced", "b")]
    assert said(read(index, Follower())) == [("added", "a"), ("added", "b")]
    assert said(read(index, Follower(cursor=str(third.cursor)))) == []


def test_a_purged_item_leaves_a_tombstone_without_content(index: Index, tmp_path: Path) -> None:
    publish(index, "1", 1, row("secret", "Geheimnis"), row("b"))
    before = read(index, Follower())
    index.hide(CITY, "ortho", ["secret"], 2, erases=True)
    index.erase(CITY, "ortho", ["secret"], 2)

    assert said(read(index, Follower(cursor=str(before.cursor)))) == [("withdrawn", "secret")]
    assert b"Geheimnis" not in (tmp_path / "index.db").read_bytes()


def test_a_catalogue_that_is_not_followed_any_more_is_gone_item_by_item(index: Index) -> None:
    publish(index, "1", 1, row("a"), row("b"))
    before = read(index, Follower())
    index.forget(CITY)

    page = read(index, Follower(cursor=str(before.cursor)))
    assert sorted(said(page)) == [("withdrawn", "a"), ("withdrawn", "b")]
    publish(index, "2", 2, row("a"))
    assert said(read(index, Follower(cursor=str(page.cursor)))) == [("replaced", "a")]


def test_a_cursor_of_another_index_begins_again(index: Index, tmp_path: Path) -> None:
    publish(index, "1", 1, row("a"))
    other = Index.open(tmp_path / "other.db")
    publish(other, "1", 1, row("b"))
    cursor = str(read(other, Follower()).cursor)
    other.close()

    page = read(index, Follower(cursor=cursor))
    assert (page.is_reset, said(page)) == (True, [("added", "a")])
    assert not read(index, Follower(cursor=str(page.cursor))).is_reset


def test_who_missed_what_is_forgotten_begins_again_and_who_began_later_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_tables, "GONE_MAX", 0)
    index = Index.open(tmp_path / "index.db")
    publish(index, "1", 1, row("a"), row("b"), row("c"))
    away = Follower().after(read(index, Follower()))
    index.hide(CITY, "ortho", ["a"], 2)
    index.close()
    index = Index.open(tmp_path / "index.db")
    try:
        page = read(index, away)
        assert (page.is_reset, sorted(name[2] for name in away.after(page).held)) == (
            True,
            ["b", "c"],
        )
        begun = read(index, Follower(), limit=1)
        assert not read(index, Follower(cursor=str(begun.cursor)), limit=1).is_reset
    finally:
        index.close()


def test_a_time_or_a_day_is_a_place_in_the_order(index: Index) -> None:
    for number, id_ in enumerate("abcd", 1):
        publish(index, str(number), 1, row(id_))
    index.hide(CITY, "ortho", ["c"], 2)
    with index._writing() as database:
        for table in ("change", "gone"):
            database.execute(f"UPDATE {table} SET at = 1000 * seq")

    for since, found in (
        ("1970-01-01T00:33:20Z", "bdc"),  # 2,000 seconds
        ("1970-01-01T00:33:21Z", "dc"),
        ("1970-01-01", "abdc"),
        ("1970-01-02", ""),
    ):
        assert [id_ for _, id_ in said(read(index, Follower(cursor=since)))] == list(found)
    with pytest.raises(UsageError, match="'yesterday' is no cursor, time or day"):
        read(index, Follower(cursor="yesterday"))


def test_counts_and_the_latest_are_of_the_same_changes(index: Index) -> None:
    publish(index, "1", 1, row("a"), row("b"), row("c"))
    cursor = str(read(index, Follower()).cursor)
    publish(index, "2", 2, row("a"), row("d"))
    index.hide(CITY, "ortho", ["b"], 2)

    counted = index.read(lambda reader: changes.counts(reader, cursor, Wanted()))
    assert counted == {(CITY, "ortho"): {Kind.ADDED: 1, Kind.REPLACED: 1, Kind.WITHDRAWN: 1}}
    latest = index.read(lambda reader: changes.latest(reader, Wanted(), 2))
    assert [change.id for change in latest[:1]] == ["b"]
    assert len(latest) == 2


def test_an_index_of_before_is_taken_over_without_being_made_again(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    index = Index.open(path)
    publish(index, "1", 1, row("a"), row("b"))
    index.close()
    database = apsw.Connection(str(path))
    for trigger in ("change_shown", "change_hidden", "change_removed"):
        database.execute(f"DROP TRIGGER {trigger}")
    for table in ("feed", "change", "gone"):
        database.execute(f"DROP TABLE {table}")
    database.close()

    index = Index.open(path)
    try:
        assert sorted(said(read(index, Follower()))) == [("added", "a"), ("added", "b")]
        assert len(index.indexed()) == 1
    finally:
        index.close()


def test_an_index_without_the_feed_says_so_to_a_reader(tmp_path: Path) -> None:
    index = Index.open(tmp_path / "index.db")
    with index._writing() as database:
        database.execute("DROP TABLE feed")
    with pytest.raises(StorageError, match="no feed of changes yet"):
        read(index, Follower())
    index.close()
