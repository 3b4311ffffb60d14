"""Every kind of record: what is read is what would be written, whatever bytes come."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshnode.core import records
from meshnode.core.encoding import MalformedRecordError
from tests.protocol import examples
from tests.protocol.plain import encode

Both = tuple[Callable[[bytes], object], Callable[..., bytes]]

CODECS: dict[str, Both] = {
    "root": (records.decode_root, records.encode_root),
    "head": (records.decode_head, records.encode_head),
    "entry": (records.decode_entry, records.encode_entry),
    "announcement": (records.decode_announcement, records.encode_announcement),
    "statement": (records.decode_statement, records.encode_statement),
    "purge": (records.decode_purge, records.encode_purge),
    "seeds": (records.decode_seeds, records.encode_seeds),
    "snapshot": (records.decode_snapshot, records.encode_snapshot),
    "fork": (records.decode_fork, records.encode_fork),
}
EXAMPLES = {
    name: (kind, encode(record))
    for name, (kind, record) in examples.records().items()
    if kind in CODECS
}


def reread(kind: str, raw: bytes) -> bytes | None:
    """Return the record of these bytes, written again; None if it is refused."""
    decode, write = CODECS[kind]
    try:
        return write(decode(raw))
    except MalformedRecordError:
        return None


def test_there_is_an_example_of_every_kind() -> None:
    assert {kind for kind, _ in EXAMPLES.values()} == set(CODECS)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_read_and_written_again(name: str) -> None:
    kind, raw = EXAMPLES[name]
    assert reread(kind, raw) == raw


@given(st.sampled_from(sorted(EXAMPLES)), st.data())
def test_changed_bytes_are_refused_or_are_the_one_encoding_of_another_record(
    name: str, data: st.DataObject
) -> None:
    kind, raw = EXAMPLES[name]
    at = data.draw(st.integers(0, len(raw) - 1))
    cut = data.draw(st.integers(0, 3))
    spoiled = raw[:at] + data.draw(st.binary(max_size=3)) + raw[at + cut :]
    assert reread(kind, spoiled) in (None, spoiled)


@given(st.sampled_from(sorted(CODECS)), st.binary(max_size=60))
def test_any_bytes_are_refused_or_read_exactly(kind: str, raw: bytes) -> None:
    assert reread(kind, raw) in (None, raw)


@given(st.sampled_from(sorted(EXAMPLES)), st.binary(min_size=1, max_size=4))
def test_nothing_may_follow_a_record(name: str, more: bytes) -> None:
    kind, raw = EXAMPLES[name]
    assert reread(kind, raw + more) is None


def test_r_4_an_entry_of_a_later_version_needs_no_more_than_kind_version_and_clock() -> None:
    raw = encode(["later", 1, 7])
    assert records.decode_entry(raw) == records.UnknownEntry("later", 1, 7, raw)
    with pytest.raises(MalformedRecordError):
        records.decode_entry(encode(["later", 1]))
