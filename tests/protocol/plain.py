"""The few primitives the vectors need, written from the RFCs and apart from `meshnode.core`.

Two implementations that agree say more than one that agrees with itself.
"""

from __future__ import annotations

import base64
import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PROTECTED = bytes.fromhex("a10132")  # {1: -19}: Ed25519 (RFC 9864)


def encode(value: object) -> bytes:
    """Encode as RFC 8949 section 4.2.1 asks; ints, bytes, text, lists, maps, bools, None."""
    match value:
        case None:
            return b"\xf6"
        case bool():
            return b"\xf5" if value else b"\xf4"
        case int():
            return _head(0, value) if value >= 0 else _head(1, -1 - value)
        case bytes():
            return _head(2, len(value)) + value
        case str():
            return _head(3, len(value.encode())) + value.encode()
        case list():
            return _head(4, len(value)) + b"".join(map(encode, value))
        case dict():
            pairs = sorted((encode(key), encode(member)) for key, member in value.items())
            return _head(5, len(pairs)) + b"".join(key + member for key, member in pairs)
        case _:
            raise TypeError(type(value).__name__)


def _head(major: int, number: int) -> bytes:
    if number < 24:
        return bytes([major << 5 | number])
    for code, width in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 1 << (8 * width):
            return bytes([major << 5 | code]) + number.to_bytes(width, "big")
    raise OverflowError(number)


def sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def cid(content: int, digest: bytes) -> str:
    """Return a CIDv1 with a SHA-256 multihash; `content` is 0x71 (dag-cbor) or 0x55 (raw)."""
    raw = bytes([1, content, 0x12, 0x20]) + digest
    return "b" + base64.b32encode(raw).decode().lower().rstrip("=")


class Key:
    """An Ed25519 key made from one text, so that everyone can make it again."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.seed = sha256(f"meshnode test vector: {label}".encode())
        self._private = Ed25519PrivateKey.from_private_bytes(self.seed)
        self.public = self._private.public_key().public_bytes_raw()
        self.kid = sha256(self.public)[:16]

    def sign(self, kind: str, payload: bytes) -> bytes:
        return self._private.sign(signature_input(kind, payload))


def signature_input(kind: str, payload: bytes) -> bytes:
    """Return the Sig_structure of RFC 9052 section 4.4 with our external_aad."""
    return encode(["Signature1", PROTECTED, f"meshnode/{kind}/1".encode(), payload])


def signed(kind: str, payload: bytes, *keys: Key) -> list[object]:
    sigs = sorted([key.kid, key.sign(kind, payload)] for key in keys)
    return [payload, [list(pair) for pair in sigs]]


def extents(number: int, rice: int, gaps: bytes) -> list[int]:
    """Read the extents of a holding (R-44): Golomb-Rice coded gaps between rising numbers."""
    stream = iter("".join(f"{byte:08b}" for byte in gaps))
    found, last = [], -1
    for _ in range(number):
        quotient = 0
        while next(stream) == "1":
            quotient += 1
        rest = int("".join(next(stream) for _ in range(rice)) or "0", 2)
        last += (quotient << rice) + rest + 1
        found.append(last)
    assert not any(bit == "1" for bit in stream)
    return found


# --- RFC 9162 section 2.1 ------------------------------------------------------------------------
def leaf_hash(leaf: bytes) -> bytes:
    return sha256(b"\0", leaf)


def tree_hash(leaves: list[bytes]) -> bytes:
    """Return MTH(leaves), straight from its recursive definition."""
    if not leaves:
        return sha256()
    if len(leaves) == 1:
        return leaf_hash(leaves[0])
    split = _split(len(leaves))
    return sha256(b"\1", tree_hash(leaves[:split]), tree_hash(leaves[split:]))


def frontier(leaves: list[bytes]) -> list[bytes]:
    """Return the roots of the full subtrees, the largest first: one per bit of the size."""
    hashes, start = [], 0
    for bit in reversed(range(len(leaves).bit_length())):
        if len(leaves) >> bit & 1:
            hashes.append(tree_hash(leaves[start : start + (1 << bit)]))
            start += 1 << bit
    return hashes


def inclusion_proof(index: int, leaves: list[bytes]) -> list[bytes]:
    """Return PATH(index, leaves)."""
    if len(leaves) == 1:
        return []
    split = _split(len(leaves))
    if index < split:
        return [*inclusion_proof(index, leaves[:split]), tree_hash(leaves[split:])]
    return [*inclusion_proof(index - split, leaves[split:]), tree_hash(leaves[:split])]


def consistency_proof(size: int, leaves: list[bytes]) -> list[bytes]:
    """Return PROOF(size, leaves)."""
    return _subproof(size, leaves, whole=True)


def _subproof(size: int, leaves: list[bytes], *, whole: bool) -> list[bytes]:
    if size == len(leaves):
        return [] if whole else [tree_hash(leaves)]
    split = _split(len(leaves))
    if size <= split:
        return [*_subproof(size, leaves[:split], whole=whole), tree_hash(leaves[split:])]
    return [*_subproof(size - split, leaves[split:], whole=False), tree_hash(leaves[:split])]


def _split(size: int) -> int:
    return 1 << ((size - 1).bit_length() - 1)
