"""Releases: the versions of a catalogue's datasets, what follows what, and what is in conflict.

Implements protocol/04-log-and-trust.md, L-57. A pure function of the set of entries: none is hidden
or preferred, in whatever order they came.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

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
    """All releases of one catalogue, the first said first. Found by name in constant time: a
    stranger's catalogue may have as many as a log holds.
    """

    all: tuple[Release, ...]
    _by_entry: dict[Digest, Release] = field(default_factory=dict, compare=False)
    _by_version: dict[tuple[str, str], list[Release]] = field(default_factory=dict, compare=False)
    _by_doi: dict[str, list[Release]] = field(default_factory=dict, compare=False)
    _followers: dict[Digest, list[Release]] = field(default_factory=dict, compare=False)

    @classmethod
    def of(cls, entries: Mapping[Rank, ReleaseAdded]) -> Releases:
        """Group the entries that say the same release."""
        groups: dict[ReleaseAdded, list[Rank]] = {}
        for rank in sorted(entries):
            groups.setdefault(_said(entries[rank]), []).append(rank)
        made = cls(
            tuple(
                Release(ranks[0], entries[ranks[0]], tuple(digest for _, _, digest in ranks))
                for ranks in groups.values()
            )
        )
        for release in made.all:
            made._enter(release)
        return made

    def of_collection(self, collection: str) -> tuple[Release, ...]:
        return tuple(each for each in self.all if each.entry.collection == collection)

    def with_version(self, collection: str, version: str) -> tuple[Release, ...]:
        return tuple(self._by_version.get((collection, version), ()))

    def with_doi(self, doi: str) -> tuple[Release, ...]:
        return tuple(self._by_doi.get(doi_key(doi), ()))

    def said_by(self, entry: Digest) -> Release | None:
        """Return the release that the entry of this SHA-256 says, if it is here."""
        return self._by_entry.get(entry)

    def predecessor(self, release: Release) -> Release | None:
        """Return the release that this one supersedes, None if it names none that is here."""
        former = release.entry.supersedes
        return self._by_entry.get(former) if former is not None else None

    def successors(self, release: Release) -> Iterator[Release]:
        return (each for name in release.names for each in self._followers.get(name, ()))

    def is_newest(self, release: Release) -> bool:
        """Say whether no other release supersedes it; several may be, if that is not settled."""
        return not any(name in self._followers for name in release.names)

    def newest(self, collection: str) -> tuple[Release, ...]:
        return tuple(filter(self.is_newest, self.of_collection(collection)))

    def is_superseded(self, collection: str, key: Digest) -> bool:
        """Say whether a payload is part of releases, and another supersedes each of them."""
        found = [each for each in self.of_collection(collection) if key in each.entry.payloads]
        return bool(found) and not any(map(self.is_newest, found))

    def rivals(self, release: Release) -> Iterator[Release]:
        """Yield the others of the same collection and version, then those with the same DOI."""
        return (each for each in self._alike(release.entry) if each != release)

    def is_in_conflict(self, release: Release) -> bool:
        return next(self.rivals(release), None) is not None

    def conflicts(self) -> Iterator[Release]:
        """Yield the releases that have a rival."""
        return filter(self.is_in_conflict, self.all)

    def held(self, entry: ReleaseAdded) -> Release | None:
        """Return the release that an entry would say, if it is here already."""
        said = _said(entry)
        return next((each for each in self._alike(entry) if _said(each.entry) == said), None)

    def against(self, entry: ReleaseAdded) -> tuple[Release, ...]:
        """Return the releases that an entry would be in conflict with."""
        return tuple(each for each in self._alike(entry) if _said(each.entry) != _said(entry))

    def _enter(self, release: Release) -> None:
        entry = release.entry
        self._by_entry.update(dict.fromkeys(release.names, release))
        self._by_version.setdefault((entry.collection, entry.version), []).append(release)
        if entry.doi is not None:
            self._by_doi.setdefault(doi_key(entry.doi), []).append(release)
        if entry.supersedes is not None:
            self._followers.setdefault(entry.supersedes, []).append(release)

    def _alike(self, entry: ReleaseAdded) -> Iterator[Release]:
        named = (entry.collection, entry.version)
        yield from self._by_version.get(named, ())
        for each in self._by_doi.get(doi_key(entry.doi), ()) if entry.doi is not None else ():
            if (each.entry.collection, each.entry.version) != named:
                yield each


def _said(entry: ReleaseAdded) -> ReleaseAdded:
    """Return what an entry says, without its clock and with the payloads in order (L-57)."""
    return replace(entry, clock=0, payloads=tuple(sorted(entry.payloads)))
