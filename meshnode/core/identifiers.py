"""The names of things: digests, key ids, catalogues, objects, peers (protocol/01-encoding.md).

Every id is a SHA-256 digest of bytes that can be shown; in text it is a CIDv1 in base32.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from functools import lru_cache
from typing import Final, NewType

from meshnode.core.base58 import base58_text
from meshnode.errors import UsageError

Digest = NewType("Digest", bytes)  # SHA-256, 32 bytes
Kid = NewType("Kid", bytes)  # first 16 bytes of the SHA-256 of a public key
PublicKey = NewType("PublicKey", bytes)  # Ed25519, 32 bytes
CatalogueId = NewType("CatalogueId", bytes)  # digest of the catalogue's first root payload
PeerId = NewType("PeerId", str)  # libp2p peer id, base58 text

DIGEST_BYTES: Final = 32
REMEMBERED_RECORDS: Final = 256  # whose digest is not computed again; each has some hundred bytes
KID_BYTES: Final = 16

# CIDv1 prefixes: version 1, content type, sha2-256 multihash of 32 bytes (multiformats table).
_CATALOGUE_PREFIX: Final = bytes([0x01, 0x71, 0x12, 0x20])  # dag-cbor
_OBJECT_PREFIX: Final = bytes([0x01, 0x55, 0x12, 0x20])  # raw
# Identity multihash of a protobuf that says Ed25519 and 32 bytes (libp2p peer ids).
_PEER_PREFIX: Final = bytes([0x00, 0x24, 0x08, 0x01, 0x12, 0x20])


def sha256(data: bytes) -> Digest:
    return Digest(hashlib.sha256(data).digest())


# Of what was signed, and of entries: they are named many times, and one digest serves all.
record_digest = lru_cache(REMEMBERED_RECORDS)(sha256)


def key_id(public_key: PublicKey) -> Kid:
    return Kid(sha256(public_key)[:KID_BYTES])


def peer_id(public_key: PublicKey) -> PeerId:
    """Return the peer id of an Ed25519 key, in base58btc (libp2p, specification of peer ids).

    Written out here because a command that works offline has no other need of libp2p, whose import
    costs more than the command.
    """
    return PeerId(base58_text(_PEER_PREFIX + public_key))


def catalogue_text(catalogue: CatalogueId) -> str:
    """Return the catalogue's CIDv1 (dag-cbor, sha2-256, base32)."""
    return _cid_text(_CATALOGUE_PREFIX, catalogue)


def parse_catalogue(text: str) -> CatalogueId:
    """Read what `catalogue_text` writes.

    Raises:
        UsageError: not a catalogue id.
    """
    return CatalogueId(_parse_cid(_CATALOGUE_PREFIX, text, "a catalogue id (bafyrei…)"))


def object_text(digest: Digest) -> str:
    """Return the object's CIDv1 (raw, sha2-256, base32)."""
    return _cid_text(_OBJECT_PREFIX, digest)


def parse_object(text: str) -> Digest:
    """Read what `object_text` writes.

    Raises:
        UsageError: not an object id.
    """
    return Digest(_parse_cid(_OBJECT_PREFIX, text, "an object id (bafkrei…)"))


def _cid_text(prefix: bytes, digest: bytes) -> str:
    assert len(digest) == DIGEST_BYTES
    return "b" + base64.b32encode(prefix + digest).decode().lower().rstrip("=")


def _parse_cid(prefix: bytes, text: str, what: str) -> bytes:
    padded = text[1:].upper() + "=" * (-len(text[1:]) % 8)
    try:
        raw = base64.b32decode(padded)
    except (binascii.Error, ValueError):
        raw = b""
    digest = raw[len(prefix) :]
    well_formed = raw.startswith(prefix) and len(digest) == DIGEST_BYTES
    if not well_formed or _cid_text(prefix, digest) != text:
        raise UsageError(f"{text!r} is not {what}", hint="copy the whole id, 59 characters")
    return digest
