"""Scores: the same on every machine, in proportion to capacity, and moved by nothing else."""

from __future__ import annotations

import hashlib
import math

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from meshnode.core.placement.scores import (
    CAPACITY_MAX,
    SCORE_BITS,
    extent_words,
    mixed,
    scores,
    volunteer_word,
)

MASK = (1 << 64) - 1
EXTENT_WORDS = ["e4fe38840f7a6358", "ce2bee803d6cb7e7", "bf073152be32a877"]
TABLE_ERROR = 2**-26  # of a logarithm, between two places of its table
SCORES = [25202676, 468753, 6130349]


def finalizer(word: int) -> int:
    """Return SplitMix64's, with integers of Python."""
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 & MASK
    word = (word ^ word >> 27) * 0x94D049BB133111EB & MASK
    return word ^ word >> 31


def key(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def winners(names: list[str], capacities: list[int], extents: int) -> list[str]:
    words = np.array([volunteer_word(key(name)) for name in names], np.uint64)
    capacity = np.array(capacities, np.int64)
    made = scores(words[:, None], capacity[:, None], extent_words(key("payload"), extents)[None, :])
    return [names[place] for place in made.argmax(0).tolist()]


def test_scores_are_those_of_the_specification() -> None:
    """Frozen: another value would be another placement (protocol/06-payloads.md, P-42)."""
    words = extent_words(key("payload"), 3)
    assert [f"{word:016x}" for word in words.tolist()] == EXTENT_WORDS
    made = scores(np.array([volunteer_word(key("volunteer"))], np.uint64), np.array([465]), words)
    assert made.tolist() == SCORES


@given(st.integers(0, MASK))
def test_words_are_mixed_as_written(word: int) -> None:
    assert int(mixed(np.array([word], np.uint64))[0]) == finalizer(word)


@given(st.integers(0, MASK), st.integers(0, MASK), st.integers(1, 1 << 20))
def test_score_is_capacity_by_logarithm(one: int, other: int, capacity: int) -> None:
    draw = (finalizer(one ^ other) >> 11) / 2**53
    made = scores(np.array([one], np.uint64), np.array([capacity]), np.array([other], np.uint64))
    logarithm = -math.log2(max(draw, 2**-53))
    assume(logarithm > TABLE_ERROR * 2**7)
    exact = min(capacity, CAPACITY_MAX) / logarithm * 2**SCORE_BITS
    assert abs(int(made[0]) - exact) <= 1 + exact * 2 * TABLE_ERROR / logarithm


def test_twice_the_capacity_comes_first_twice_as_often() -> None:
    won = winners(["one", "other", "large"], [465, 465, 930], 20_000)
    assert abs(won.count("large") / 20_000 - 1 / 2) < 0.015
    assert abs(won.count("one") / 20_000 - 1 / 4) < 0.015


def test_who_leaves_moves_only_what_was_its_own() -> None:
    names = [f"volunteer {place}" for place in range(12)]
    before = winners(names, [465] * 12, 3_000)
    after = winners(names[:-1], [465] * 11, 3_000)
    for one, other in zip(before, after, strict=True):
        assert one in (other, names[-1])


def test_every_draw_has_a_score() -> None:
    ends = np.array([0, 1, (1 << 11) - 1, 1 << 11, MASK, MASK - 1, 1 << 63], np.uint64)
    made = scores(np.zeros(len(ends), np.uint64), np.full(len(ends), 1 << 30), ends)
    assert (made > 0).all()
