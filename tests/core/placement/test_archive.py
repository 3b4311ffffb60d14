"""Extents: every piece is in one, sizes add up, names and places are the same thing."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from meshnode.core.identifiers import sha256
from meshnode.core.placement.archive import (
    DEAD_SECONDS,
    EXTENT_BYTES,
    Archive,
    ArchivePayload,
    extent_count,
    extent_pieces,
    extent_sizes,
    mirror_permille,
)
from meshnode.core.placement.policy import Policy

DAY = 86_400
sizes = st.integers(0, 40 * EXTENT_BYTES)
piece_sizes = st.sampled_from([1 << 14, 1 << 20, 4 << 20, 16 << 20])


def archive(*extents: int, risk: int = 0) -> Archive:
    return Archive(
        tuple(
            ArchivePayload(sha256(b"%d" % place), count * EXTENT_BYTES, 16 << 20, risk)
            for place, count in enumerate(extents)
        )
    )


@given(sizes, piece_sizes)
def test_each_piece_is_in_one_extent(size: int, piece: int) -> None:
    pieces = [extent_pieces(extent, size, piece) for extent in range(extent_count(size))]
    flat = [one for part in pieces for one in part]
    assert flat == list(range(-(-size // piece)))
    for extent, part in enumerate(pieces):
        assert all(one * piece // EXTENT_BYTES == extent for one in part)


@given(sizes, piece_sizes)
def test_sizes_add_up(size: int, piece: int) -> None:
    made = extent_sizes(size, piece)
    assert int(made.sum()) == size
    for extent, length in enumerate(made.tolist()):
        part = extent_pieces(extent, size, piece)
        assert length == min(part.stop * piece, size) - min(part.start * piece, size)


@given(st.lists(st.integers(1, 30), max_size=8), st.data())
def test_names_are_read_as_written(extents: list[int], data: st.DataObject) -> None:
    one = archive(*extents)
    places = sorted(data.draw(st.sets(st.integers(0, max(0, len(one) - 1)), max_size=len(one))))
    named = one.names(np.array(places, np.int64))
    assert one.numbers(named).tolist() == places


def test_unknown_payloads_and_numbers_are_passed_over() -> None:
    one = archive(3)
    held = {sha256(b"0"): [1, 3, 70_000], sha256(b"of nobody"): [0]}
    assert one.numbers(held).tolist() == [1]


def test_targets_are_what_there_is_room_for() -> None:
    one = archive(10)
    assert set(one.targets(1_000).tolist()) == {4_000}
    assert set(one.targets(39).tolist()) == {3_000}
    assert set(one.targets(30).tolist()) == {3_000}
    assert set(one.targets(0).tolist()) == {1_000}


def test_what_is_at_risk_is_cut_last() -> None:
    safe, risky = (
        ArchivePayload(sha256(b"a"), 1, 1 << 14),
        ArchivePayload(sha256(b"b"), 1, 1 << 14, 4),
    )
    both = Archive((safe, risky), Policy(copies=2))
    assert both.targets(8).tolist() == [2_000, 6_000]
    assert both.targets(7).tolist() == [2_000, 5_000]
    assert both.targets(3).tolist() == [1_000, 1_000]


def test_a_mirror_fades_and_dies() -> None:
    ages = [0, 7 * DAY, 7 * DAY + 1, 14 * DAY, 15 * DAY, 22 * DAY, 29 * DAY, DEAD_SECONDS, None]
    assert [mirror_permille(age, 0) for age in ages] == [1000, 1000, 500, 500, 250, 125, 62, 0, 0]
    assert [mirror_permille(0, wrong) for wrong in (0, 2, 3)] == [1000, 1000, 0]
