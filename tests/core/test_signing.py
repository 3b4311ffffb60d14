"""Signatures against Wycheproof, speccheck and the COSE examples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshnode.core.encoding import encode
from meshnode.core.identifiers import PublicKey, key_id
from meshnode.core.signing import is_admissible, public_key, sign, signed_bytes, verify
from tests.core.institutions import key_of


def test_what_is_signed_is_the_sig_structure_of_rfc_9052() -> None:
    structure = cbor2.loads(signed_bytes("head", b"payload"))
    assert structure == ["Signature1", bytes.fromhex("a10132"), b"meshnode/head/1", b"payload"]
    assert cbor2.loads(structure[1]) == {1: -19}


def test_every_key_signs_and_signatures_stand_by_rising_kid() -> None:
    keys = [key_of(str(number)) for number in range(5)]
    signed = sign("root", b"payload", keys)
    kids = [signature.kid for signature in signed.signatures]
    assert kids == sorted(key_id(public_key(key)) for key in keys)
    by_kid = {key_id(public_key(key)): public_key(key) for key in keys}
    message = signed_bytes("root", b"payload")
    assert all(verify(by_kid[s.kid], s.signature, message) for s in signed.signatures)


def test_a_signature_of_one_record_type_is_none_of_another() -> None:
    key = key_of("one")
    signature = sign("head", b"payload", [key]).signatures[0].signature
    assert not verify(public_key(key), signature, signed_bytes("root", b"payload"))


@given(st.integers(0, 64 * 8 - 1))
def test_a_flipped_bit_in_a_signature_never_verifies(bit: int) -> None:
    key, message = key_of("one"), signed_bytes("head", b"payload")
    signature = bytearray(sign("head", b"payload", [key]).signatures[0].signature)
    signature[bit // 8] ^= 1 << bit % 8
    assert not verify(public_key(key), bytes(signature), message)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_key_of_another_length_verifies_nothing_and_is_not_admitted(length: int) -> None:
    key = PublicKey(bytes(length))
    assert not verify(key, bytes(64), b"")
    assert not is_admissible(key)


def test_keys_of_small_order_are_not_admitted() -> None:
    order_one = bytes([1]) + bytes(31)
    order_two = b"\xec" + b"\xff" * 30 + b"\x7f"
    order_four = bytes(32)
    assert not any(map(is_admissible, (order_one, order_two, order_four)))


def test_a_key_that_was_made_is_admitted() -> None:
    assert is_admissible(public_key(key_of("one")))


def test_wycheproof_is_answered_as_it_says(shared: Path) -> None:
    path = shared / "vectors/wycheproof-ed25519/testvectors_v1/ed25519_test.json"
    groups = json.loads(path.read_text())["testGroups"]
    cases = [(group["publicKey"]["pk"], case) for group in groups for case in group["tests"]]
    assert len(cases) == 151
    assert [
        c["tcId"] for pk, c in cases if _holds(pk, c["sig"], c["msg"]) != (c["result"] == "valid")
    ] == []
    assert all(is_admissible(bytes.fromhex(pk)) for pk, _ in cases)


def test_no_speccheck_case_counts(shared: Path) -> None:
    """Implementations disagree on four of these, all with a key that never enters a root here."""
    cases = json.loads((shared / "vectors/ed25519-speccheck/cases.json").read_text())
    assert len(cases) == 12
    assert [number for number, case in enumerate(cases) if _counts(case)] == []


def test_the_cose_examples_with_ed25519_verify(shared: Path) -> None:
    path = shared / "vectors/cose-wg-Examples/eddsa-examples/eddsa-sig-01.json"
    case = json.loads(path.read_text())
    message = bytes.fromhex(case["intermediates"]["ToBeSign_hex"])
    protected, _, payload, signature = cbor2.loads(bytes.fromhex(case["output"]["cbor"])).value
    key = PublicKey(bytes.fromhex(case["input"]["sign0"]["key"]["x_hex"]))
    assert encode(["Signature1", protected, b"", payload]) == message
    assert verify(key, signature, message)
    assert is_admissible(key)


def _counts(case: dict[str, Any]) -> bool:
    admitted = is_admissible(bytes.fromhex(case["pub_key"]))
    return admitted and _holds(case["pub_key"], case["signature"], case["message"])


def _holds(key: str, signature: str, message: str) -> bool:
    return verify(PublicKey(bytes.fromhex(key)), bytes.fromhex(signature), bytes.fromhex(message))
