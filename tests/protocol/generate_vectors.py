"""Writes `protocol/vectors/*.json`; run as `python -m tests.protocol.generate_vectors`.

The same bytes every time: keys come from fixed labels, Ed25519 signs without randomness, and
nothing here uses `meshnode`. In the files bytes are hexadecimal; in decoded values they are
`{"hex": "…"}`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.protocol import (
    broken,
    examples,
    fork_histories,
    item_examples,
    reconciliations,
    root_chains,
    snapshot_histories,
    static_trees,
)
from tests.protocol.examples import (
    CATALOGUE,
    COLLEAGUE,
    COLLECTION,
    ENTRIES,
    FIRST_HEAD,
    PEER,
    ROOT,
    ROOT_KEY,
    START,
    STRANGER,
    WRITER,
    digest,
    head,
)
from tests.protocol.plain import (
    Key,
    cid,
    consistency_proof,
    encode,
    frontier,
    inclusion_proof,
    leaf_hash,
    sha256,
    signature_input,
    signed,
    tree_hash,
)

VECTORS = Path(__file__).resolve().parents[2] / "protocol" / "vectors"

# Keys that no peer admits (E-35): points of small order (order 1, 2, 4, 8), an encoding with y
# above the field's prime, a point of mixed order, and 32 bytes that are no point.
BAD_KEYS = [
    ("order-1", "01" + "00" * 31),
    ("order-2", "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    ("order-4", "00" * 32),
    ("order-8", "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
    ("not-canonical", "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    ("no-point", "02" + "00" * 31),
]


def encoding() -> dict[str, Any]:
    values: list[tuple[str, object]] = [
        ("zero", 0),
        ("largest-in-one-byte", 23),
        ("smallest-in-two-bytes", 24),
        ("2^8", 256),
        ("2^16", 65_536),
        ("2^32", 1 << 32),
        ("largest-count", (1 << 53) - 1),
        ("largest-integer", (1 << 64) - 1),
        ("least-integer", -(1 << 64)),
        ("minus-one", -1),
        ("minus-2^32", -(1 << 32)),
        ("empty-bytes", b""),
        ("24-bytes", bytes(24)),
        ("text-beyond-ascii", "Québec 地図 🗺"),
        ("null-false-true", [None, False, True]),
        ("map-in-order", {"b": 2, "a": 1, "aa": 3}),
        ("eight-deep", [[[[[[[[]]]]]]]]),
    ]
    valid = [
        {"name": name, "hex": encode(value).hex(), "value": _shown(value)} for name, value in values
    ]
    invalid = [
        {"name": name, "hex": raw, "rule": rule, "reason": reason}
        for name, raw, rule, reason in broken.ENCODINGS
    ]
    return {"valid": valid, "invalid": invalid}


def records() -> dict[str, Any]:
    valid = [
        {
            "name": name,
            "type": kind,
            "hex": encode(record).hex(),
            "sha256": sha256(encode(record)).hex(),
            "value": _shown(record),
        }
        for name, (kind, record) in examples.records().items()
    ]
    invalid = [
        {
            "name": one.name,
            "type": one.type,
            "hex": one.raw.hex(),
            "rule": one.rule,
            "reason": one.reason,
            "refused_by_cddl": one.in_cddl,
        }
        for one in broken.broken_records()
    ]
    bodies = [
        {"kind": kind, "hex": encode(body).hex(), "value": _shown(body)}
        for kind, body in examples.BODIES.items()
    ]
    return {"valid": valid, "statement_bodies": bodies, "invalid": invalid}


def identifiers() -> dict[str, Any]:
    keys = (ROOT_KEY, WRITER, COLLEAGUE, STRANGER, PEER)
    empty = sha256(b"")
    return {
        "keys": [
            {"label": k.label, "seed": k.seed.hex(), "pk": k.public.hex(), "kid": k.kid.hex()}
            for k in keys
        ],
        "catalogue": {"root": ROOT.hex(), "id": CATALOGUE.hex(), "text": cid(0x71, CATALOGUE)},
        "objects": [{"bytes": "", "sha256": empty.hex(), "text": cid(0x55, empty)}],
    }


def signatures() -> dict[str, Any]:
    payloads: list[tuple[str, bytes, Key]] = [
        ("root", ROOT, ROOT_KEY),
        ("head", FIRST_HEAD, WRITER),
        ("purge", encode(examples.PURGE), ROOT_KEY),
        ("seeds", encode(examples.SEEDS), WRITER),
        ("statement", encode(examples.statement("load")), PEER),
    ]
    valid = [_signature(kind, payload, key) for kind, payload, key in payloads]
    swapped = _signature("head", FIRST_HEAD, WRITER)
    flipped = bytes([FIRST_HEAD[0] ^ 1]) + FIRST_HEAD[1:]
    malleable = _with_order_added(bytes.fromhex(swapped["sig"]))
    invalid = [
        {**swapped, "type": "root", "rule": "E-31", "reason": "signed as a head"},
        {**swapped, "payload": flipped.hex(), "rule": "E-32", "reason": "another payload"},
        {**swapped, "pk": STRANGER.public.hex(), "rule": "E-32", "reason": "another key"},
        {**swapped, "sig": malleable.hex(), "rule": "E-32", "reason": "S above the order"},
    ]
    bad_keys = [{"name": name, "pk": raw, "rule": "E-35"} for name, raw in BAD_KEYS]
    return {"valid": valid, "invalid": invalid, "keys_not_admitted": bad_keys}


def _signature(kind: str, payload: bytes, key: Key) -> dict[str, str]:
    return {
        "type": kind,
        "payload": payload.hex(),
        "aad": f"meshnode/{kind}/1",
        "signed_bytes": signature_input(kind, payload).hex(),
        "pk": key.public.hex(),
        "kid": key.kid.hex(),
        "sig": key.sign(kind, payload).hex(),
    }


def _with_order_added(signature: bytes) -> bytes:
    """Return the same signature with S + L in place of S (RFC 8032 section 5.1.7 refuses it)."""
    order = (1 << 252) + 27742317777372353535851937790883648493
    scalar = int.from_bytes(signature[32:], "little") + order
    return signature[:32] + scalar.to_bytes(32, "little")


def items() -> dict[str, Any]:
    return {
        "collection": COLLECTION,
        "valid": item_examples.VALID,
        "invalid": item_examples.REFUSED,
        "entry_bbox": item_examples.BOXES,
    }


def trees() -> dict[str, Any]:
    leaves = [encode(entry) for entry in ENTRIES.values()]
    sizes = range(len(leaves) + 1)
    return {
        "leaves": [{"hex": leaf.hex(), "hash": leaf_hash(leaf).hex()} for leaf in leaves],
        "trees": [
            {
                "size": size,
                "tree": tree_hash(leaves[:size]).hex(),
                "frontier": [part.hex() for part in frontier(leaves[:size])],
            }
            for size in sizes
        ],
        "inclusion": [
            {"index": index, "size": size, "path": _hexes(inclusion_proof(index, leaves[:size]))}
            for size in (1, 2, 7, len(leaves))
            for index in sorted({0, size // 2, size - 1})
        ],
        "consistency": [
            {
                "first": first,
                "second": second,
                "path": _hexes(consistency_proof(first, leaves[:second])),
            }
            for first, second in ((1, 2), (3, 7), (4, 8), (6, 8), (7, len(leaves)))
        ],
    }


def log() -> dict[str, Any]:
    """One catalogue with two writers: three heads of one, one of the other, and what it holds."""
    own = [ENTRIES[name] for name in _OWN]
    raws = [encode(entry) for entry in own]
    heads, prev = [], None
    for seq, size in ((1, 2), (2, 5), (3, len(raws))):
        payload = encode(head(seq, prev, raws[:size]))
        heads.append(encode(signed("head", payload, WRITER)))
        prev = sha256(payload)
    theirs = [
        # Of the same clock as the addition, which therefore stays (L-52).
        encode(["segment-", 1, 3, COLLECTION, digest("segment 2"), 2]),
        encode(["collection+", 1, 4, COLLECTION, [digest("later collection"), 830]]),
        encode(["collection+", 1, 5, "parcels", [digest("parcels"), 640]]),
    ]
    their_head = encode(head(1, None, theirs, COLLEAGUE))
    return {
        "root": encode(signed("root", ROOT, ROOT_KEY)).hex(),
        "catalogue": CATALOGUE.hex(),
        "logs": [
            {"writer": WRITER.kid.hex(), "heads": _hexes(heads), "entries": _hexes(raws)},
            {
                "writer": COLLEAGUE.kid.hex(),
                "heads": [encode(signed("head", their_head, COLLEAGUE)).hex()],
                "entries": _hexes(theirs),
            },
        ],
        "forged_head": encode(broken.forged_head()).hex(),
        "state": _expected_state(),
    }


_OWN = (
    "collection-added",
    "segment-added",
    "segment-added-across-the-antimeridian",
    "payload-added",
    "items-removed",
    "mirrors-changed",
    "risk-set",
    "release-added",
    "unknown-kind",
)


def _expected_state() -> dict[str, Any]:
    """Written by hand, from L-50 to L-58, not computed."""
    return {
        "clock": 11,
        "collections": {COLLECTION: digest("later collection").hex()},
        "void": ["collection+ parcels: outside the colleague's prefixes (L-21)"],
        "segments": [
            {
                "collection": COLLECTION,
                "segment": digest("segment 2").hex(),
                "clock": 3,
                "writer": WRITER.kid.hex(),
            }
        ],
        "items_removed": [{"collection": COLLECTION, "ids": ["tile-17", "tile-18"], "clock": 5}],
        "payloads": [digest("payload").hex()],
        "mirrors": {digest("payload").hex(): ["https://second.example/o/"]},
        "risks": {digest("payload").hex(): {"level": 3, "until": START + 90 * 86_400}},
        "releases": [{"collection": COLLECTION, "version": "2026.1", "doi": "10.5072/example"}],
    }


def _hexes(parts: list[bytes]) -> list[str]:
    return [part.hex() for part in parts]


def _shown(value: object) -> object:
    match value:
        case bytes():
            return {"hex": value.hex()}
        case list():
            return [_shown(member) for member in value]
        case dict():
            return {key: _shown(member) for key, member in value.items()}
        case _:
            return value


FILES = {
    "encoding.json": encoding,
    "forks.json": fork_histories.forks,
    "identifiers.json": identifiers,
    "items.json": items,
    "log.json": log,
    "reconciliation.json": reconciliations.reconciliation,
    "records.json": records,
    "roots.json": root_chains.roots,
    "signatures.json": signatures,
    "snapshots.json": snapshot_histories.snapshots,
    "static-mirror.json": static_trees.static_mirror,
    "trees.json": trees,
}


def text_of(name: str) -> str:
    """Return the whole text of one vector file."""
    return json.dumps(FILES[name](), indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    VECTORS.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        (VECTORS / name).write_text(text_of(name), encoding="utf-8")


if __name__ == "__main__":
    main()
