"""Reading what a person wants to publish: items from NDJSON, JSON, STAC-GeoParquet, own segments.

Owns the way from a file to exact items; whether an item is good STAC is `validation`'s question.
From JSON an item is the exact bytes of its object in the file. Items of STAC-GeoParquet have no
such bytes and get ours (`geoparquet_items`). Memory stays bounded for files of any size.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic_core import from_json

from meshnode.errors import UsageError
from meshnode.runtime.segments.format import ITEM_BYTES_MAX
from meshnode.runtime.segments.geoparquet_items import UnfitRowError, missing_columns, row_items
from meshnode.runtime.segments.json_text import JsonTextError, array_members, parse_object

_BATCH_ROWS: Final = 1_024
_LOOK_BYTES: Final = 4096
_SIGNATURES: Final = {
    b"\x1f\x8b": ("gzip", "decompress it first: gunzip FILE"),
    b"PK\x03\x04": ("a zip archive", "unpack it first"),
    b"\x28\xb5\x2f\xfd": ("zstd", "decompress it first: unzstd FILE"),
    b"SQLite format 3": ("SQLite or GeoPackage", "convert it to STAC items first"),
}
_KINDS_HINT: Final = (
    "give STAC items as NDJSON, one JSON Item, an ItemCollection, or STAC-GeoParquet"
)


@dataclass(frozen=True, slots=True)
class ItemText:
    """An item to publish: `raw` its UTF-8 JSON as it will stay, `parsed` the same if it is at hand.

    `where` says for people where it came from: file and line, member or row. `id` and `collection`
    are what stands there, of whatever type.
    """

    raw: bytes
    parsed: dict[str, Any] | None
    where: str
    id: object
    collection: object

    @classmethod
    def of(cls, raw: bytes, value: dict[str, Any], where: str) -> ItemText:
        return cls(raw, value, where, value.get("id"), value.get("collection"))

    @property
    def value(self) -> dict[str, Any]:
        """The item parsed."""
        return from_json(self.raw) if self.parsed is None else self.parsed


@dataclass(frozen=True, slots=True)
class RefusedItem:
    """A place in the input that should be an item and cannot be read as one."""

    where: str
    id: str | None
    reason: str


def read_items(path: Path) -> Iterator[ItemText | RefusedItem]:
    """Yield the items of a file in their order; one that is broken does not end the reading.

    Raises:
        UsageError: no such file, no items in it, a kind of file that holds no STAC items, or one
            that breaks off, after which nothing can be found.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise UsageError(
            f"cannot read {path}: {error.strerror}", hint="check the path and its permissions"
        ) from error
    with file:
        count = 0
        for found in _read(file, path):
            count += 1
            yield found
        if count == 0:
            raise UsageError(f"{path} holds no items", hint=_KINDS_HINT)


def _read(file: BinaryIO, path: Path) -> Iterator[ItemText | RefusedItem]:
    head = file.read(_LOOK_BYTES)
    file.seek(0)
    if head.startswith(b"PAR1"):
        return _read_parquet(path)
    for signature, (kind, hint) in _SIGNATURES.items():
        if head.startswith(signature):
            raise UsageError(f"{path} is {kind}, not STAC items", hint=hint)
    if head.startswith(b"\xef\xbb\xbf"):
        raise UsageError(f"{path} begins with a byte order mark", hint="save it as plain UTF-8")
    if not head.strip() and len(head) < _LOOK_BYTES:
        return iter(())
    if not head.lstrip().startswith(b"{"):
        raise UsageError(f"{path} is neither JSON objects nor Parquet", hint=_KINDS_HINT)
    return _read_json(file, path)


# --- JSON -----------------------------------------------------------------------------------------
def _read_json(file: BinaryIO, path: Path) -> Iterator[ItemText | RefusedItem]:
    """Tell a document a line from one document by the first line that is not empty."""
    first = b"\n"
    while first and not first.strip():
        first = file.readline(ITEM_BYTES_MAX + 1)
    rest = file.read(_LOOK_BYTES).lstrip()
    file.seek(0)
    if rest and (_kind(first) or (rest.startswith(b"{") and first.rstrip().endswith(b"}"))):
        return _read_lines(file, path)
    document = file.read(ITEM_BYTES_MAX + 1).strip()
    file.seek(0)
    if len(document) > ITEM_BYTES_MAX or _kind(document) != "Feature":
        return _read_collection(file, path)
    return iter([_item(document, path.name)])


def _kind(raw: bytes) -> str:
    """Return the `type` of one JSON object, whatever its faults; empty if it is none."""
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return ""
    return str(value.get("type", "untyped")) if isinstance(value, dict) else ""


def _read_lines(file: BinaryIO, path: Path) -> Iterator[ItemText | RefusedItem]:
    number = 0
    while line := file.readline(ITEM_BYTES_MAX + 1):
        number += 1
        where = f"{path.name} line {number}"
        if len(line) > ITEM_BYTES_MAX and not line.endswith(b"\n"):
            yield RefusedItem(where, None, f"larger than {ITEM_BYTES_MAX} bytes")
            while line and not line.endswith(b"\n"):
                line = file.readline(ITEM_BYTES_MAX)
        elif raw := line.strip():
            yield _item(raw, where)


def _read_collection(file: BinaryIO, path: Path) -> Iterator[ItemText | RefusedItem]:
    number = 0
    try:
        for raw in array_members(file, "features", ITEM_BYTES_MAX):
            number += 1
            yield _item(raw, f"{path.name} feature {number}")
    except JsonTextError as error:
        place = f" after feature {number}" if number else ""
        raise UsageError(f"{path}{place}: {error}", hint=_KINDS_HINT) from error


def _item(raw: bytes, where: str) -> ItemText | RefusedItem:
    if len(raw) > ITEM_BYTES_MAX:
        return RefusedItem(where, None, f"larger than {ITEM_BYTES_MAX} bytes")
    try:
        return ItemText.of(raw, parse_object(raw), where)
    except JsonTextError as error:
        return RefusedItem(where, None, str(error))


# --- Parquet --------------------------------------------------------------------------------------
def _read_parquet(path: Path) -> Iterator[ItemText | RefusedItem]:
    try:
        with pq.ParquetFile(path, pre_buffer=False, arrow_extensions_enabled=False) as file:
            yield from _read_rows(file, path)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise UsageError(
            f"{path} is broken Parquet: {error}", hint="write it anew, or check the download"
        ) from error


def _read_rows(file: Any, path: Path) -> Iterator[ItemText | RefusedItem]:  # noqa: ANN401 - pyarrow
    schema = file.schema_arrow
    if missing := missing_columns(schema):
        kind = "GeoParquet" if b"geo" in (file.metadata.metadata or {}) else "Parquet"
        raise UsageError(
            f"{path} is {kind}, but not STAC-GeoParquet: it has no column {', '.join(missing)}",
            hint="make items of its rows: meshnode sync FILE --mapping …; its columns are "
            + ", ".join(schema.names)[:200],
        )
    is_segment = {"item", "clock"} <= set(schema.names)
    file_name, number = path.name, 0
    columns = ["item"] if is_segment else None
    for batch in file.iter_batches(_BATCH_ROWS, columns=columns, use_threads=False):
        for name, text in _texts(batch, is_segment=is_segment):
            number += 1
            where = f"{file_name} row {number}"
            if isinstance(text, UnfitRowError):
                yield RefusedItem(where, text.item_id, str(text))
            elif text is None:
                yield RefusedItem(where, None, "its item is null")
            elif name is None:
                yield _item(text, where)
            elif len(text) > ITEM_BYTES_MAX:
                yield RefusedItem(where, None, f"larger than {ITEM_BYTES_MAX} bytes")
            else:
                yield ItemText(text, None, where, *name)


def _texts(
    batch: pa.RecordBatch, *, is_segment: bool
) -> Iterator[tuple[tuple[object, object] | None, bytes | UnfitRowError | None]]:
    """Yield the JSON of each row; before it, id and collection if they are known without parsing.

    What stands in a segment may be any JSON; what we write ourselves needs no second look.
    """
    none = itertools.repeat(None, len(batch))
    if is_segment:
        return zip(none, batch.column("item").cast(pa.binary()).to_pylist(), strict=True)
    try:
        ids, collections = (
            batch.column(name).to_pylist() if name in batch.schema.names else none
            for name in ("id", "collection")
        )
    except ValueError:  # text that is not UTF-8: its row is refused
        return zip(none, row_items(batch), strict=True)
    return zip(zip(ids, collections, strict=True), row_items(batch), strict=True)
