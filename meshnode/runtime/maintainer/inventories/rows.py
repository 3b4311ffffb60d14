"""The rows of an inventory: of a CSV or Parquet table, or of the files below a folder."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq

from meshnode.errors import UsageError
from meshnode.runtime.maintainer.inventories.dates import time_text
from meshnode.runtime.maintainer.inventories.mapping import Columns
from meshnode.runtime.segments.format import ITEM_BYTES_MAX

_BATCH_ROWS: Final = 256


@dataclass(frozen=True, slots=True)
class Row:
    """`values` by column; `where` says for people which row; `path` is the file if it is here."""

    values: dict[str, Any]
    where: str
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """The rows, and the coordinate reference systems of their geometry columns, if they say it.

    A system is PROJJSON as GeoParquet has it; a column that says none has longitude and latitude.
    """

    rows: Iterator[Row]
    systems: dict[str, Any]


def read_table(path: Path) -> Table:
    """Read a table; the content says whether it is Parquet or CSV.

    Raises:
        UsageError: it cannot be read, is neither, or breaks off.
    """
    try:
        with path.open("rb") as file:
            is_parquet = file.read(4) == b"PAR1"
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    if is_parquet:
        return Table(_parquet_rows(path), _systems(path))
    return Table(_csv_rows(path), {})


def read_listing(folder: Path, columns: Columns) -> Table:
    """List the files below a folder by name; hidden ones are left out.

    Raises:
        UsageError: there is none.
    """
    paths = sorted(
        (path.relative_to(folder).as_posix(), path)
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    )
    if not paths:
        raise UsageError(f"{folder} holds no files", hint="name the folder of the data files")
    return Table((_listed(name, path, columns) for name, path in paths), {})


def _listed(name: str, path: Path, columns: Columns) -> Row:
    about = path.stat()
    updated = datetime.fromtimestamp(int(about.st_mtime), UTC)
    values = {
        columns.url: quote(name),
        columns.size: about.st_size,
        columns.updated: time_text(updated),
    }
    return Row(values, name, path)


def _csv_rows(path: Path) -> Iterator[Row]:
    csv.field_size_limit(ITEM_BYTES_MAX)  # a geometry is one field
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            for values in reader:
                where = f"{path.name} line {reader.line_num}"
                if None in values:
                    raise UsageError(f"{where} has more fields than columns", hint="mend the table")
                yield Row({name: value or None for name, value in values.items()}, where)
    except (csv.Error, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path} is neither Parquet nor CSV in UTF-8: {error}",
            hint="give a table with a header, its fields divided by commas",
        ) from error


def _parquet_rows(path: Path) -> Iterator[Row]:
    number = 0
    try:
        with pq.ParquetFile(path, pre_buffer=False, arrow_extensions_enabled=False) as file:
            for batch in file.iter_batches(_BATCH_ROWS, use_threads=False):
                for values in _in_microseconds(batch).to_pylist():
                    number += 1
                    known = {name: _value(value) for name, value in values.items()}
                    yield Row(known, f"{path.name} row {number}")
    except (OSError, ValueError, pa.ArrowException) as error:
        raise UsageError(
            f"{path} is broken Parquet: {error}", hint="write it anew, or check the download"
        ) from error


def _in_microseconds(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Cut nanosecond timestamps, which Python's datetime cannot hold."""
    for position, field in enumerate(batch.schema):
        if pa.types.is_timestamp(field.type) and field.type.unit == "ns":
            column = batch.column(position).cast(pa.timestamp("us", field.type.tz), safe=False)
            batch = batch.set_column(position, field.name, column)
    return batch


def _value(value: object) -> object:
    """Write times as text; what is not a number is missing, as data frames write it."""
    if isinstance(value, datetime):
        moment = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        return time_text(moment)
    if isinstance(value, date):
        return value.isoformat()
    return None if isinstance(value, float) and math.isnan(value) else value


def _systems(path: Path) -> dict[str, Any]:
    try:
        geo = json.loads((pq.read_metadata(path).metadata or {}).get(b"geo", b"{}"))
        return {name: column["crs"] for name, column in geo["columns"].items() if "crs" in column}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, pa.ArrowException):
        return {}
