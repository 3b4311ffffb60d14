"""The envelope of everything signed: the payload's bytes and the signatures over them.

An id is always a hash of the payload, never of the envelope: who else signed changes no name
(protocol/02-records.md). What a signature covers is in `signing`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from meshnode.core import shapes
from meshnode.core.encoding import decode, encode
from meshnode.core.identifiers import Digest, Kid, record_digest
from meshnode.core.limits import ENTRY_BYTES_MAX, PURGE_BYTES_MAX, SEEDS_BYTES_MAX, SIGNATURES_MAX

PAYLOAD_BYTES_MAX = max(ENTRY_BYTES_MAX, PURGE_BYTES_MAX, SEEDS_BYTES_MAX)


@dataclass(frozen=True, slots=True)
class Signature:
    """An Ed25519 signature (64 bytes) by the key that `kid` names."""

    kid: Kid
    signature: bytes


@dataclass(frozen=True, slots=True)
class Signed:
    """A payload and its signatures, by rising kid. Nothing says yet that they hold."""

    payload: bytes
    signatures: tuple[Signature, ...]

    @property
    def digest(self) -> Digest:
        """SHA-256 of the payload: the name of what is signed."""
        return record_digest(self.payload)

    @property
    def kind(self) -> object:
        """What the payload says it is: "root", "head", …

        Raises:
            MalformedRecordError: it is no record at all.
        """
        value = decode(self.payload, PAYLOAD_BYTES_MAX)
        shapes.require(type(value) is list and bool(value), "a record is an array")
        assert isinstance(value, list)
        return value[0]


def encode_signed(signed: Signed) -> bytes:
    return encode(shapes.plain(signed))


def decode_signed(raw: bytes, size_max: int) -> Signed:
    """Read an envelope of at most `size_max` bytes.

    Raises:
        MalformedRecordError: too long, another shape, or signatures not by rising kid.
    """
    signed: Signed = _read(decode(raw, size_max))
    return signed


ENVELOPE: Final = shapes.checked(
    shapes.row(
        Signed,
        shapes.blob(0, PAYLOAD_BYTES_MAX),
        shapes.listed(shapes.row(Signature, shapes.kid, shapes.signature), 1, SIGNATURES_MAX),
    ),
    lambda signed: shapes.rising([signature.kid for signature in signed.signatures]),
    "signatures are not by rising key id",
)
_read = shapes.reader(ENVELOPE)
