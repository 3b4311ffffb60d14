"""`core`'s records and signatures against the vectors."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from meshnode.core.encoding import MalformedRecordError
from meshnode.core.identifiers import PublicKey
from meshnode.core.records import (
    UnknownEntry,
    decode_announcement,
    decode_entry,
    decode_fork,
    decode_head,
    decode_notice,
    decode_purge,
    decode_root,
    decode_seed_file,
    decode_seeds,
    decode_signed,
    decode_snapshot,
    decode_statement,
    encode_announcement,
    encode_entry,
    encode_fork,
    encode_head,
    encode_notice,
    encode_purge,
    encode_root,
    encode_seed_file,
    encode_seeds,
    encode_signed,
    encode_snapshot,
    encode_statement,
)
from meshnode.core.signing import is_admissible, signed_bytes, verify
from meshnode.core.trust import RootChain, UntrustedError
from tests.protocol.examples import (
    FIRST_HEAD,
    NEXT_ROOT_KEY,
    ROOT_KEY,
    STRANGER,
    WRITER,
    root,
)
from tests.protocol.generate_vectors import VECTORS
from tests.protocol.plain import encode, signed

SIGNED_BYTES_MAX = 20 << 10
RECORDS = json.loads((VECTORS / "records.json").read_text("utf-8"))
SIGNATURES = json.loads((VECTORS / "signatures.json").read_text("utf-8"))
LOG = json.loads((VECTORS / "log.json").read_text("utf-8"))

# By rule of records.cddl: how the bytes are read, and written again.
CODECS: dict[str, tuple[Callable[[bytes], Any], Callable[[Any], bytes]]] = {
    "root": (decode_root, encode_root),
    "head": (decode_head, encode_head),
    "entry": (decode_entry, encode_entry),
    "signed": (lambda raw: decode_signed(raw, SIGNED_BYTES_MAX), encode_signed),
    "announcement": (decode_announcement, encode_announcement),
    "fork": (decode_fork, encode_fork),
    "snapshot": (decode_snapshot, encode_snapshot),
    "purge": (decode_purge, encode_purge),
    "notice": (decode_notice, encode_notice),
    "seeds": (decode_seeds, encode_seeds),
    "seed-file": (decode_seed_file, encode_seed_file),
    "statement": (decode_statement, encode_statement),
}
ENTRY_RULES = (
    "collection-added",
    "segment-added",
    "items-removed",
    "payload-added",
    "mirrors-changed",
)
READERS = {kind: codec[0] for kind, codec in CODECS.items()} | dict.fromkeys(
    ENTRY_RULES, decode_entry
)
VALID = [one for one in RECORDS["valid"] if one["type"] in CODECS]
INVALID = [one for one in RECORDS["invalid"] if one["type"] in READERS]
UNKNOWN = ("unknown-kind", "known-kind-of-a-later-version")


def _named(vector: dict[str, Any]) -> str:
    return str(vector["name"])


@pytest.mark.parametrize("vector", VALID, ids=_named)
def test_a_valid_record_is_read_and_written_again(vector: dict[str, Any]) -> None:
    read, write = CODECS[vector["type"]]
    assert write(read(bytes.fromhex(vector["hex"]))).hex() == vector["hex"]


@pytest.mark.parametrize("vector", INVALID, ids=_named)
def test_a_record_that_breaks_a_rule_is_refused(vector: dict[str, Any]) -> None:
    with pytest.raises(MalformedRecordError):
        READERS[vector["type"]](bytes.fromhex(vector["hex"]))


@pytest.mark.parametrize("name", UNKNOWN)
def test_r_4_an_unknown_entry_is_kept_with_its_clock(name: str) -> None:
    vector = next(one for one in VALID if one["name"] == name)
    entry = decode_entry(bytes.fromhex(vector["hex"]))
    assert isinstance(entry, UnknownEntry)
    assert entry.clock == vector["value"][2]


@pytest.mark.parametrize("vector", SIGNATURES["valid"], ids=lambda vector: str(vector["type"]))
def test_e_30_a_signature_verifies_over_its_signed_bytes(vector: dict[str, str]) -> None:
    message = signed_bytes(vector["type"], bytes.fromhex(vector["payload"]))
    assert message.hex() == vector["signed_bytes"]
    key = PublicKey(bytes.fromhex(vector["pk"]))
    assert is_admissible(key)
    assert verify(key, bytes.fromhex(vector["sig"]), message)


@pytest.mark.parametrize("vector", SIGNATURES["invalid"], ids=lambda vector: str(vector["reason"]))
def test_e_32_a_wrong_signature_does_not_verify(vector: dict[str, str]) -> None:
    message = signed_bytes(vector["type"], bytes.fromhex(vector["payload"]))
    key = PublicKey(bytes.fromhex(vector["pk"]))
    assert not verify(key, bytes.fromhex(vector["sig"]), message)


@pytest.mark.parametrize("vector", SIGNATURES["keys_not_admitted"], ids=_named)
def test_e_35_a_key_that_is_not_of_prime_order_is_not_admitted(vector: dict[str, str]) -> None:
    assert not is_admissible(PublicKey(bytes.fromhex(vector["pk"])))


def test_l_1_the_first_root_of_the_log_is_trusted_under_its_own_name() -> None:
    chain = RootChain.begin(bytes.fromhex(LOG["root"]))
    assert chain.catalogue.hex() == LOG["catalogue"]


def test_l_20_heads_of_the_log_are_authentic_and_a_forged_one_is_not() -> None:
    chain = RootChain.begin(bytes.fromhex(LOG["root"]))
    raws = [raw for log in LOG["logs"] for raw in log["heads"]]
    signed = [decode_signed(bytes.fromhex(raw), SIGNED_BYTES_MAX) for raw in raws]
    forged = decode_signed(bytes.fromhex(LOG["forged_head"]), SIGNED_BYTES_MAX)
    assert [chain.head_fault(decode_head(one.payload), one, verify) for one in signed] == [None] * 4
    assert chain.head_fault(decode_head(forged.payload), forged, verify) is not None


def test_r_23_a_head_with_a_second_signature_is_not_authentic() -> None:
    chain = RootChain.begin(bytes.fromhex(LOG["root"]))
    raw = encode(signed("head", FIRST_HEAD, WRITER, STRANGER))
    both = decode_signed(raw, SIGNED_BYTES_MAX)
    assert chain.head_fault(decode_head(FIRST_HEAD), both, verify) is not None


def test_e_34_a_root_needs_the_threshold_of_its_own_role() -> None:
    record = root()
    record[6] = [[1, ROOT_KEY.public], [1, NEXT_ROOT_KEY.public]]
    record[7] = [2, [0, 1]]
    payload = encode(record)
    enough = RootChain.begin(encode(signed("root", payload, ROOT_KEY, NEXT_ROOT_KEY, STRANGER)))
    assert enough.current.root_role.threshold == 2
    with pytest.raises(UntrustedError):
        RootChain.begin(encode(signed("root", payload, ROOT_KEY, STRANGER)))


def test_e_35_a_root_with_a_key_of_small_order_is_not_trusted() -> None:
    record = root()
    record[9][1][0] = bytes.fromhex(SIGNATURES["keys_not_admitted"][0]["pk"])
    with pytest.raises(UntrustedError):
        RootChain.begin(encode(signed("root", encode(record), ROOT_KEY)))


def test_r_11_a_key_of_a_reserved_algorithm_signs_nothing() -> None:
    record = root()
    record[6] = [[2, ROOT_KEY.public]]
    with pytest.raises(UntrustedError):
        RootChain.begin(encode(signed("root", encode(record), ROOT_KEY)))


def test_l_60_a_first_root_that_closes_a_log_is_not_trusted() -> None:
    record = root()
    record[9][0][3] = False
    with pytest.raises(UntrustedError):
        RootChain.begin(encode(signed("root", encode(record), ROOT_KEY)))
