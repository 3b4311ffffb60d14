"""Statements: what a peer or a person merely claims, signed and expiring (protocol/02-records.md).

Owns the record around every claim; the body of each kind belongs to the part that uses it.
"""

from __future__ import annotations

from dataclasses import dataclass

from meshnode.core import shapes
from meshnode.core.encoding import decode, encode
from meshnode.core.identifiers import Digest, PublicKey
from meshnode.core.limits import STATEMENT_BODY_BYTES_MAX, STATEMENT_BYTES_MAX


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
