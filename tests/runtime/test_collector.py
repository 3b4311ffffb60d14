"""The collector of garbage runs seldom within the block, and as before after it."""

from __future__ import annotations

import gc

import pytest

from meshnode.runtime.collector import SELDOM_OBJECTS, seldom_collected


def test_it_runs_as_before_after_the_block_however_that_ended():
    before = gc.get_threshold()
    with pytest.raises(KeyError), seldom_collected():
        assert gc.get_threshold() == (SELDOM_OBJECTS, *before[1:])
        raise KeyError
    assert gc.get_threshold() == before


def test_many_objects_at_hand_begin_no_collection():
    gc.collect()
    before = gc.get_stats()[0]["collections"]
    with seldom_collected():
        held = [[number] for number in range(SELDOM_OBJECTS // 2)]
        assert gc.get_stats()[0]["collections"] == before
    assert len(held) == SELDOM_OBJECTS // 2
