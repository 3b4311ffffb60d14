"""Statements: what a peer or a person merely claims, signed and expiring (protocol/02-records.md).

Owns the record around every claim; what the body of each kind says is in `statement_bodies`, and
which statements are kept in `claims`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from meshnode.core import shapes
from meshnode.core.encoding import decode, encode
from meshnode.core.identifiers import Digest, PublicKey, key_id
from meshnode.core.limits import STATEMENT_BODY_BYTES_MAX, STATEMENT_BYTES_MAX
from meshnode.core.signed import Signed, decode_signed

_ENVELOPE: Final = b"\x82"  # an array of two: the payload, as bytes, comes first
_BEGINNING: Final = encode(["statement", 1, 0, 0, 0, 0, 0, 0, 0])[:12]


@dataclass(frozen=True, slots=True)
class Statement:
    """Travels in `Signed`, by its issuer alone. Times are unix seconds.

    Of (issuer, kind, subject) the greatest (seq, digest) counts. `body` is canonical CBOR or empty.
    """

    kind: str
    issuer: PublicKey
    subject: Digest
    seq: int
    issued: int
    expires: int
    body: bytes


@dataclass(frozen=True, slots=True, order=True)
class StatementName:
    """Of what has this name one statement counts."""

    issuer: PublicKey
    kind: str
    subject: Digest


@dataclass(frozen=True, slots=True)
class SignedStatement:
    """A statement with the digest of its payload and the bytes that carry it."""

    statement: Statement
    signed: Signed
    raw: bytes

    @property
    def name(self) -> StatementName:
        said = self.statement
        return StatementName(said.issuer, said.kind, said.subject)

    @property
    def version(self) -> tuple[int, Digest]:
        """The greatest of one name counts (R-40)."""
        return self.statement.seq, self.signed.digest


def is_statement(raw: bytes) -> bool:
    """Say whether a message is meant as a signed statement."""
    return raw.startswith(_ENVELOPE) and any(raw.startswith(_BEGINNING, at) for at in (2, 3, 4))


def decode_signed_statement(raw: bytes) -> SignedStatement:
    """Read a signed statement; its signature is not checked.

    Raises:
        MalformedRecordError: not the encoding of a statement in the envelope of its issuer alone.
    """
    signed = decode_signed(raw, STATEMENT_BYTES_MAX)
    statement = decode_statement(signed.payload)
    kids = [signature.kid for signature in signed.signatures]
    shapes.require(kids == [key_id(statement.issuer)], "it is not signed by its issuer alone")
    return SignedStatement(statement, signed, raw)


def encode_statement(statement: Statement) -> bytes:
    return encode(_STATEMENT.write(statement))


def decode_statement(raw: bytes) -> Statement:
    """Raises MalformedRecordError: not the encoding of a statement."""
    return _STATEMENT.read(decode(raw, STATEMENT_BYTES_MAX))


def _check_statement(statement: Statement) -> None:
    shapes.require(statement.issued < statement.expires, "a statement expires before it is issued")
    if statement.body:
        decode(statement.body, STATEMENT_BODY_BYTES_MAX)


_STATEMENT = shapes.Layout(
    "statement",
    1,
    Statement,
    (
        shapes.name,
        shapes.public_key,
        shapes.digest,
        shapes.count,
        shapes.second,
        shapes.second,
        shapes.blob(0, STATEMENT_BODY_BYTES_MAX),
    ),
    _check_statement,
)
