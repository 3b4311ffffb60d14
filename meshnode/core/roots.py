"""Roots: the signed list of a catalogue's keys and writers (protocol/02-records.md).

Owns the record alone. Which root is in force, and whether its signatures hold, is in `trust`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from meshnode.core import shapes
from meshnode.core.encoding import MalformedRecordError, decode, encode
from meshnode.core.identifiers import CatalogueId, Digest, Kid, PublicKey, key_id
from meshnode.core.limits import (
    DELEGATES_MAX,
    INTEGER_MAX,
    KEYS_MAX,
    META_MAX,
    META_TEXT_BYTES_MAX,
    PREFIXES_MAX,
    ROLE_KEYS_MAX,
    SIGNED_ROOT_BYTES_MAX,
    WRITERS_MAX,
)

ED25519 = 1  # the one algorithm of this version; 2 is kept for ML-DSA-44
FIRST_VERSION = 1


@dataclass(frozen=True, slots=True)
class RootKey:
    """A key of the institution. Keys of an unknown algorithm are kept, but sign nothing."""

    algorithm: int
    public_key: PublicKey


@dataclass(frozen=True, slots=True)
class Role:
    """Of the keys at these indices, `threshold` must sign."""

    threshold: int
    keys: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class NextRole:
    """The root role that a later root may take: digests of its public keys."""

    threshold: int
    keys: tuple[Digest, ...]


@dataclass(frozen=True, slots=True)
class LastHead:
    """The last head that counts of a closed log: its seq and digest."""

    seq: int
    head: Digest


Closing = LastHead | Literal[False]  # False: nothing of the log counts


@dataclass(frozen=True, slots=True)
class Writer:
    """A key that may extend the catalogue.

    `prefixes` of collection names, None for all collections; `closed` is None while it is open.
    """

    public_key: PublicKey
    label: str
    prefixes: tuple[str, ...] | None = None
    closed: Closing | None = None

    @property
    def kid(self) -> Kid:
        return key_id(self.public_key)


@dataclass(frozen=True, slots=True)
class Delegate:
    """Collections with this prefix are the other catalogue's."""

    prefix: str
    catalogue: CatalogueId


@dataclass(frozen=True, slots=True)
class Root:
    """One version of a catalogue's root.

    `prev` is the digest of the root before, None at version 1; `issued` and `review_by` are unix
    seconds; `meta` says who the institution is: title, domain, contact, languages.
    """

    version: int
    prev: Digest | None
    issued: int
    review_by: int
    keys: tuple[RootKey, ...]
    root_role: Role
    next: NextRole | None
    writers: tuple[Writer, ...]
    delegates: tuple[Delegate, ...]
    meta: Mapping[str, str | int] = field(hash=False)


def encode_root(root: Root) -> bytes:
    return encode(_ROOT.write(root))


def decode_root(raw: bytes) -> Root:
    """Raises MalformedRecordError: not the encoding of a root."""
    return _ROOT.read(decode(raw, SIGNED_ROOT_BYTES_MAX))


def _closing(value: object) -> Closing | None:
    if value is None:
        return None
    return False if value is False else _read_last_head(value)


def _meta(value: object) -> dict[str, str | int]:
    if type(value) is not dict or len(value) > META_MAX:
        raise MalformedRecordError(f"meta is not a map of at most {META_MAX} fields")
    for key, content in value.items():
        _read_name(key)
        (_read_text if isinstance(content, str) else _read_count)(content)
    return value


def _check_role(role: Role | NextRole) -> None:
    shapes.require(role.threshold <= len(role.keys), "a role has fewer keys than its threshold")


def _check_root(root: Root) -> None:
    first = root.version == FIRST_VERSION
    shapes.require((root.prev is None) == first, "only the first root has no prev")
    _check_role(root.root_role)
    if root.next is not None:
        _check_role(root.next)
    known = all(index < len(root.keys) for index in root.root_role.keys)
    shapes.require(known, "the root role names a key that is not listed")


_positive = shapes.integer(1, INTEGER_MAX)
_threshold = shapes.integer(1, ROLE_KEYS_MAX)
_key_index = shapes.integer(0, KEYS_MAX - 1)
_read_name = shapes.reader(shapes.name)
_read_text = shapes.reader(shapes.text(0, META_TEXT_BYTES_MAX))
_read_count = shapes.reader(shapes.count)
_read_last_head = shapes.reader(shapes.row(LastHead, _positive, shapes.digest))
_key = shapes.row(RootKey, shapes.count, shapes.public_key)
_prefixes = shapes.optional(shapes.unique(shapes.name, 0, PREFIXES_MAX))
_writer = shapes.row(Writer, shapes.public_key, shapes.name, _prefixes, shapes.read_by(_closing))
_delegate = shapes.row(Delegate, shapes.name, shapes.digest)

_ROOT = shapes.Layout(
    "root",
    1,
    Root,
    (
        _positive,
        shapes.optional(shapes.digest),
        shapes.second,
        shapes.second,
        shapes.unique(_key, 1, KEYS_MAX, lambda key: key.public_key),
        shapes.row(Role, _threshold, shapes.unique(_key_index, 1, ROLE_KEYS_MAX)),
        shapes.optional(
            shapes.row(NextRole, _threshold, shapes.unique(shapes.digest, 1, ROLE_KEYS_MAX))
        ),
        shapes.unique(_writer, 0, WRITERS_MAX, lambda writer: writer.kid),
        shapes.unique(_delegate, 0, DELEGATES_MAX, lambda delegate: delegate.prefix),
        shapes.read_by(_meta),
    ),
    _check_root,
)
