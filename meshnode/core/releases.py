"""Releases: the versions of a catalogue's datasets, what follows what, and what is in conflict.

Implements protocol/04-log-and-trust.md, L-57. A pure function of the set of entries: none is hidden
or preferred, in whatever order they came.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from meshnode.core.dois import doi_key
from meshnode.core.entries import ReleaseAdded
from meshnode.core.identifiers import Digest, Kid
from meshnode.core.live_segments import Rank


@dataclass(frozen=True, slots=True)
class Release:
    """One release. `entry` is the first of the entries that say it, `names` the SHA-256 of all."""

    rank: Rank
    entry: ReleaseAdded
    names: tuple[Digest, ...]

    @property
    def name(self) -> Digest:
        return self.names[0]

    @property
    def writer(self) -> Kid:
        return self.rank[1]


@dataclass(frozen=True, slots=True)
class Releases:
    """All releases of one catalogue, the first said first."""

    all: tuple[Release, ...]

    @classmethod
    def of(cls, entries: Mapping[Rank, ReleaseAdded]) -> Releases:
        """Group the entries that say the same release."""
        groups: dict[ReleaseAdded, list[Rank]] = {}
        for rank in sorted(entries):
            groups.setdefault(_said(entries[rank]), []).append(rank)
        return cls(
            tuple(
                Release(ranks[0], entries[ranks[0]], tuple(digest for _, _, digest in ranks))
                for ranks in groups.values()
            )
        )

    def of_collection(self, collection: str, version: str | None = None) -> tuple[Release, ...]:
        return tuple(
            each
            for each in self.all
            if each.entry.collection == collection and version in (None, each.entry.version)
        )

    def with_doi(self, doi: str) -> tuple[Release, ...]:
        named = (each for each in self.all if each.entry.doi is not None)
        return tuple(each for each in named if doi_key(str(each.entry.doi)) == doi_key(doi))

    def with_payload(self, collection: str, key: Digest) -> tuple[Release, ...]:
        """Return the releases that a payload of a collection is part of."""
        return tuple(r for r in self.of_collection(collection) if key in r.entry.payloads)

    def is_superseded(self, collection: str, key: Digest) -> bool:
        """Say whether a payload is part of releases, and another supersedes each of them."""
        found = self.with_payload(collection, key)
        return bool(found) and all(self.successors(each) for each in found)

    def predecessor(self, release: Release) -> Release | None:
        """Return the release that this one supersedes, None if it names none that is here."""
        wanted = release.entry.supersedes
        return next((each for each in self.all if wanted in each.names), None)

    def successors(self, release: Release) -> tuple[Release, ...]:
        return tuple(each for each in self.all if each.entry.supersedes in release.names)

    def newest(self, collection: str) -> tuple[Release, ...]:
        """Return the releases that no other supersedes: more than one if that is not settled."""
        found = self.of_collection(collection)
        return tuple(each for each in found if not self.successors(each))

    def rivals(self, release: Release) -> tuple[Release, ...]:
        """Return the others of the same collection and version, or with the same DOI."""
        return tuple(each for each in self._alike(release.entry) if each != release)

    def conflicts(self) -> tuple[Release, ...]:
        """Return the releases that have a rival."""
        return tuple(each for each in self.all if self.rivals(each))

    def held(self, entry: ReleaseAdded) -> Release | None:
        """Return the release that an entry would say, if it is here already."""
        return next((each for each in self.all if _said(each.entry) == _said(entry)), None)

    def against(self, entry: ReleaseAdded) -> tuple[Release, ...]:
        """Return the releases that an entry would be in conflict with."""
        return tuple(each for each in self._alike(entry) if _said(each.entry) != _said(entry))

    def _alike(self, entry: ReleaseAdded) -> tuple[Release, ...]:
        same_version = self.of_collection(entry.collection, entry.version)
        same_doi = self.with_doi(entry.doi) if entry.doi is not None else ()
        return tuple(dict.fromkeys([*same_version, *same_doi]))


def _said(entry: ReleaseAdded) -> ReleaseAdded:
    """Return what an entry says, without its clock and with the payloads in order (L-57)."""
    return replace(entry, clock=0, payloads=tuple(sorted(entry.payloads)))
