"""Every kind of entry has a sentence for people."""

from __future__ import annotations

import pytest

from meshnode.core.entries import (
    CollectionAdded,
    Entry,
    InfoHash,
    ItemName,
    ItemsRemoved,
    MirrorsChanged,
    ObjectRef,
    PayloadAdded,
    PayloadRemoved,
    Reason,
    ReleaseAdded,
    RiskSet,
    SegmentRemoved,
    UnknownEntry,
)
from meshnode.core.history import sentence
from meshnode.core.identifiers import object_text, sha256
from tests.core.institutions import content, segment

KEY = sha256(b"key")
SHORT = f"…{object_text(KEY)[-8:]}"
REF = ObjectRef(KEY, 10)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (CollectionAdded(1, "c", REF), f"c: its document is {SHORT}"),
        (
            segment(1, "a", replaces=["b"]),
            f"ortho: 1 item in segment …{object_text(sha256(content('a')))[-8:]}, "
            "replacing 1 segment",
        ),
        (SegmentRemoved(1, "c", KEY, Reason.ERROR), f"c: segment {SHORT} withdrawn, error"),
        (
            ItemsRemoved(1, "c", ("a", "b", "d", "e"), Reason.PRIVACY, None),
            "c: 4 items withdrawn, privacy: a, b, d, …",
        ),
        (
            ItemsRemoved(1, "c", ("a",), Reason.SUPERSEDED, ItemName("x", "y")),
            "c: 1 item withdrawn, superseded, in favour of x/y: a",
        ),
        (
            PayloadAdded(1, "c", KEY, REF, 7, 16384, InfoHash(KEY, None), REF, ("u", "v"), 0),
            f"c: payload {SHORT} of 7 bytes, 2 mirrors",
        ),
        (PayloadRemoved(1, "c", KEY, Reason.LEGAL), f"c: payload {SHORT} withdrawn, legal"),
        (
            MirrorsChanged(1, "c", KEY, ("u",), ("v", "w")),
            f"c: payload {SHORT}, 1 mirror added, 2 dropped",
        ),
        (RiskSet(1, "c", KEY, 3, 9), f"c: payload {SHORT} at risk 3 of 4"),
        (
            ReleaseAdded(1, "c", "v2", "10.1/x", (), None, None),
            "c: release v2, doi 10.1/x",
        ),
        (UnknownEntry("map+", 2, 1, b""), "map+ 2: an entry that this version does not know"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_an_entry_is_said_in_one_line(entry: Entry, expected: str):
    assert sentence(entry) == expected
