"""Purges: what the root threshold wants gone from every disk at once (protocol/02-records.md)."""

from __future__ import annotations

from dataclasses import dataclass

from meshnode.core import shapes
from meshnode.core.encoding import decode, encode
from meshnode.core.entries import ItemName, Reason
from meshnode.core.identifiers import CatalogueId, Digest
from meshnode.core.limits import INTEGER_MAX, PURGE_BYTES_MAX, PURGE_NAMES_MAX


@dataclass(frozen=True, slots=True)
class Purge:
    """Travels in `Signed`, by the threshold of root `root_version`; `issued` in unix seconds."""

    catalogue: CatalogueId
    root_version: int
    reason: Reason
    issued: int
    objects: tuple[Digest, ...]
    items: tuple[ItemName, ...]


def encode_purge(purge: Purge) -> bytes:
    return encode(_PURGE.write(purge))


def decode_purge(raw: bytes) -> Purge:
    """Raises MalformedRecordError: not the encoding of a purge."""
    return _PURGE.read(decode(raw, PURGE_BYTES_MAX))


def _check_purge(purge: Purge) -> None:
    shapes.require(bool(purge.objects or purge.items), "a purge names nothing")


_PURGE = shapes.Layout(
    "purge",
    1,
    Purge,
    (
        shapes.digest,
        shapes.integer(1, INTEGER_MAX),
        shapes.member(Reason),
        shapes.second,
        shapes.unique(shapes.digest, 0, PURGE_NAMES_MAX),
        shapes.unique(shapes.row(ItemName, shapes.name, shapes.name), 0, PURGE_NAMES_MAX),
    ),
    _check_purge,
)
