"""Items out of the index into files: NDJSON, and STAC-GeoParquet one collection at a time.

NDJSON keeps the exact bytes of every item that is a single line. In JSON a line break can stand
only between tokens (RFC 8259 section 7), so in other items each CR and LF becomes a space: the
same JSON, and every byte but those kept. GeoParquet keeps the exact bytes of all items, in the
column `item`. A file is there as a whole or not at all.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator, AsyncIterable, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from pydantic_core import from_json

from meshnode.errors import UsageError
from meshnode.runtime.files import publish_file, refused_by_disk
from meshnode.runtime.segments.segment import write_segment

STDOUT: Final = Path("-")
PART_ROWS_MAX: Final = 50_000
PART_ITEM_BYTES_MAX: Final = 64 << 20  # of JSON, which is in memory while its file is made

_LINE_BREAKS: Final = bytes.maketrans(b"\r\n", b"  ")


async def export_ndjson(items: AsyncIterable[bytes], to: Path | BinaryIO) -> int:
    """Write one item a line to a file, a stream, or stdout (`Path("-")`); return how many.

    Raises:
        StorageError: the file cannot be written; what was there before is unchanged.
        OSError: the stream cannot be written (a closed pipe, say).
    """
    if not isinstance(to, Path):
        return await _write_lines(items, to)
    if to == STDOUT:
        return await _write_lines(items, sys.stdout.buffer)
    with _replacing(to) as file:
        return await _write_lines(items, file)


async def export_geoparquet(
    items: AsyncIterable[bytes], to: Path, collection: str, collection_json: bytes
) -> int:
    """Write the items of one collection to `to`, and what one file cannot hold beside it.

    The second file of `a.parquet` is `a.2.parquet`, and so on; the items of one file are in memory
    at a time. Each file is whole, and the same items give the same bytes. Returns how many items.

    Raises:
        UsageError: stdout, no items, or items and a collection that do not fit together.
        StorageError: a file cannot be written.
    """
    if to == STDOUT:
        raise UsageError("GeoParquet cannot be written to a stream", hint="name a file with --to")
    written = 0
    part = 0
    async with aclosing(_parts(items)) as parts:
        async for raws in parts:
            part += 1
            path = to if part == 1 else to.with_name(f"{to.stem}.{part}{to.suffix}")
            pairs = ((raw, from_json(raw)) for raw in raws)  # parsed they are ten times as large
            written += write_segment(path, collection, collection_json, pairs).rows
    if not written:
        raise UsageError(f"no items of collection {collection!r} match: nothing is written")
    return written


def one_line(item: bytes) -> bytes:
    """Return the item as a line of NDJSON, with its end."""
    return item.translate(_LINE_BREAKS) + b"\n"


async def _write_lines(items: AsyncIterable[bytes], file: BinaryIO) -> int:
    lines = 0
    async for item in items:
        file.write(one_line(item))
        lines += 1
    file.flush()
    return lines


async def _parts(items: AsyncIterable[bytes]) -> AsyncGenerator[list[bytes], None]:
    """Gather items until they make a file of a good size."""
    part: list[bytes] = []
    size_bytes = 0
    async for item in items:
        is_full = len(part) == PART_ROWS_MAX or size_bytes + len(item) > PART_ITEM_BYTES_MAX
        if part and is_full:
            yield part
            part, size_bytes = [], 0
        part.append(item)
        size_bytes += len(item)
    if part:
        yield part


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """Give the file that is written its name only when it is whole and on disk."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as file:
            yield file
        publish_file(temporary, path)
    except OSError as error:
        raise refused_by_disk(f"cannot write {path}", error) from error
    finally:
        temporary.unlink(missing_ok=True)
