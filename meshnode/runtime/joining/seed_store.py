"""The seed lists of this data directory, and the web addresses they come from.

One file a pinned catalogue, as it was verified, so that no older list is taken again; one file for
all sources. Both are replaced whole: a crash leaves the old or the new.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from meshnode.core.encoding import MalformedRecordError
from meshnode.core.identifiers import CatalogueId, catalogue_text, parse_catalogue
from meshnode.core.seed_files import SeedList, read_seed_list
from meshnode.core.trust import UntrustedError
from meshnode.errors import StorageError, UsageError
from meshnode.runtime.files import read_kept, refused_by_disk, write_durably
from meshnode.runtime.joining.validators import Validators

PINS_MAX: Final = 16  # institutions whose lists are kept; each is 2 MiB at most
SOURCES_MAX: Final = 8  # of one of them
SOURCES: Final = "sources.json"
SUFFIX: Final = ".seeds"
JOIN_AGAIN: Final = "remove it, and join again"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a list comes from. `state` is what was found there at `checked` (unix seconds), and
    `told` the version it told; `reason` says why it was not taken. `is_local`: the operator named
    an address of his own network.
    """

    url: str
    catalogue: CatalogueId
    state: str = ""
    told: int | None = None
    reason: str = ""
    checked: int = 0
    is_local: bool = False
    validators: Validators = field(default_factory=Validators)


class SeedStore:
    """Invariant: the list of a catalogue is authentic, and its version never falls.

    Every method blocks: call them in a worker thread. Not for two threads at once.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lists: dict[CatalogueId, SeedList] = dict(self._read_lists())
        self._sources: dict[str, Source] = read_kept(directory / SOURCES, _parsed, {}, JOIN_AGAIN)

    @property
    def lists(self) -> tuple[SeedList, ...]:
        return tuple(self._lists.values())

    @property
    def sources(self) -> tuple[Source, ...]:
        return tuple(self._sources.values())

    def held(self, catalogue: CatalogueId) -> SeedList | None:
        return self._lists.get(catalogue)

    def require_room(self, catalogue: CatalogueId, url: str | None) -> None:
        """Raise UsageError if there are too many lists or sources already."""
        if catalogue not in self._lists and len(self._lists) >= PINS_MAX:
            raise UsageError(
                f"the seed lists of {PINS_MAX} institutions are kept already",
                hint="meshnode seeds drop CATALOGUE",
            )
        known = [each for each in self.sources if each.catalogue == catalogue and each.url != url]
        if url is not None and len(known) >= SOURCES_MAX:
            raise UsageError(f"there are {SOURCES_MAX} addresses of this list already")
        if url is not None and self._pinned_elsewhere(url, catalogue):
            raise UsageError(
                f"{url} was pinned to another institution",
                hint="if it is meant: meshnode seeds drop the other one first",
            )

    def keep(self, seeds: SeedList) -> None:
        """Keep a list in place of an older one. Raises StorageError."""
        held = self.held(seeds.catalogue)
        assert held is None or seeds.seeds.version >= held.seeds.version
        write_durably(self._path(seeds.catalogue), seeds.raw)
        self._lists[seeds.catalogue] = seeds

    def note(self, *sources: Source) -> None:
        """Remember where lists come from and what was found there. Raises StorageError."""
        self._sources |= {source.url: source for source in sources}
        self._write_sources()

    def drop(self, catalogue: CatalogueId) -> None:
        """Forget a list and where it comes from. Raises UsageError, StorageError."""
        if self._lists.pop(catalogue, None) is None:
            raise UsageError("no seed list of this catalogue is kept", hint="meshnode seeds list")
        kept = {url: each for url, each in self._sources.items() if each.catalogue != catalogue}
        self._sources = kept
        self._write_sources()
        try:
            self._path(catalogue).unlink(missing_ok=True)
        except OSError as error:
            raise refused_by_disk(f"cannot remove {self._path(catalogue)}", error) from error

    def _pinned_elsewhere(self, url: str, catalogue: CatalogueId) -> bool:
        known = self._sources.get(url)
        return known is not None and known.catalogue != catalogue

    def _path(self, catalogue: CatalogueId) -> Path:
        return self._directory / f"{catalogue.hex()}{SUFFIX}"

    def _read_lists(self) -> Iterator[tuple[CatalogueId, SeedList]]:
        for path in sorted(self._directory.glob(f"*{SUFFIX}")):
            try:
                seeds = read_seed_list(path.read_bytes())
            except OSError as error:
                raise refused_by_disk(f"cannot read {path}", error) from error
            except (MalformedRecordError, UntrustedError) as error:
                raise _damaged(path) from error
            if self._path(seeds.catalogue) != path:
                raise _damaged(path)
            yield seeds.catalogue, seeds

    def _write_sources(self) -> None:
        said = [_said(source) for source in self.sources]
        write_durably(self._directory / SOURCES, json.dumps(said, indent=1).encode())


def without_validators(source: Source) -> Source:
    """Return the source as one whose document is asked for in whole."""
    return replace(source, validators=Validators())


def sources_of(sources: Sequence[Source], catalogue: CatalogueId) -> list[Source]:
    return [source for source in sources if source.catalogue == catalogue]


def _said(source: Source) -> dict[str, Any]:
    return {**asdict(source), "catalogue": catalogue_text(source.catalogue)}


def _parsed(raw: bytes) -> dict[str, Source]:
    sources = [_source(each) for each in json.loads(raw)]
    return {source.url: source for source in sources}


def _source(said: dict[str, Any]) -> Source:
    validators = Validators(**said["validators"])
    catalogue = parse_catalogue(said["catalogue"])
    return Source(**{**said, "catalogue": catalogue, "validators": validators})


def _damaged(path: Path) -> StorageError:
    return StorageError(f"{path} is damaged", hint=JOIN_AGAIN)
