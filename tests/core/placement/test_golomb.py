"""Golomb-Rice gaps: the example of the specification, any set, and bytes that are no gaps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshnode.core.encoding import MalformedRecordError
from meshnode.core.placement.golomb import decode_gaps, encode_gaps


def test_example_of_the_specification() -> None:
    assert decode_gaps(3, 2, bytes.fromhex("1a40")) == [0, 11, 14]


@given(st.sets(st.integers(0, 1 << 20), max_size=200))
def test_what_is_written_is_read(numbers: set[int]) -> None:
    rising = sorted(numbers)
    rice, data = encode_gaps(rising)
    assert decode_gaps(len(rising), rice, data) == rising


@given(st.sets(st.integers(0, 300), min_size=1, max_size=40), st.integers(0, 31))
def test_no_other_parameter_makes_it_shorter(numbers: set[int], other: int) -> None:
    rising = sorted(numbers)
    gaps = [b - a - 1 for a, b in zip([-1, *rising], rising, strict=False)]
    _, data = encode_gaps(rising)
    assert len(data) <= -(-sum((gap >> other) + 1 + other for gap in gaps) // 8)


def test_a_volunteers_share_of_the_archive_is_short() -> None:
    held = np.sort(np.random.default_rng(1).choice(46_566, 465, replace=False))
    _, data = encode_gaps(held.tolist())
    assert len(data) <= 500


@pytest.mark.parametrize(
    ("count", "rice", "data"),
    [
        (1, 0, b""),  # no gap at all
        (1, 0, b"\xff"),  # ones without an end
        (1, 8, b"\x00"),  # low bits are missing
        (1, 0, b"\x40"),  # a bit after the last gap
        (1, 0, b"\x00\x00"),  # a byte too many
        (2, 31, b"\xff" * 20),
    ],
)
def test_other_bytes_are_refused(count: int, rice: int, data: bytes) -> None:
    with pytest.raises(MalformedRecordError):
        decode_gaps(count, rice, data)


@given(st.integers(1, 300), st.integers(0, 31), st.binary(max_size=64))
def test_any_bytes_end_in_numbers_or_refusal(count: int, rice: int, data: bytes) -> None:
    try:
        numbers = decode_gaps(count, rice, data)
    except MalformedRecordError:
        return
    assert numbers == sorted(set(numbers))
    assert len(numbers) == count
