"""Seed lists: the signed first contacts of a newcomer (protocol/02-records.md)."""

from __future__ import annotations

from dataclasses import dataclass

from meshnode.core import shapes
from meshnode.core.encoding import decode, encode
from meshnode.core.identifiers import CatalogueId
from meshnode.core.limits import (
    INTEGER_MAX,
    SEED_ADDRESS_BYTES_MAX,
    SEED_CATALOGUES_MAX,
    SEED_MIRRORS_MAX,
    SEED_PEERS_MAX,
    SEEDS_BYTES_MAX,
)


@dataclass(frozen=True, slots=True)
class SeedCatalogue:
    catalogue: CatalogueId
    title: str


@dataclass(frozen=True, slots=True)
class Seeds:
    """Travels in `Signed`, by an open writer of the issuing catalogue.

    `peers` are binary multiaddrs with the peer id, `mirrors` URLs; times are unix seconds.
    """

    catalogue: CatalogueId
    version: int
    issued: int
    expires: int
    peers: tuple[bytes, ...]
    catalogues: tuple[SeedCatalogue, ...]
    mirrors: tuple[str, ...]


def encode_seeds(seeds: Seeds) -> bytes:
    return encode(_SEEDS.write(seeds))


def decode_seeds(raw: bytes) -> Seeds:
    """Raises MalformedRecordError: not the encoding of a seed list."""
    return _SEEDS.read(decode(raw, SEEDS_BYTES_MAX))


def _check_seeds(seeds: Seeds) -> None:
    shapes.require(seeds.issued < seeds.expires, "the list expires before it is issued")


_seed_catalogue = shapes.row(SeedCatalogue, shapes.digest, shapes.name)

_SEEDS = shapes.Layout(
    "seeds",
    1,
    Seeds,
    (
        shapes.digest,
        shapes.integer(1, INTEGER_MAX),
        shapes.second,
        shapes.second,
        shapes.unique(shapes.blob(1, SEED_ADDRESS_BYTES_MAX), 0, SEED_PEERS_MAX),
        shapes.unique(_seed_catalogue, 0, SEED_CATALOGUES_MAX, lambda seed: seed.catalogue),
        shapes.unique(shapes.url, 0, SEED_MIRRORS_MAX),
    ),
    _check_seeds,
)
