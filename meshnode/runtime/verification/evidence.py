"""The way from an item to its institution, walked step by step: disk first, then the receipt.

Takes what a peer answers to `evidence` as claims, and checks each of them itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from pydantic_core import from_json

from meshnode.control import Message
from meshnode.core import receipts
from meshnode.core.identifiers import CatalogueId, Digest, object_text, parse_object
from meshnode.core.receipts import Receipt, Step
from meshnode.errors import StorageError
from meshnode.runtime.segments.segment import read_segment_items


def examine(
    evidence: Message, catalogue: CatalogueId, collection: str, item_id: str
) -> Iterator[Step]:
    """Yield every step with its check; a step that fails says why, and the walk goes on."""
    item, segment = evidence["item"].encode(), parse_object(evidence["segment"])
    yield _item(item, collection, item_id)
    yield _segment(Path(evidence["path"]), segment)
    yield _row(Path(evidence["path"]), item)
    yield from receipts.examine(
        Receipt(
            catalogue=catalogue,
            collection=collection,
            segment=segment,
            entry=bytes.fromhex(evidence["entry"]),
            index=evidence["index"],
            proof=tuple(Digest(bytes.fromhex(node)) for node in evidence["proof"]),
            head=bytes.fromhex(evidence["head"]),
            roots=tuple(map(bytes.fromhex, evidence["roots"])),
        )
    )


def _item(item: bytes, collection: str, item_id: str) -> Step:
    value = from_json(item)
    fault = ""
    if (value.get("collection"), value.get("id")) != (collection, item_id):
        fault = f"it says {value.get('collection')}/{value.get('id')}"
    says = f"{len(item)} bytes, SHA-256 {hashlib.sha256(item).hexdigest()[:16]}…"
    return Step("item", says, "its id and collection are those asked for", fault)


def _segment(path: Path, segment: Digest) -> Step:
    fault = ""
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").digest()
        if found != segment:
            fault = f"the bytes of {path} hash to {found.hex()}"
    except OSError as error:
        fault = f"cannot read {path}: {error.strerror}"
    return Step("segment", object_text(segment), "SHA-256 of the file", fault)


def _row(path: Path, item: bytes) -> Step:
    check = "these very bytes are in the segment"
    try:
        for number, held in enumerate(read_segment_items(path)):
            if held == item:
                return Step("row", f"row {number} of the segment", check)
    except StorageError as error:
        return Step("row", "not readable", check, str(error))
    return Step("row", "none", check, "no row of the segment has them")
