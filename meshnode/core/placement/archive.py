"""The archive as a volunteer sees it: the extents of all payloads, in one row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from meshnode.core.identifiers import Digest
from meshnode.core.placement.policy import DEFAULTS, PERMILLE, Policy
from meshnode.core.placement.scores import Words, extent_words

Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]

EXTENT_BYTES: Final = 1 << 30
HEALTHY_SECONDS: Final = 7 * 86_400  # since a range of a mirror was verified
DEAD_SECONDS: Final = 30 * 86_400
WRONG_MAX: Final = 3  # pieces of a mirror that failed, one after the other


@dataclass(frozen=True, slots=True)
class ArchivePayload:
    """A payload that may be held.

    Args:
        risk: Level 0 to 4, the greatest that is in force.
        mirrors: Availability by its mirrors, in permille of a copy.
        allowed: Whether this node may hold it: licence, catalogues, deny list.
        retired: Whether it is held no longer than its time: nothing of it is fetched.
        demand: How much it was asked for lately: more comes first among what has its target.
    """

    key: Digest
    size_bytes: int
    piece_bytes: int
    risk: int = 0
    mirrors: int = 0
    allowed: bool = True
    retired: bool = False
    demand: int = 0


@dataclass(frozen=True)
class Archive:
    """E extents: those of the first payload, then those of the second, and so on."""

    payloads: tuple[ArchivePayload, ...]
    policy: Policy = DEFAULTS

    def __len__(self) -> int:
        return int(self.starts[-1])

    @cached_property
    def starts(self) -> Integers:
        """Where each payload's extents begin, and the number of all."""
        counts = [extent_count(payload.size_bytes) for payload in self.payloads]
        return np.concatenate(([0], np.cumsum(counts, dtype=np.int64))).astype(np.int64)

    @cached_property
    def places(self) -> Mapping[Digest, int]:
        """The place of each payload, by its key."""
        return {payload.key: place for place, payload in enumerate(self.payloads)}

    @cached_property
    def words(self) -> Words:
        parts = [extent_words(each.key, extent_count(each.size_bytes)) for each in self.payloads]
        return np.concatenate(parts) if parts else np.zeros(0, np.uint64)

    @cached_property
    def sizes(self) -> Integers:
        """Bytes of each extent."""
        parts = [extent_sizes(each.size_bytes, each.piece_bytes) for each in self.payloads]
        return np.concatenate(parts) if parts else np.zeros(0, np.int64)

    @cached_property
    def wishes(self) -> Integers:
        """Copies wanted of each extent, were there room for all: whole copies."""
        policy = self.policy
        return self._spread([policy.copies + policy.more[each.risk] for each in self.payloads])

    def targets(self, capacity: int) -> Integers:
        """Return the copies to aim at, in permille, where all volunteers give so many extents.

        No extent is to have more than all can have: the wishes are cut at the greatest number of
        copies for which there is room, but never below one.
        """
        wishes = np.bincount(self.wishes)
        room, most = capacity, 0
        while most + 1 < len(wishes) and (room := room - int(wishes[most + 1 :].sum())) >= 0:
            most += 1
        return np.minimum(self.wishes, max(most, 1)) * PERMILLE

    @cached_property
    def mirrors(self) -> Integers:
        """Copies of each extent that mirrors count for, in permille."""
        return self._spread([payload.mirrors for payload in self.payloads])

    @cached_property
    def demand(self) -> Integers:
        return self._spread([payload.demand for payload in self.payloads])

    @cached_property
    def wanted(self) -> Mask:
        """Extents that this node may fetch."""
        return self._spread([each.allowed and not each.retired for each in self.payloads]).astype(
            np.bool_
        )

    @cached_property
    def kept(self) -> Mask:
        """Extents that this node may go on holding."""
        return self._spread([payload.allowed for payload in self.payloads]).astype(np.bool_)

    def numbers(self, held: Mapping[Digest, Sequence[int]]) -> Integers:
        """Return the places of extents that are named by payload; unknown ones are passed over."""
        parts = [np.zeros(0, np.int64)]
        for key, extents in held.items():
            if (place := self.places.get(key)) is None:
                continue
            numbers = np.asarray(extents, np.int64)
            first, end = self.starts[place], self.starts[place + 1]
            parts.append(first + numbers[(numbers >= 0) & (numbers < end - first)])
        return np.concatenate(parts)

    def names(self, extents: Integers) -> dict[Digest, list[int]]:
        """Return extents by payload, as `numbers` reads them, rising."""
        named: dict[Digest, list[int]] = {}
        extents = np.sort(extents)
        places = np.searchsorted(self.starts, extents, "right") - 1
        for place, extent in zip(places.tolist(), extents.tolist(), strict=True):
            number = extent - int(self.starts[place])
            named.setdefault(self.payloads[place].key, []).append(number)
        return named

    def _spread(self, values: Iterable[int]) -> Integers:
        """Return a value of each payload for each of its extents."""
        return np.repeat(np.fromiter(values, np.int64, len(self.payloads)), np.diff(self.starts))


def extent_count(size_bytes: int) -> int:
    """Return how many extents a payload has: at least one."""
    return max(1, -(-size_bytes // EXTENT_BYTES))


def extent_pieces(extent: int, size_bytes: int, piece_bytes: int) -> range:
    """Return the pieces that begin in an extent (P-40)."""
    pieces = -(-size_bytes // piece_bytes)
    first = min(pieces, -(-extent * EXTENT_BYTES // piece_bytes))
    return range(first, min(pieces, -(-(extent + 1) * EXTENT_BYTES // piece_bytes)))


def extent_sizes(size_bytes: int, piece_bytes: int) -> Integers:
    """Return the bytes of the pieces of each extent."""
    edges = np.arange(extent_count(size_bytes) + 1, dtype=np.int64) * EXTENT_BYTES
    return np.diff(np.minimum(-(-edges // piece_bytes) * piece_bytes, size_bytes))


def mirror_permille(age_seconds: int | None, wrong: int) -> int:
    """Return what a mirror counts for: 1,000 if a random range was verified within seven days,
    half as much for each seven more, nothing after thirty or after three wrong ones.

    Args:
        age_seconds: Since a range was verified; None if never.
        wrong: How many failed since.
    """
    if age_seconds is None or age_seconds >= DEAD_SECONDS or wrong >= WRONG_MAX:
        return 0
    return PERMILLE >> max(0, -(-age_seconds // HEALTHY_SECONDS) - 1)
