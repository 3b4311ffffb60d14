"""Signatures with COSE_Sign1 semantics: Ed25519, detached (protocol/01-encoding.md, RFC 9052 §4.4).

What is signed is the Sig_structure over the payload; the record's type stands in its external
data, so that no signature of one type is a signature of another. Only payload, key id and signature
travel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from nacl.bindings import crypto_core_ed25519_is_valid_point

from meshnode.core.encoding import encode
from meshnode.core.identifiers import PublicKey, key_id
from meshnode.core.signed import Signature, Signed

Verify = Callable[[PublicKey, bytes, bytes], bool]  # key, signature, message

PUBLIC_KEY_BYTES: Final = 32
_PROTECTED: Final = bytes.fromhex("a10132")  # CBOR of {1: -19}: algorithm Ed25519 (RFC 9864)


def signed_bytes(record: str, payload: bytes) -> bytes:
    """Return the bytes that a signature over a record of this type covers ("head", "root", …)."""
    return encode(["Signature1", _PROTECTED, f"meshnode/{record}/1".encode(), payload])


def sign(record: str, payload: bytes, keys: Sequence[Ed25519PrivateKey]) -> Signed:
    """Sign a payload by every key."""
    message = signed_bytes(record, payload)
    signatures = (Signature(key_id(public_key(key)), key.sign(message)) for key in keys)
    return Signed(payload, tuple(sorted(signatures, key=lambda signature: signature.kid)))


def verify(key: PublicKey, signature: bytes, message: bytes) -> bool:
    """Say whether the signature holds. The key must have been admitted (`is_admissible`)."""
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def is_admissible(key: bytes) -> bool:
    """Say whether the key may stand in a root: canonical, on the curve, of prime order.

    With other keys implementations disagree on which signatures hold.
    """
    return len(key) == PUBLIC_KEY_BYTES and crypto_core_ed25519_is_valid_point(key)


def public_key(key: Ed25519PrivateKey) -> PublicKey:
    return PublicKey(key.public_key().public_bytes_raw())
