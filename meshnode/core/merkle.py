"""The tree over a log's entries: SHA-256 Merkle tree of RFC 9162 §2.1, its proofs, its frontier.

Owns the hashes; which entries they cover, and who signed the root, is in `log`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from meshnode.core.identifiers import DIGEST_BYTES, Digest, sha256

EMPTY_ROOT: Final = sha256(b"")


def leaf_hash(entry: bytes) -> Digest:
    return Digest(hashlib.sha256(b"\x00" + entry).digest())


def node_hash(left: bytes, right: bytes) -> Digest:
    return Digest(hashlib.sha256(b"\x01" + left + right).digest())


@dataclass(frozen=True, slots=True)
class Frontier:
    """All that is needed of a tree to go on: the roots of its perfect subtrees, largest first.

    Invariant: one hash for each bit of `size` that is set.
    """

    size: int = 0
    hashes: tuple[Digest, ...] = ()

    def __post_init__(self) -> None:
        assert len(self.hashes) == self.size.bit_count()

    def append(self, leaf: Digest) -> Frontier:
        return self.extend((leaf,))

    def extend(self, leaves: Sequence[Digest]) -> Frontier:
        """Return the frontier after these leaf hashes."""
        hashes, size = list(self.hashes), self.size
        for leaf in leaves:
            grown, carry = leaf, size
            while carry & 1:  # two subtrees of one height become one
                grown = node_hash(hashes.pop(), grown)
                carry >>= 1
            hashes.append(grown)
            size += 1
        return Frontier(size, tuple(hashes))

    def root(self) -> Digest:
        """Return the tree hash."""
        if not self.hashes:
            return EMPTY_ROOT
        root = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            root = node_hash(left, root)
        return root


EMPTY: Final = Frontier()  # of a tree without leaves


def root_of(leaves: Sequence[Digest]) -> Digest:
    """Return the tree hash over leaf hashes."""
    return Frontier().extend(leaves).root()


def inclusion_proof(leaves: Sequence[Digest], index: int) -> tuple[Digest, ...]:
    """Return the audit path of one leaf, from the leaf up (RFC 9162 §2.1.3.1)."""
    assert 0 <= index < len(leaves)
    if len(leaves) == 1:
        return ()
    split = _split(len(leaves))
    left, right = leaves[:split], leaves[split:]
    if index < split:
        return (*inclusion_proof(left, index), root_of(right))
    return (*inclusion_proof(right, index - split), root_of(left))


def consistency_proof(leaves: Sequence[Digest], size: int) -> tuple[Digest, ...]:
    """Prove that the first `size` leaves are a prefix of all (RFC 9162 §2.1.4.1)."""
    assert 0 < size <= len(leaves)
    return _subproof(leaves, size, whole=True)


def verify_inclusion(
    leaf: Digest, index: int, size: int, proof: Sequence[Digest], root: Digest
) -> bool:
    """Say whether the leaf is at `index` of the tree of `size` leaves (RFC 9162 §2.1.3.2)."""
    if not 0 <= index < size or len(root) != DIGEST_BYTES:
        return False
    node, last, found = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if node & 1 or node == last:
            found = node_hash(sibling, found)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and found == root


def verify_consistency(
    old_size: int, new_size: int, proof: Sequence[Digest], old_root: Digest, new_root: Digest
) -> bool:
    """Say whether the old tree is a prefix of the new one (RFC 9162 §2.1.4.2)."""
    if not 0 < old_size <= new_size or len(old_root) != DIGEST_BYTES:
        return False
    if old_size == new_size:
        return not proof and old_root == new_root
    # A perfect old tree is itself the first node of the path.
    path = [old_root, *proof] if old_size.bit_count() == 1 else list(proof)
    return bool(path) and _climb(old_size, new_size, path) == (old_root, new_root)


def _climb(old_size: int, new_size: int, path: Sequence[Digest]) -> tuple[Digest, Digest] | None:
    """Return the roots of both trees as the path gives them, None if it has a wrong length."""
    node, last = old_size - 1, new_size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            return None
        if node & 1 or node == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        node, last = node >> 1, last >> 1
    return (old, new) if last == 0 else None


def _subproof(leaves: Sequence[Digest], size: int, *, whole: bool) -> tuple[Digest, ...]:
    """`whole`: the subtree of the first `size` leaves is the old tree, whose root is known."""
    if size == len(leaves):
        return () if whole else (root_of(leaves),)
    split = _split(len(leaves))
    left, right = leaves[:split], leaves[split:]
    if size <= split:
        return (*_subproof(left, size, whole=whole), root_of(right))
    return (*_subproof(right, size - split, whole=False), root_of(left))


def _split(size: int) -> int:
    """Return the largest power of two below `size`."""
    return 1 << ((size - 1).bit_length() - 1)
