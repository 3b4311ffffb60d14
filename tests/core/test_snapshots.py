"""A snapshot and what follows says what the whole log says (I8), whatever else there is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshnode.core.contents import Contents
from meshnode.core.encoding import MalformedRecordError, encode
from meshnode.core.entries import (
    CollectionAdded,
    Entry,
    InfoHash,
    ItemsRemoved,
    MirrorsChanged,
    ObjectRef,
    PayloadAdded,
    PayloadRemoved,
    Reason,
    ReleaseAdded,
    RiskSet,
    SegmentAdded,
    SegmentRemoved,
    UnknownEntry,
    decode_entry,
    encode_entry,
)
from meshnode.core.heads import SnapshotRef
from meshnode.core.identifiers import CatalogueId, Digest, Kid, sha256
from meshnode.core.merkle import Frontier, leaf_hash
from meshnode.core.names import LogId
from meshnode.core.snapshots import Snapshot, begin, encode_snapshot, snapshot_of

OURS, THEIRS = Kid(bytes(16)), Kid(b"\1" * 16)
LOG = LogId(CatalogueId(sha256(b"catalogue")), OURS)
NAMES = [sha256(bytes([n])) for n in range(3)]
KEYS = [sha256(b"key" + bytes([n])) for n in range(2)]
URLS = ("https://a.example/", "https://b.example/")

names = st.sampled_from(NAMES)
keys = st.sampled_from(KEYS)
collections = st.sampled_from(["ortho", "lidar"])
urls = st.lists(st.sampled_from(URLS), max_size=2, unique=True).map(tuple)
reasons = st.sampled_from([Reason.ERROR, Reason.PRIVACY])
objects = st.builds(ObjectRef, names, st.integers(1, 2))


def _segment(collection: str, digest: Digest, replaces: list[Digest]) -> SegmentAdded:
    old = tuple(each for each in replaces if each != digest)
    return SegmentAdded(1, collection, digest, 9, 1, 1, (0, 0, 1, 1), (None, None), old)


def _payload(
    collection: str, key: Digest, files: ObjectRef, mirrors: tuple[str, ...]
) -> PayloadAdded:
    hashes = InfoHash(sha256(b"torrent"), None)
    return PayloadAdded(1, collection, key, files, 5, 1 << 20, hashes, files, mirrors, 0)


def _mirrors(collection: str, key: Digest, add: tuple[str, ...]) -> MirrorsChanged:
    return MirrorsChanged(1, collection, key, add, tuple(url for url in URLS if url not in add))


kinds: st.SearchStrategy[Any] = st.one_of(
    st.builds(CollectionAdded, st.just(1), collections, objects),
    st.builds(_segment, collections, names, st.lists(names, max_size=1)),
    st.builds(_segment, collections, names, st.just([])),
    st.builds(SegmentRemoved, st.just(1), collections, names, reasons),
    st.builds(ItemsRemoved, st.just(1), collections, st.just(("tile",)), reasons, st.none()),
    st.builds(_payload, collections, keys, objects, urls),
    st.builds(PayloadRemoved, st.just(1), collections, keys, reasons),
    st.builds(_mirrors, collections, keys, urls),
    st.builds(RiskSet, st.just(1), collections, keys, st.integers(0, 4), st.just(9)),
    st.just(ReleaseAdded(1, "ortho", "1", None, (KEYS[0],), None, None)),
)
gaps = st.integers(1, 3)


@st.composite
def logs(draw: st.DrawFn) -> list[bytes]:
    """Entries whose clocks rise."""
    clock, raws = 0, []
    for entry, gap in draw(st.lists(st.tuples(kinds, gaps), max_size=14)):
        clock += gap
        raws.append(encode_entry(replace(entry, clock=clock)))
    return raws


def snapshot(raws: list[bytes], before: int = 0) -> Snapshot:
    """The snapshot of these entries; made of that of the first `before` of them, if any."""
    frontier = Frontier().extend([leaf_hash(raw) for raw in raws])
    entries: list[tuple[int, bytes]] = list(enumerate(raws))
    if before:
        entries = [*snapshot(raws[:before]).entries, *entries[before:]]
    return snapshot_of(LOG, frontier, entries)


def contents(*logs: tuple[Kid, list[bytes]]) -> Contents:
    made = Contents()
    for writer, raws in logs:
        for raw in raws:
            made.apply(writer, decode_entry(raw), sha256(raw))
    return made


def state(made: Contents) -> dict[str, object]:
    """All that is shown, wanted, withdrawn or erased for the sake of the entries."""
    segments = [(c, name) for c in ("ortho", "lidar") for name in NAMES]
    payloads = [(c, key) for c in ("ortho", "lidar") for key in KEYS]
    return {
        "segments": [made.live_segment(name) for name in segments],
        "payloads": made.live_payloads(),
        "named": [sorted(made.payloads_named(key), key=repr) for key in KEYS],
        "collections": made.collections,
        "hidden": made.hidden,
        "mirrors": [made.mirrors_of(name) for name in payloads],
        "risks": made.risks,
        "releases": made.releases,
        "erasing": made.erasing,
        "clock": made.clock,
    }


@given(logs(), logs(), st.data())
def test_i8_a_snapshot_and_what_follows_is_the_whole_log(ours, theirs, data) -> None:
    at = data.draw(st.integers(0, len(ours)))
    kept = [raw for _, raw in snapshot(ours[:at]).entries]
    whole = contents((OURS, ours), (THEIRS, theirs))
    assert state(contents((OURS, kept + ours[at:]), (THEIRS, theirs))) == state(whole)
    assert state(contents((THEIRS, theirs), (OURS, ours[at:] + kept))) == state(whole)


@given(logs(), logs(), st.data())
def test_i8_a_snapshot_counts_beside_another_branch(ours, other_end, data) -> None:
    """Another history of the same log parts anywhere, also before the index of the snapshot."""
    part, at = data.draw(st.integers(0, len(ours))), data.draw(st.integers(0, len(ours)))
    kept = [raw for _, raw in snapshot(ours[:at]).entries]
    branch = [*ours[:part], *other_end]
    whole = contents((OURS, ours), (OURS, branch))
    assert state(contents((OURS, kept + ours[at:]), (OURS, branch))) == state(whole)


@given(logs(), st.data())
def test_the_snapshot_of_a_snapshot_and_what_follows_is_that_of_the_whole(raws, data) -> None:
    at = data.draw(st.integers(0, len(raws)))
    assert snapshot(raws, before=at) == snapshot(raws)


@given(logs().filter(bool))
def test_a_true_snapshot_passes_every_check_of_who_has_nothing_else(raws) -> None:
    made = snapshot(raws)
    raw = encode_snapshot(made)
    beginning = begin(LOG, SnapshotRef(len(raws), sha256(raw), len(raw)), raw)
    assert beginning.frontier == Frontier().extend([leaf_hash(each) for each in raws])
    assert [digest for _, digest in beginning.entries] == [sha256(e) for _, e in made.entries]
    assert beginning.clock == decode_entry(raws[-1]).clock


def _kept(*entries: Entry) -> list[bytes]:
    return [encode_entry(replace(entry, clock=clock)) for clock, entry in enumerate(entries, 1)]


RAWS = _kept(_segment("ortho", NAMES[0], []), _segment("ortho", NAMES[1], []))
TRUE = snapshot(RAWS)
TRUE_RAW = encode_snapshot(TRUE)
TRUE_REF = SnapshotRef(2, sha256(TRUE_RAW), len(TRUE_RAW))


@pytest.mark.parametrize(
    ("reason", "ref", "changed"),
    [
        ("not the one that the head names", replace(TRUE_REF, object=NAMES[0]), {}),
        ("bytes", replace(TRUE_REF, size_bytes=1), {}),
        ("at 2", replace(TRUE_REF, index=3), {}),
        ("another log", None, {"writer": THEIRS}),
        ("another log", None, {"catalogue": CatalogueId(NAMES[0])}),
        ("entry 1 is missing", None, {"entries": TRUE.entries[:1]}),
        ("clocks do not rise", None, {"entries": ((0, RAWS[1]), (1, RAWS[0]))}),
        ("only false, true and null", None, {"entries": ((0, b"\xff"), (1, RAWS[1]))}),
        ("number of subtrees", None, {"frontier": ()}),
    ],
)
def test_l_104_a_newcomer_takes_no_snapshot_that_breaks_a_rule(
    reason: str, ref: SnapshotRef | None, changed: dict[str, Any]
) -> None:
    raw = encode_snapshot(replace(TRUE, **changed))
    ref = ref or SnapshotRef(2, sha256(raw), len(raw))
    with pytest.raises(MalformedRecordError, match=reason):
        begin(LOG, ref, raw)


def test_an_entry_of_an_unknown_kind_is_listed() -> None:
    unknown = ["aurora+", 1, 1, b"x"]
    assert isinstance(decode_entry(encode(unknown)), UnknownEntry)
    raws = [encode(unknown), encode([*unknown[:2], 2, b"x"])]
    assert snapshot(raws).entries == tuple(enumerate(raws))
