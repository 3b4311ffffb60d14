"""An export checked against what was signed: each line, each row, and the bytes around them.

The measure is the segments of a data directory, checked by `verification`; not its index. NDJSON is
compared line by line. GeoParquet is compared item by item and then written again from these items:
the same items give the same file (with one release of the Parquet library).
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq
import trio
from pydantic_core import from_json

from meshnode.core.names import SegmentRef
from meshnode.core.rows import CheckedRow
from meshnode.errors import MeshnodeError, StorageError, UsageError
from meshnode.runtime.home import Home
from meshnode.runtime.segments.export import one_line
from meshnode.runtime.segments.segment import read_segment_items, write_segment
from meshnode.runtime.verification.reports import Fault, Report
from meshnode.runtime.verification.stores import verify_store

EXPORT: Final = "export"
_PARQUET_MAGIC: Final = b"PAR1"
_NO_ITEM: Final = "it is no STAC item of a collection"

ItemKey = tuple[str, str]  # collection, id


@dataclass(slots=True)
class Piece:
    """One item of the export; `place` names it to people, `position` is its offset or row."""

    place: str
    position: int
    size_bytes: int
    digest: bytes
    is_signed: bool = False
    agreed: int = -1  # bytes in common with the signed item most like it; -1: there is none


async def verify_export(home: Home, path: Path) -> Report:
    """Check an export file, and all of the data directory that it is measured by.

    Raises:
        UsageError: no such file.
        StorageError: the data directory cannot be read.
    """
    export = await trio.to_thread.run_sync(Export, path)
    report = await verify_store(home, export.compare)
    report.items = export.items
    report.faults += await trio.to_thread.run_sync(export.faults, home)
    return report


class Export:
    """One export file on its way through the check: read, compared, judged.

    In memory is a digest of each item, about 300 bytes of it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_parquet = _is_parquet(path)
        self._unread: list[Fault] = []
        self._pieces: dict[ItemKey, list[Piece]] = {}
        read = _parquet_pieces if self._is_parquet else _lines
        for key, piece in read(path, self._unread):
            self._pieces.setdefault(key, []).append(piece)

    @property
    def items(self) -> int:
        return sum(map(len, self._pieces.values()))

    def compare(self, segment: SegmentRef, rows: Sequence[CheckedRow]) -> None:
        """Compare what the export holds of these signed rows."""
        for row in rows:
            for piece in self._pieces.get((segment.collection, row.id), ()):
                self._compare(piece, row.item if self._is_parquet else one_line(row.item))

    def faults(self, home: Home) -> list[Fault]:
        """Return what differs from all that was compared, and from the file that it gives."""
        found = [
            *self._unread,
            *(
                Fault(EXPORT, piece.place, _reason(piece, key))
                for key, pieces in self._pieces.items()
                for piece in pieces
                if not piece.is_signed
            ),
        ]
        if self._is_parquet and not found:
            return list(_file_faults(home, self._path))
        return found

    def _compare(self, piece: Piece, signed: bytes) -> None:
        if not piece.is_signed and hashlib.sha256(signed).digest() == piece.digest:
            piece.is_signed = True
        if not piece.is_signed:
            again = _parquet_item if self._is_parquet else _line
            piece.agreed = max(piece.agreed, _agreed(signed, again(self._path, piece)) or 0)


def _is_parquet(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(4)
            file.seek(-4, os.SEEK_END)
            return _PARQUET_MAGIC in (head, file.read(4))
    except FileNotFoundError as error:
        raise UsageError(f"there is no {path}", hint="check the path") from error
    except OSError:
        return False  # shorter than four bytes, or not to be read: said when it is read


# --- NDJSON ---------------------------------------------------------------------------------------
def _lines(path: Path, faults: list[Fault]) -> Iterator[tuple[ItemKey, Piece]]:
    offset = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            place = f"line {number} of {path}"
            key = _key(line)
            if key is None:
                faults.append(Fault(EXPORT, place, _NO_ITEM))
            else:
                yield key, Piece(place, offset, len(line), hashlib.sha256(line).digest())
            offset += len(line)
    if not offset:
        faults.append(Fault(EXPORT, str(path), "it is empty"))


def _line(path: Path, piece: Piece) -> bytes:
    with path.open("rb") as file:
        file.seek(piece.position)
        return file.read(piece.size_bytes)


# --- GeoParquet -----------------------------------------------------------------------------------
def _parquet_pieces(path: Path, faults: list[Fault]) -> Iterator[tuple[ItemKey, Piece]]:
    try:
        for number, item in enumerate(read_segment_items(path)):
            place = f"row {number} of {path}"
            key = _key(item)
            if key is None:
                faults.append(Fault(EXPORT, place, _NO_ITEM))
            else:
                yield key, Piece(place, number, len(item), hashlib.sha256(item).digest())
    except (StorageError, ValueError) as error:  # a damaged footer has names that are no text
        faults.append(Fault(EXPORT, str(path), str(error)))


def _parquet_item(path: Path, piece: Piece) -> bytes:
    return next(islice(read_segment_items(path), piece.position, None))


def _file_faults(home: Home, path: Path) -> Iterator[Fault]:
    """Write the file again from its items, which are signed, and from its collection."""
    try:
        name, document = _collection(path)
        items = [(item, from_json(item)) for item in read_segment_items(path)]
        with tempfile.TemporaryDirectory(dir=home.incoming) as folder:
            again = Path(folder) / "again.parquet"
            write_segment(again, name, document, items)
            at = _agreed(again.read_bytes(), path.read_bytes())
    except (OSError, pa.ArrowException, MeshnodeError, KeyError, ValueError) as error:
        yield Fault(EXPORT, str(path), f"it cannot be written again from its items: {error}")
        return
    digest = hashlib.sha256(document).hexdigest()
    if not (home.objects / digest[:2] / digest).is_file():
        yield Fault(EXPORT, f"the metadata of {path}", f"no such document of {name} is signed")
    if at is not None:
        yield Fault(EXPORT, f"byte {at} of {path}", "it differs from what its items give")


def _collection(path: Path) -> tuple[str, bytes]:
    """Return the name of the file's collection, and its document exactly as it stands there."""
    text = (pq.read_metadata(path).metadata or {})[b"stac-geoparquet"]
    (name,) = json.loads(text)["collections"]
    _, _, document = text.partition(b'"collections":{' + json.dumps(name).encode() + b":")
    return name, document.removesuffix(b"}}")


# --- Comparing ------------------------------------------------------------------------------------
def _key(item: bytes) -> ItemKey | None:
    try:
        value = from_json(item)
    except ValueError:
        return None
    if not isinstance(value, dict):
        return None
    collection, id_ = value.get("collection"), value.get("id")
    return (collection, id_) if isinstance(collection, str) and isinstance(id_, str) else None


def _reason(piece: Piece, key: ItemKey) -> str:
    name = "/".join(key)
    if piece.agreed < 0:
        return f"no item {name} is signed in what this peer holds"
    return f"its byte {piece.agreed} differs from the signed item {name}"


def _agreed(first: bytes, second: bytes) -> int | None:
    """Return the offset of the first byte that differs, None if none does."""
    if first == second:
        return None
    low, high = 0, min(len(first), len(second))
    while low < high:  # the longest common prefix, by halving
        middle = (low + high + 1) // 2
        low, high = (middle, high) if first[:middle] == second[:middle] else (low, middle - 1)
    return low
