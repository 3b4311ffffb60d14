"""A statement carries canonical CBOR or nothing, and ends after it began."""

from __future__ import annotations

import pytest

from meshnode.core.encoding import MalformedRecordError
from meshnode.core.identifiers import sha256
from meshnode.core.limits import STATEMENT_BODY_BYTES_MAX
from meshnode.core.signing import public_key
from meshnode.core.statements import Statement, decode_statement, encode_statement
from tests.core.institutions import ISSUED, key_of


def statement(body: bytes = b"", *, expires: int = ISSUED + 1) -> Statement:
    issuer = public_key(key_of("peer"))
    return Statement("holding", issuer, sha256(b"subject"), 1, ISSUED, expires, body)


@pytest.mark.parametrize("body", [b"", b"\x80", b"\x58" + bytes([24]) + bytes(24)])
def test_a_statement_with_a_canonical_body_or_none_is_read_as_it_was_written(body: bytes) -> None:
    assert decode_statement(encode_statement(statement(body))) == statement(body)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"\x80\x80", "too many"),
        (b"\x9f\xff", "indefinite"),
        (b"\x18\x01", "shortest form"),
        (bytes(STATEMENT_BODY_BYTES_MAX + 1), "is not 0 to 8192 bytes"),
    ],
)
def test_another_body_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(MalformedRecordError, match=reason):
        decode_statement(encode_statement(statement(body)))


def test_a_statement_that_ends_before_it_began_is_refused() -> None:
    with pytest.raises(MalformedRecordError, match="expires before it is issued"):
        decode_statement(encode_statement(statement(expires=ISSUED)))
