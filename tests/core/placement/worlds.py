"""Small archives and volunteers, drawn at random."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from meshnode.core.identifiers import sha256
from meshnode.core.placement.archive import EXTENT_BYTES, Archive, ArchivePayload
from meshnode.core.placement.balance import Balance
from meshnode.core.placement.patience import Patience
from meshnode.core.placement.planning import Situation
from meshnode.core.placement.volunteers import Volunteer, Volunteers

NOW = 10_000_000

payloads = st.builds(
    ArchivePayload,
    key=st.integers(0, 1 << 30).map(lambda number: sha256(b"%d" % number)),
    size_bytes=st.integers(1, 6 * EXTENT_BYTES),
    piece_bytes=st.sampled_from([1 << 20, 16 << 20]),
    risk=st.integers(0, 4),
    mirrors=st.sampled_from([0, 0, 500, 1000]),
    allowed=st.sampled_from([True, True, True, False]),
    retired=st.sampled_from([False, False, False, True]),
    demand=st.integers(0, 3),
)
archives = st.lists(payloads, min_size=1, max_size=6, unique_by=lambda one: one.key).map(
    lambda each: Archive(tuple(each))
)


@st.composite
def volunteers_of(draw: st.DrawFn, archive: Archive) -> Volunteers:
    """Draw two to eight volunteers, with any extents."""
    each = [draw(_volunteer(archive, place)) for place in range(draw(st.integers(2, 8)))]
    return Volunteers(each, len(archive))


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    archive = draw(archives)
    volunteers = draw(volunteers_of(archive))
    since = draw(
        st.lists(
            st.sampled_from([-1, NOW, NOW - 600, NOW - 2_400, NOW - 6_000, NOW - 60_000]),
            min_size=len(archive),
            max_size=len(archive),
        )
    )
    return Situation(
        archive,
        volunteers,
        Balance.of(archive, volunteers),
        draw(st.integers(0, len(volunteers.each) - 1)),
        draw(st.integers(0, 12 * EXTENT_BYTES)),
        draw(st.sampled_from([0, 1, 3, 100])),
        Patience(np.array(since, np.int64)),
        NOW,
    )


def with_me(situation: Situation, me: int) -> Situation:
    """Return the same situation, as another volunteer has it."""
    return replace(situation, me=me)


@st.composite
def _volunteer(draw: st.DrawFn, archive: Archive, place: int) -> Volunteer:
    held = sorted(draw(st.sets(st.integers(0, len(archive) - 1), max_size=len(archive))))
    return Volunteer(
        sha256(b"volunteer %d" % place),
        draw(st.integers(0, 20)),
        draw(st.integers(0, 3)),
        draw(st.sampled_from([0, 125, 500, 950, 1000])),
        np.array(held, np.int64),
        audited=draw(st.booleans()),
        reachable=draw(st.sampled_from([True, True, False])),
        operator=draw(st.sampled_from([None, None, "one", "two"])),
        prefixes=draw(st.frozensets(st.sampled_from([b"a", b"b", b"c"]), max_size=2)),
        jurisdiction=draw(st.sampled_from([None, "CA", "FR"])),
    )
