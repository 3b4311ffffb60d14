"""How two peers introduce themselves: versions, limits, the catalogues each admits.

Implements protocol/05-sync.md, "Hello". Owns the list of catalogues as it is told: by its digest,
with what changed since a list that the asker holds; and how a part of such a list is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import Final

from meshnode.core.encoding import MalformedRecordError
from meshnode.core.identifiers import CatalogueId, Digest, sha256
from meshnode.core.limits import (
    ADMITTED_MAX,
    COMPARED_RECORDS_MAX,
    RECONCILIATION_BYTES_MAX,
    RECONCILIATION_BYTES_MIN,
)

WITHOUT_HELLO: Final = 1  # the version of a peer that refuses the question
VERSIONS: Final = (WITHOUT_HELLO, 2)  # the least and the greatest spoken here: N - 1 and N
FORMER_MAX: Final = 8  # lists remembered: changes since an older one are told as a whole list
EMPTY_NAME: Final = sha256(b"")  # of the list without catalogues
ALIKE_MAX: Final = 64  # acquaintances that are one object for all peers that say the same


@dataclass(frozen=True, slots=True)
class Greeting:
    """What a peer says of itself.

    `admitted` is the digest of its list of catalogues: the one of digest `base` (None: the empty
    one) without `removed`, with `added`.
    """

    versions: tuple[int, int]
    message_bytes_max: int
    records_max: int
    admitted: Digest
    base: Digest | None
    added: tuple[CatalogueId, ...]
    removed: tuple[CatalogueId, ...]


@dataclass(frozen=True, slots=True)
class Acquaintance:
    """What is known of a connected peer; `admitted` is by rising id, `name` its digest."""

    version: int
    message_bytes_max: int = RECONCILIATION_BYTES_MIN
    records_max: int = COMPARED_RECORDS_MAX
    admitted: tuple[CatalogueId, ...] = ()
    name: Digest = EMPTY_NAME


@dataclass(slots=True)
class Admitted:
    """This peer's list, and former ones, so that changes can be told."""

    current: tuple[CatalogueId, ...] = ()
    name: Digest = EMPTY_NAME
    _seen: tuple[CatalogueId, ...] = ()
    _former: dict[Digest, tuple[CatalogueId, ...]] = field(default_factory=dict)

    def update(self, followed: tuple[CatalogueId, ...]) -> None:
        """Take over what is followed now, in any order; of too many the smallest ids."""
        if followed == self._seen:
            return
        self._former[self.name] = self.current
        if len(self._former) > FORMER_MAX:
            del self._former[next(iter(self._former))]
        self._seen = followed
        self.current = tuple(sorted(followed)[:ADMITTED_MAX])
        self.name = list_name(self.current)

    def greet(self, known: Digest | None) -> Greeting:
        """Introduce this peer to one that holds its list `known`, if any."""
        before = self.current if known == self.name else self._former.get(known or Digest(b""))
        now, then = frozenset(self.current), frozenset(before or ())
        return Greeting(
            VERSIONS,
            RECONCILIATION_BYTES_MAX,
            COMPARED_RECORDS_MAX,
            self.name,
            None if before is None else known,
            tuple(c for c in self.current if c not in then),
            tuple(c for c in before or () if c not in now),
        )


def list_name(catalogues: Sequence[CatalogueId]) -> Digest:
    """Return the digest of a list of catalogues by rising id."""
    return sha256(b"".join(catalogues))


def meet(greeting: Greeting, before: Acquaintance | None) -> Acquaintance:
    """Return what is known of a peer after it introduced itself.

    Raises:
        MalformedRecordError: a list that does not have its digest, limits that are too small.
    """
    least, greatest = greeting.versions
    if not 1 <= least <= greatest:
        raise MalformedRecordError(f"versions from {least} to {greatest}")
    if greeting.message_bytes_max < RECONCILIATION_BYTES_MIN or greeting.records_max < 1:
        raise MalformedRecordError("a limit below what every peer takes")
    return _alike(
        Acquaintance(
            version=min(greatest, VERSIONS[1]) if least <= VERSIONS[1] else 0,
            message_bytes_max=min(greeting.message_bytes_max, RECONCILIATION_BYTES_MAX),
            records_max=min(greeting.records_max, COMPARED_RECORDS_MAX),
            admitted=_changed(greeting, before),
            name=greeting.admitted,
        )
    )


@lru_cache(ALIKE_MAX)
def _alike(met: Acquaintance) -> Acquaintance:
    """Return the first that is equal: most peers admit the same thousand catalogues."""
    return met


def choose(
    theirs: Sequence[CatalogueId], ours: Iterable[CatalogueId]
) -> tuple[tuple[CatalogueId, ...], bytes | None]:
    """Return the catalogues of a list that are also `ours`, and what names them: None for all of
    the list, else a bit for each of it, the first the lowest bit of the first byte.
    """
    wanted = frozenset(ours)
    chosen = tuple(catalogue for catalogue in theirs if catalogue in wanted)
    if len(chosen) == len(theirs):
        return chosen, None
    bits = sum(1 << place for place, c in enumerate(theirs) if c in wanted)
    return chosen, bits.to_bytes(_bitmap_bytes(theirs), "little")


def chosen_of(ours: Sequence[CatalogueId], bitmap: bytes | None) -> tuple[CatalogueId, ...]:
    """Return the catalogues of a list that `choose` named.

    Raises:
        MalformedRecordError: not a bit for each of the list.
    """
    if bitmap is None:
        return tuple(ours)
    bits = int.from_bytes(bitmap, "little")
    if len(bitmap) != _bitmap_bytes(ours) or bits >> len(ours):
        raise MalformedRecordError(f"{len(bitmap)} bytes do not choose among {len(ours)}")
    return tuple(c for place, c in enumerate(ours) if bitmap[place // 8] >> place % 8 & 1)


def _changed(greeting: Greeting, before: Acquaintance | None) -> tuple[CatalogueId, ...]:
    if greeting.base is None:
        base: tuple[CatalogueId, ...] = ()
    elif before is not None and greeting.base == before.name:
        base = before.admitted
    else:
        raise MalformedRecordError("changes to a list that was not named")
    gone = frozenset(greeting.removed)
    admitted = sorted([*(c for c in base if c not in gone), *greeting.added])
    is_rising = all(one < other for one, other in pairwise(admitted))
    if not is_rising or len(admitted) > ADMITTED_MAX or list_name(admitted) != greeting.admitted:
        raise MalformedRecordError("the list of catalogues does not have its digest")
    return tuple(admitted)


def _bitmap_bytes(catalogues: Sequence[CatalogueId]) -> int:
    return (len(catalogues) + 7) // 8
