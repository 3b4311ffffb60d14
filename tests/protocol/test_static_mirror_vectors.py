"""`core`'s static mirror against the vectors: the same files, and the same answers from them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import cbor2
import pytest

from meshnode.core.encoding import MalformedRecordError
from meshnode.core.heads import SignedHead, decode_signed_head
from meshnode.core.identifiers import CatalogueId, Digest, Kid, sha256
from meshnode.core.names import LogId
from meshnode.core.static_mirror import (
    CatalogueIndex,
    StretchFile,
    decode_index,
    decode_pointer,
    decode_roots,
    decode_stretch,
    encode_index,
    encode_pointer,
    encode_roots,
    encode_stretch,
    object_path,
)
from meshnode.core.stretches import Cutter, Step, settled, steps
from meshnode.core.trust import RootChain
from tests.protocol.generate_vectors import VECTORS
from tests.protocol.static_trees import blocks
from tests.protocol.test_vectors import SCHEMA

TREE: dict[str, Any] = json.loads((VECTORS / "static-mirror.json").read_text("utf-8"))
FILES = {name: bytes.fromhex(raw) for name, raw in TREE["files"].items()}
LOG = LogId(CatalogueId(bytes.fromhex(TREE["catalogue"])), Kid(bytes.fromhex(TREE["writer"])))
HEADS = [decode_signed_head(bytes.fromhex(raw)) for raw in TREE["heads"]]
ENTRIES = [bytes.fromhex(raw) for raw in TREE["entries"]]


def cut(given: list[Step]) -> list[tuple[int, int, bytes]]:
    cutter = Cutter(LOG)
    cuts = [cut for step in given for cut in cutter.add(step)] + list(cutter.rest())
    return [(each.ref.first_seq, each.ref.last_seq, each.raw) for each in cuts]


def sized(head: SignedHead, seq: int, size: tuple[int, int]) -> Step:
    """Return a head of this seq that adds so many entries, of so many bytes with it."""
    numbered = replace(head, head=replace(head.head, seq=seq))
    size_bytes, number = size
    rest = size_bytes - len(head.raw) - number
    long = [b"x" * (1 + rest)] if number else []
    return Step(numbered, 0, (*long, *[b"x"] * (number - len(long))))


def index() -> CatalogueIndex:
    pointer = decode_pointer(FILES["mirror.cbor"])
    return decode_index(FILES[object_path(pointer.catalogues[0].index.digest)])


@pytest.mark.parametrize("name", FILES)
def test_n_81_a_file_has_the_shape_of_the_schema_and_the_name_of_its_hash(name: str) -> None:
    assert SCHEMA.matches(TREE["types"][name], cbor2.loads(FILES[name]))
    assert name in ("mirror.cbor", object_path(sha256(FILES[name])))


def test_n_82_the_index_leads_to_all_that_was_signed() -> None:
    [way] = index().ways
    roots = decode_roots(FILES[object_path(index().roots.digest)])
    files = [decode_stretch(FILES[object_path(ref.file.digest)]) for ref in way.stretches]
    assert RootChain.begin(roots.raws[0]).catalogue == LOG.catalogue
    assert way.newest == HEADS[-1].raw
    assert [raw for file in files for raw in file.heads] == [head.raw for head in HEADS]
    assert [raw for file in files for raw in file.entries] == ENTRIES


def test_each_record_is_written_as_it_was_read() -> None:
    written = {
        "static-mirror": lambda raw: encode_pointer(decode_pointer(raw)),
        "static-catalogue": lambda raw: encode_index(decode_index(raw)),
        "static-roots": lambda raw: encode_roots(decode_roots(raw)),
        "static-stretch": lambda raw: encode_stretch(decode_stretch(raw)),
    }
    for name, kind in TREE["types"].items():
        assert written[kind](FILES[name]) == FILES[name]


def test_n_83_a_log_is_cut_into_the_files_of_the_vector() -> None:
    files = cut(list(steps(HEADS, 0, ENTRIES)))
    assert [(first, last) for first, last, _ in files] == [(1, 4), (5, 5)]
    assert {object_path(sha256(raw)): raw for _, _, raw in files}.items() <= FILES.items()


@pytest.mark.parametrize("case", TREE["cuts"], ids=lambda case: str(case["name"]))
def test_n_83_blocks_are_as_large_as_the_limits_let_them_be(case: dict[str, Any]) -> None:
    small = replace(HEADS[0], raw=HEADS[0].raw[:200])
    given = [sized(small, seq, size) for seq, size in enumerate(case["heads"], 1)]
    found = [[first, last] for first, last, _ in cut(given)]
    assert found == case["files"]
    assert [list(block) for block in blocks([tuple(size) for size in case["heads"]])] == found


def test_n_83_what_was_cut_for_good_stays_when_heads_follow() -> None:
    given = [
        Step(replace(HEADS[0], head=replace(HEADS[0].head, seq=n)), 0, ()) for n in range(1, 600)
    ]
    for length in (255, 256, 300, 513):
        cutter = Cutter(LOG)
        before = [cut.ref for step in given[:length] for cut in cutter.add(step)]
        before += [cut.ref for cut in cutter.rest()]
        after = [ref for ref, _ in _refs(given)]
        stays = settled(before)
        assert after[: len(stays)] == stays
        assert sum(1 + ref.last_seq - ref.first_seq for ref in stays) == length // 256 * 256


def _refs(given: list[Step]) -> list[tuple[Any, bytes]]:
    cutter = Cutter(LOG)
    cuts = [cut for step in given for cut in cutter.add(step)] + list(cutter.rest())
    return [(each.ref, each.raw) for each in cuts]


def test_n_84_the_way_from_a_known_head_is_what_follows_it() -> None:
    stretch = decode_stretch(FILES[object_path(index().ways[0].stretches[0].file.digest)])
    part = stretch.between(1, 3)
    assert (part.heads, part.first) == ((HEADS[1].raw, HEADS[2].raw), HEADS[0].head.size)
    assert part.entries == tuple(ENTRIES[HEADS[0].head.size : HEADS[2].head.size])
    assert stretch.between(0, 9).heads == tuple(head.raw for head in HEADS[:4])


def test_n_84_a_file_names_its_heads_and_the_one_before_them() -> None:
    last = decode_stretch(FILES[object_path(index().ways[0].stretches[1].file.digest)])
    named = [Digest(bytes.fromhex(name)) for name in TREE["head_names"]]
    assert [last.name_at(seq) for seq in (3, 4, 5)] == [None, HEADS[3].name, HEADS[4].name]
    assert [head.name.digest for head in HEADS] == named


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value[6].pop(),
        lambda value: value[6][0][2].pop(),
        lambda value: value[6][0][2].reverse(),
        lambda value: value[6][0].__setitem__(1, b"no head"),
        lambda value: value[6][0].__setitem__(0, bytes(16)),
    ],
    ids=["no way", "not to the newest", "not in order", "no head", "another writer"],
)
def test_an_index_that_leads_nowhere_is_refused(change: Any) -> None:
    raw = FILES[object_path(decode_pointer(FILES["mirror.cbor"]).catalogues[0].index.digest)]
    value = cbor2.loads(raw)
    change(value)
    if value[6]:
        with pytest.raises(MalformedRecordError):
            decode_index(cbor2.dumps(value, canonical=True))
    else:
        assert decode_index(cbor2.dumps(value, canonical=True)).ways == ()


def test_a_stretch_whose_entries_are_missing_is_refused() -> None:
    whole = decode_stretch(FILES[object_path(index().ways[0].stretches[0].file.digest)])
    broken = StretchFile(
        whole.catalogue, whole.writer, whole.first, whole.heads, whole.entries[:-1]
    )
    with pytest.raises(MalformedRecordError, match="entries of a stretch are missing"):
        broken.between(0, 4)
