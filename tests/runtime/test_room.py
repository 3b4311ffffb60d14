"""What fits under one head and into a catalogue, before anything is signed."""

from __future__ import annotations

import pytest

from meshnode.core.entries import Entry, ItemsRemoved, Reason, SegmentRemoved, encode_entry
from meshnode.core.identifiers import sha256
from meshnode.errors import UsageError
from meshnode.runtime.maintainer import room
from meshnode.runtime.maintainer.room import heads_of, require_room, segments_in
from tests.core.institutions import content, segment

A, B, C = (sha256(content(name)) for name in "abc")


def removed(name: str) -> SegmentRemoved:
    return SegmentRemoved(9, "ortho", sha256(content(name)), Reason.ERROR)


def withdrawn() -> Entry:
    return ItemsRemoved(9, "ortho", ("x",), Reason.ERROR, None)


def parts(entries: list[Entry]) -> list[list[Entry]]:
    return [entries[part] for part in heads_of(entries)]


def test_without_entries_there_is_one_head():
    assert parts([]) == [[]]


def test_entries_are_divided_by_number(monkeypatch):
    monkeypatch.setattr(room, "HEAD_ENTRIES_MAX", 2)
    a, b, c = segment(1, "a"), segment(2, "b"), segment(3, "c")
    assert parts([a, b, c]) == [[a, b], [c]]
    assert parts([a, b]) == [[a, b]]


def test_entries_are_divided_by_bytes_also_where_one_alone_is_too_large(monkeypatch):
    a, b, c = segment(1, "a"), segment(2, "b"), segment(3, "c")
    size_bytes = len(encode_entry(a))
    monkeypatch.setattr(room, "HEAD_ENTRY_BYTES_MAX", 2 * size_bytes)
    assert parts([a, b, c]) == [[a, b], [c]]
    monkeypatch.setattr(room, "HEAD_ENTRY_BYTES_MAX", size_bytes - 1)
    assert parts([a, b]) == [[a], [b]]


def test_the_segments_are_named_that_entries_add_replace_or_remove():
    entries: list[Entry] = [
        segment(1, "a", replaces=("b",)),
        removed("c"),
        removed("a"),
        withdrawn(),
    ]
    assert segments_in(entries) == [("ortho", B), ("ortho", A), ("ortho", C)]


@pytest.mark.parametrize(
    ("entries", "live", "count"),
    [
        ([segment(1, "a")], [], 3),
        ([segment(1, "a")], ["a"], 2),
        ([segment(1, "a", replaces=("b", "c"))], ["b", "c"], 1),
        ([segment(1, "a", replaces=("b",))], [], 3),
        ([removed("b"), segment(2, "a")], ["b"], 2),
        ([segment(1, "a"), removed("a")], [], 2),
    ],
)
def test_of_two_live_segments_so_many_are_there_after(monkeypatch, entries, live, count):
    names = [("ortho", sha256(content(name))) for name in live]
    monkeypatch.setattr(room, "LIVE_SEGMENTS_MAX", count)
    require_room(2, names, entries)
    monkeypatch.setattr(room, "LIVE_SEGMENTS_MAX", count - 1)
    if count > 2:
        with pytest.raises(UsageError, match=f"would have {count} live segments"):
            require_room(2, names, entries)
    else:
        require_room(2, names, entries)  # a catalogue that is too full may still be mended
