"""A data directory with many catalogues, made once and kept under `build/`.

Each catalogue has one writer and one head over all its segments; the items are those of `samples`.
The bytes do not go the way of a publisher: they are laid down at once, and then a peer checks and
indexes all of them, as it does when its index was deleted.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from benchmarks.samples import COLLECTION, ISSUED, items, segment
from meshnode.cli.peer import make_home
from meshnode.core.authoring import LogState, extend, first_root
from meshnode.core.durable import AdoptRoot, Durable, ExtendLog, SetFollowed
from meshnode.core.identifiers import CatalogueId, key_id, sha256
from meshnode.core.merkle import Frontier
from meshnode.core.names import LogId
from meshnode.core.roots import encode_root
from meshnode.core.signed import encode_signed
from meshnode.core.signing import public_key, sign
from meshnode.runtime.home import Home
from meshnode.runtime.maintainer.staging import segment_draft
from meshnode.runtime.segments.segment import SegmentFile
from meshnode.runtime.store import Store

FOLDER: Final = Path("build/stock")
SEGMENTS: Final = 10  # of each catalogue
ROWS: Final = 100  # of each segment
_VERSION: Final = 1  # of what is made; a change of it makes all of it anew
_MADE: Final = "made"  # the file that says so


@dataclass(frozen=True, slots=True)
class Stock:
    """The data directory of a peer that has everything."""

    home: Path
    catalogues: tuple[CatalogueId, ...]

    @property
    def items(self) -> int:
        return len(self.catalogues) * SEGMENTS * ROWS

    @property
    def object_bytes(self) -> int:
        return sum(path.stat().st_size for path in Home(self.home).objects.glob("*/*"))


def stock(catalogues: int) -> Stock:
    """Return a stock of so many catalogues, made now if it is not there.

    Its index is empty until a peer has run on it.
    """
    folder = FOLDER / f"{_VERSION}-{catalogues}"
    home, made = folder / "home", folder / _MADE
    if not made.exists():
        shutil.rmtree(folder, ignore_errors=True)
        names = _make(home, catalogues)
        made.write_text("".join(f"{name.hex()}\n" for name in names), encoding="ascii")
    lines = made.read_text(encoding="ascii").split()
    return Stock(home, tuple(CatalogueId(bytes.fromhex(line)) for line in lines))


def _make(root: Path, catalogues: int) -> list[CatalogueId]:
    make_home(root)
    home = Home(root)
    # A process that is forked here would share libraries' threads.
    pool = partial(ProcessPoolExecutor, mp_context=get_context("spawn"))
    names: list[CatalogueId] = []
    with pool(len(os.sched_getaffinity(0))) as workers, closing(Store(home)) as store:
        made = workers.map(_segments_of, [home] * catalogues, range(catalogues), chunksize=8)
        for number, files in enumerate(made):
            effects = list(_catalogue(f"catalogue {number}", files))
            store.commit(effects)
            names += [each.catalogue for each in effects if isinstance(each, SetFollowed)]
    return names


def _segments_of(home: Home, catalogue: int) -> list[SegmentFile]:
    """Write the segments of one catalogue; runs in a process of its own."""
    files = []
    for number in range(SEGMENTS):
        seed = random.Random(f"{catalogue}/{number}").getrandbits(32)  # noqa: S311 - places
        pairs = list(items(ROWS, seed, first=number * ROWS))
        path = home.incoming / f"{catalogue}-{number}"
        file = segment(path, pairs)
        name = file.digest.hex()
        place = home.objects / name[:2] / name
        place.parent.mkdir(exist_ok=True)
        path.rename(place)
        files.append(file)
    return files


def _catalogue(name: str, files: list[SegmentFile]) -> Iterator[Durable]:
    """Yield what a peer wrote down that follows the catalogue and has its head."""
    key = Ed25519PrivateKey.generate()
    public = public_key(key)
    root = encode_root(
        first_root(public, [(public, "writer")], {"title": name}, ISSUED, ISSUED + 86_400)
    )
    catalogue = CatalogueId(sha256(root))
    state = LogState(catalogue, key_id(public), 1, None, Frontier(), 0)
    raw, first, entries = extend(
        state,
        [segment_draft(COLLECTION, file)(clock) for clock, file in enumerate(files, 1)],
        issued=ISSUED,
        next_by=None,
        sign=lambda payload: sign("head", payload, [key]),
    )
    yield SetFollowed(catalogue, True)
    yield AdoptRoot(catalogue, 1, encode_signed(sign("root", root, [key])))
    yield ExtendLog(LogId(catalogue, state.writer), ((1, raw),), first, entries)
