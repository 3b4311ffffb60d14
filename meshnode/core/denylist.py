"""Deny lists: what an operator does not hold, in the compact denylist format of IPFS (IPIP-383).

Owns the format, and what a single rule matches. A rule names bytes by their SHA-256, whatever the
codec of its CID says: here that is an object, a payload by its key, or a catalogue. A path below a
catalogue, COLLECTION/ITEM, names one item. What the lists do to a peer is decided by `denials`.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Literal
from urllib.parse import quote, unquote

from meshnode.core.base58 import base58_text, parse_base58
from meshnode.core.identifiers import (
    DIGEST_BYTES,
    CatalogueId,
    Digest,
    catalogue_text,
    object_text,
    sha256,
)
from meshnode.errors import UsageError

LIST_BYTES_MAX: Final = 48 << 20  # the largest public list measured has some 30 MB
HEADER_BYTES_MAX: Final = 1 << 20  # IPIP-383
SKIPPED_MAX: Final = 1_000  # of these the number and the reason are kept
_VERSION: Final = "1"
_HEXADECIMAL: Final = re.compile(r"[0-9a-f]{64}")
_SHA256: Final = b"\x12\x20"  # a multihash begins so: sha2-256, 32 bytes
_CODEC_BYTES_MAX: Final = 9  # of a CID's varint

ItemPath = tuple[CatalogueId, str, str]  # catalogue, collection, item id
Target = tuple[Literal["name", "hash"], Digest] | tuple[Literal["item"], ItemPath]


@dataclass(frozen=True, slots=True)
class Skipped:
    """A line that says nothing to this peer, by its number from 1."""

    line: int
    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class DenyList:
    """What one list says of each thing it names: True denies, False allows; the last rule counts.

    A rule in the clear goes before a hashed one. `hashes` are the SHA-256 of a name's text.
    """

    names: Mapping[Digest, bool] = field(default_factory=dict)
    hashes: Mapping[Digest, bool] = field(default_factory=dict)
    items: Mapping[ItemPath, bool] = field(default_factory=dict)
    skipped: tuple[Skipped, ...] = ()
    skipped_count: int = 0

    @property
    def rules(self) -> int:
        return len(self.names) + len(self.hashes) + len(self.items)

    def says(self, name: Digest) -> bool | None:
        """Return whether the list denies or allows an object, payload or catalogue, if either."""
        if name in self.names:
            return self.names[name]
        if self.hashes:
            for hashed in _hashes_of(name):
                if hashed in self.hashes:
                    return self.hashes[hashed]
        return None


def parse_deny_list(raw: bytes) -> DenyList:
    """Read a list. Lines that name nothing of ours are skipped and reported.

    Raises:
        UsageError: not text, of another version, or too large.
    """
    if len(raw) > LIST_BYTES_MAX:
        raise UsageError(f"a deny list has at most {LIST_BYTES_MAX} bytes, not {len(raw)}")
    try:
        lines = raw.decode().split("\n")
    except UnicodeDecodeError as error:
        raise UsageError(f"a deny list is UTF-8 text: {error.reason} at {error.start}") from error
    names: dict[Digest, bool] = {}
    hashes: dict[Digest, bool] = {}
    items: dict[ItemPath, bool] = {}
    skipped, skipped_count = list[Skipped](), 0
    for number, text in _rules(lines):
        denies = not text.startswith("!")
        match _target(text.removeprefix("!")):
            case str(reason):
                skipped_count += 1
                if len(skipped) < SKIPPED_MAX:
                    skipped.append(Skipped(number, text, reason))
            case ("hash", digest):
                hashes[digest] = denies
            case ("name", digest):
                names[digest] = denies
            case ("item", path):
                items[path] = denies
    return DenyList(names, hashes, items, tuple(skipped), skipped_count)


def rule_of(text: str) -> str:
    """Return the rule that denies what an operator names.

    Args:
        text: an id, a SHA-256 in hexadecimal, CATALOGUE/COLLECTION/ITEM, or a rule, which stays.

    Raises:
        UsageError: it names nothing that can be denied.
    """
    rule = text
    if not text.removeprefix("!").startswith("/"):
        cid, *path = text.removeprefix("!").split("/", 2)
        if _HEXADECIMAL.fullmatch(cid):
            cid = object_text(Digest(bytes.fromhex(cid)))
        parts = [cid, *(quote(part, safe="") for part in path)]
        rule = ("!" if text.startswith("!") else "") + "/ipfs/" + "/".join(parts)
    target = _target(rule.removeprefix("!"))
    if isinstance(target, str):
        raise UsageError(f"{text!r} cannot be denied: {target}", hint="meshnode deny add --help")
    return rule


def target_of(rule: str) -> Target | str:
    """Return what a rule names, equal for rules that name the same; the reason if nothing."""
    return _target(rule.split(maxsplit=1)[0].removeprefix("!"))


def _rules(lines: list[str]) -> Iterator[tuple[int, str]]:
    """Yield each rule with its line number, without hints; raises UsageError: another version."""
    first = _body(lines)
    for text in lines[:first]:
        key, _, value = text.partition(":")
        if key.strip() == "version" and value.split("#")[0].strip(" \"'\r") != _VERSION:
            raise UsageError(f"a deny list of version {value.strip()}; {_VERSION} is known")
    for number, text in enumerate(lines[first:], first + 1):
        rule = text.split(maxsplit=1)
        if rule and not rule[0].startswith("#"):
            yield number, rule[0]


def _body(lines: list[str]) -> int:
    """Return how many lines the header has, with the one that ends it."""
    room = HEADER_BYTES_MAX
    for index, text in enumerate(lines):
        room -= len(text.encode()) + 1
        if room < 0:
            return 0
        if text.rstrip() == "---":
            return index + 1
    return 0


def _target(rule: str) -> Target | str:
    """Return what a rule names, or why it names nothing here."""
    if rule.startswith("//"):
        hashed = _hashed(rule[2:])
        return ("hash", hashed) if hashed else "only double hashes of SHA-256 are compared"
    if rule.startswith("/ipns/"):
        return "this mesh has no IPNS names"
    if not rule.startswith("/ipfs/"):
        return "it is no rule of a compact denylist"
    cid, _, path = rule.removeprefix("/ipfs/").partition("/")
    digest = _digest(cid)
    if digest is None:
        return f"{cid[:80]!r} is no CID of a SHA-256"
    path = path.rstrip("/")
    if path in ("", "*"):
        return "name", digest
    if path.endswith("*"):
        return "paths with * are not compared: name the catalogue, or each item"
    parts = [unquote(part) for part in path.split("/")]
    if len(parts) != 2 or not all(parts):
        return "a path below a catalogue is COLLECTION/ITEM"
    return "item", (CatalogueId(digest), parts[0], parts[1])


def _digest(cid: str) -> Digest | None:
    """Return the SHA-256 inside a CID of version 0 or 1 (base32, base58btc or base16)."""
    try:
        if cid.startswith("Qm"):
            return _of_multihash(parse_base58(cid))
        raw = _MULTIBASES[cid[:1]](cid[1:])
    except (KeyError, ValueError, binascii.Error):
        return None
    codec = raw[1 : -DIGEST_BYTES - len(_SHA256)]
    well_formed = raw[:1] == b"\x01" and 1 <= len(codec) <= _CODEC_BYTES_MAX
    return _of_multihash(raw[1 + len(codec) :]) if well_formed else None


def _hashed(text: str) -> Digest | None:
    """Read a double hash: a multihash in base58btc, or the legacy hexadecimal SHA-256."""
    try:
        if len(text) == 2 * DIGEST_BYTES:
            return Digest(bytes.fromhex(text))
        return _of_multihash(parse_base58(text[:100]))
    except ValueError:
        return None


def _of_multihash(raw: bytes) -> Digest | None:
    is_ours = raw.startswith(_SHA256) and len(raw) == len(_SHA256) + DIGEST_BYTES
    return Digest(raw[len(_SHA256) :]) if is_ours else None


@lru_cache(65_536)  # the same names are asked for again and again, and base58 is slow
def _hashes_of(name: Digest) -> tuple[Digest, ...]:
    """Return the double hashes that mean this name: of its multihash, of both its CIDs (legacy)."""
    cids = (object_text(name), catalogue_text(CatalogueId(name)))
    legacy = (sha256(f"{cid}/".encode()) for cid in cids)
    return (sha256(base58_text(_SHA256 + name).encode()), *legacy)


def _base32(text: str) -> bytes:
    if text != text.lower():
        raise ValueError("multibase b is base32 in lower case")
    return base64.b32decode(text.upper() + "=" * (-len(text) % 8))


_MULTIBASES: Final = {"b": _base32, "z": parse_base58, "f": bytes.fromhex}
