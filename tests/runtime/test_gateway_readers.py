"""Programs of the field read files in place through the gateway: they get what the file holds."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
import pytest
import shapely
import trio
from pmtiles.reader import Reader
from pmtiles.tile import Compression, TileType, zxy_to_tileid
from pmtiles.writer import write as write_pmtiles

from tests.runtime.gateways import Served, served

pytestmark = pytest.mark.slow

MIB = 1 << 20


class Remote(io.RawIOBase):
    """A file at a URL, read by ranges; remembers which pieces of a payload they touch."""

    def __init__(self, url: str, size_bytes: int) -> None:
        self._http = httpx.Client(timeout=60)
        self._url, self._size_bytes, self._at = url, size_bytes, 0
        self.pieces: set[int] = set()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size_bytes}
        self._at = base[whence] + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        stop = self._size_bytes if size < 0 else min(self._at + size, self._size_bytes)
        part = self.part(self._at, stop - self._at) if stop > self._at else b""
        self._at += len(part)
        return part

    def part(self, start: int, count: int) -> bytes:
        self.pieces |= set(range(start // MIB, (start + count - 1) // MIB + 1))
        wanted = {"range": f"bytes={start}-{start + count - 1}"}
        answer = self._http.get(self._url, headers=wanted)
        assert answer.status_code == 206
        return answer.content

    def close(self) -> None:
        self._http.close()
        super().close()


async def read_with(
    tmp_path: Path, content: Path, look: Callable[[Remote], Any]
) -> tuple[Any, Served, Remote]:
    """Return what a reader finds in the file; no more than the pieces it touches are fetched."""
    async with served(tmp_path / "home", content) as gateway:
        with Remote(gateway.url, len(gateway.content)) as remote:
            found = await trio.to_thread.run_sync(look, remote)
        planned = len(remote.pieces) * MIB
        assert 0 < gateway.mirror.served_bytes <= 1.02 * planned
        assert planned < len(gateway.content) / 2
    return found, gateway, remote


async def test_arrow_reads_one_column_of_a_parquet_file(tmp_path: Path) -> None:
    content = tmp_path / "files" / "points.parquet"
    content.parent.mkdir()
    numbers = np.random.default_rng(1).random((6, 400_000))
    table = pa.table({f"c{place}": column for place, column in enumerate(numbers)})
    pq.write_table(table, content, row_group_size=100_000, use_dictionary=False)

    def look(remote: Remote) -> pa.Table:
        return pq.ParquetFile(remote, pre_buffer=False).read_row_group(2, columns=["c3"])

    found, _, _ = await read_with(tmp_path, content, look)

    assert found.equals(table.select(["c3"]).slice(200_000, 100_000))


async def test_a_viewer_reads_one_tile_of_a_pmtiles_file(tmp_path: Path) -> None:
    content = tmp_path / "files" / "map.pmtiles"
    content.parent.mkdir()
    tiles = np.random.default_rng(2)
    with write_pmtiles(str(content)) as writer:
        for place in range(64):
            tile = tiles.bytes(200_000)
            writer.write_tile(zxy_to_tileid(3, place % 8, place // 8), tile)
        writer.finalize({"tile_type": TileType.PNG, "tile_compression": Compression.NONE,
                         "min_lon_e7": 0, "min_lat_e7": 0, "max_lon_e7": 1, "max_lat_e7": 1,
                         "center_lon_e7": 0, "center_lat_e7": 0, "center_zoom": 3}, {})  # fmt: skip
    with content.open("rb") as file:
        whole = Reader(lambda start, count: read_at(file, start, count)).get(3, 5, 2)

    def look(remote: Remote) -> bytes:
        return bytes(Reader(remote.part).get(3, 5, 2))

    found, _, _ = await read_with(tmp_path, content, look)

    assert found == whole
    assert len(found) == 200_000


GDAL = """
import json, sys, pyogrio
pyogrio.set_gdal_config_options({"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"})
print(json.dumps(list(pyogrio.raw.read(sys.argv[1], bbox=tuple(json.loads(sys.argv[2])))[3][0])))
"""


def read_at(file: Any, start: int, count: int) -> bytes:
    file.seek(start)
    return bytes(file.read(count))


async def test_gdal_reads_a_window_of_a_flatgeobuf_file_by_vsicurl(tmp_path: Path) -> None:
    content = tmp_path / "files" / "towns.fgb"
    content.parent.mkdir()
    side = 300
    places = shapely.points(*np.meshgrid(np.arange(side) / 10, np.arange(side) / 10)).ravel()
    names = np.array([f"town {place} " + "x" * 100 for place in range(len(places))], dtype=object)
    pyogrio.raw.write(
        content, shapely.to_wkb(places), [names], fields=["name"],
        geometry_type="Point", crs="EPSG:4326", driver="FlatGeobuf",
    )  # fmt: skip
    box = (10.05, 10.05, 10.35, 10.35)
    expected = pyogrio.raw.read(content, bbox=box)[3][0]
    async with served(tmp_path / "home", content) as gateway:
        command = [sys.executable, "-c", GDAL, f"/vsicurl/{gateway.url}", json.dumps(box)]
        # A process of its own: GDAL holds the interpreter's lock while it waits for an answer.
        done = await trio.run_process(command, capture_stdout=True)
        assert gateway.mirror.served_bytes < len(gateway.content) / 2

    assert sorted(json.loads(done.stdout)) == sorted(expected)
    assert len(expected) == 9
