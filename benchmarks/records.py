"""Roots, heads and entries: what it costs to verify them, beside the primitives they stand on."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import Final

import cbor2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from benchmarks import samples
from benchmarks.measuring import Case, Work
from meshnode.core.durable import Restored, StoredLog
from meshnode.core.encoding import decode
from meshnode.core.entries import decode_entry
from meshnode.core.events import Now
from meshnode.core.heads import decode_signed_head
from meshnode.core.limits import ENTRY_BYTES_MAX
from meshnode.core.merkle import Frontier, leaf_hash
from meshnode.core.node import Node
from meshnode.core.signing import signed_bytes, verify
from meshnode.core.trust import RootChain
from meshnode.runtime.pump import take_over

CATALOGUES: Final = 1_000
ENTRIES: Final = 20_000
LOG_ENTRIES: Final = 100_000


def _verify_catalogues(_: Path) -> Work:
    made = [samples.catalogue(str(number), 0) for number in range(CATALOGUES)]

    def work() -> int:
        for one in made:
            chain = RootChain.begin(one.root)
            head = decode_signed_head(one.heads[0])
            assert chain.head_fault(head.head, head.signed, verify) is None
        return len(made)

    return work


def _verify_signatures(_: Path) -> Work:
    """The floor: the two signatures of each catalogue, and nothing around them."""
    signatures = []
    for number in range(CATALOGUES):
        one = samples.catalogue(str(number), 0)
        root = RootChain.begin(one.root).current
        head = decode_signed_head(one.heads[0]).signed
        message = signed_bytes("head", head.payload)
        signature = head.signatures[0].signature
        signatures += [(root.writers[0].public_key, signature, message)] * 2

    def work() -> int:
        for key, signature, message in signatures:
            Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
        return CATALOGUES

    return work


def _verify_entries(_: Path) -> Work:
    raws = samples.catalogue("entries", ENTRIES).entries

    def work() -> int:
        Frontier().extend([leaf_hash(raw) for raw in raws])
        for raw in raws:
            decode_entry(raw)
        return len(raws)

    return work


def _hash_entries(_: Path) -> Work:
    raws = samples.catalogue("entries", ENTRIES).entries

    def work() -> int:
        for raw in raws:
            hashlib.sha256(b"\x00" + raw).digest()
        return len(raws)

    return work


def _load_entries(_: Path) -> Work:
    raws = samples.catalogue("entries", ENTRIES).entries

    def work() -> int:
        for raw in raws:
            cbor2.loads(raw)
        return len(raws)

    return work


def _decode_entries(_: Path) -> Work:
    raws = samples.catalogue("entries", ENTRIES).entries

    def work() -> int:
        for raw in raws:
            decode(raw, ENTRY_BYTES_MAX)
        return len(raws)

    return work


def _load_and_compare(_: Path) -> Work:
    """What a decoder needs at the least that is not strict itself."""
    raws = samples.catalogue("entries", ENTRIES).entries

    def work() -> int:
        for raw in raws:
            assert cbor2.dumps(cbor2.loads(raw), canonical=True) == raw
        return len(raws)

    return work


def _replay(_: Path) -> Work:
    """What a start does with the log on its disk: every signature, hash and entry again."""
    one = samples.catalogue("replay", LOG_ENTRIES)
    restored = Restored(
        followed=(one.id,),
        roots=((one.id, (one.root,)),),
        logs=(StoredLog(one.log, one.heads, one.entries),),
    )

    node = Node(random.Random(1))  # noqa: S311 - the node's choices; its end is not measured

    def work() -> int:
        take_over(node, restored, Now(0.0, samples.ISSUED))
        size = node.catalogues[one.id].logs[one.log.writer].size
        assert size == LOG_ENTRIES
        return size

    return work


CASES: Final = (
    Case(
        "catalogues",
        f"{CATALOGUES:,} catalogues verified, root and head",
        "catalogue",
        _verify_catalogues,
        {"two Ed25519 checks": _verify_signatures},
    ),
    Case(
        "entries",
        f"{ENTRIES:,} entries hashed, decoded, checked",
        "entry",
        _verify_entries,
        {"SHA-256": _hash_entries, "cbor2": _load_entries},
    ),
    Case(
        "decode",
        f"{ENTRIES:,} entries decoded strictly",
        "entry",
        _decode_entries,
        {"cbor2, encoded again": _load_and_compare},
    ),
    Case(
        "replay",
        f"{LOG_ENTRIES:,} entries taken over at a start",
        "entry",
        _replay,
        {"cbor2": _load_entries},
        repeat=3,
    ),
)
