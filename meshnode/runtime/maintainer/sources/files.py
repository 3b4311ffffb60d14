"""Items in files: one, a folder of them, or what comes on standard input."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

from pydantic_core import from_json

from meshnode.errors import UsageError
from meshnode.runtime.files import refused_by_disk
from meshnode.runtime.maintainer.sources import Given, Reading
from meshnode.runtime.maintainer.sources.documents import Documents
from meshnode.runtime.segments.items import read_items

SUFFIXES: Final = (".ndjson", ".jsonl", ".json", ".geojson", ".parquet", ".geoparquet")
_LOOK_BYTES_MAX: Final = 64 << 20  # a Catalog or a Collection with a link to each of its items


def read_file(path: Path) -> Reading:
    return Reading(read_items(path), Documents())


def read_folder(folder: Path) -> Reading:
    """Read every file of items below a folder; Collection documents beside them are taken too.

    Raises:
        UsageError: there is none.
    """
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not paths:
        raise UsageError(
            f"{folder} holds no files of items", hint=f"their names end in {', '.join(SUFFIXES)}"
        )
    documents = Documents()
    return Reading(_items(paths, documents), documents)


@contextmanager
def spooled(take_in: Callable[[BinaryIO], None]) -> Iterator[Path]:
    """Give a temporary file that `take_in` filled, gone after the block.

    Raises:
        StorageError: the disk refused it.
    """
    with tempfile.TemporaryDirectory(prefix="meshnode-") as folder:
        path = Path(folder) / "source"
        try:
            with path.open("wb") as file:
                take_in(file)
        except OSError as error:
            raise refused_by_disk(f"cannot write {path}", error) from error
        yield path


def take_standard_input(file: BinaryIO) -> None:
    shutil.copyfileobj(sys.stdin.buffer, file)


def take_pipe(path: Path, file: BinaryIO) -> None:
    with path.open("rb") as pipe:
        shutil.copyfileobj(pipe, file)


def kind_of(path: Path) -> str:
    """Return the `type` of a JSON document; empty for other files, long ones, and a folder."""
    try:
        if not path.is_file() or path.stat().st_size > _LOOK_BYTES_MAX:
            return ""
        raw = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    document = document_of(raw)
    return str(document.get("type", ""))


def document_of(raw: bytes) -> dict[str, Any]:
    """Return a JSON object; empty if it is none."""
    if not raw.lstrip().startswith(b"{"):
        return {}
    try:
        value = from_json(raw, allow_inf_nan=False)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _items(paths: list[Path], documents: Documents) -> Iterator[Given]:
    for path in paths:
        kind = kind_of(path) if path.suffix.lower() == ".json" else ""
        if kind == "Collection":
            documents.take(path.read_bytes(), str(path))
        elif kind != "Catalog":
            yield from read_items(path)
