"""Targets of what a maintainer's commands read of data files: names, headers, tables, manifests."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from meshnode.errors import UsageError
from meshnode.runtime.maintainer.blueprints.description import read_description
from meshnode.runtime.maintainer.blueprints.statement import read_statement, written_statement
from meshnode.runtime.maintainer.inventories.footprints import FootprintError, footprint
from meshnode.runtime.maintainer.inventories.mapping import read_mapping
from meshnode.runtime.maintainer.inventories.names import parse_name
from meshnode.runtime.maintainer.inventories.rows import read_table
from tests.fuzz.target import Target
from tests.runtime.data_files import (
    write_flatgeobuf,
    write_geoparquet,
    write_geotiff,
    write_pmtiles,
)
from tests.runtime.repositories import BUILD

_NAMES: Final = (
    b"ca-ab_city-of-edmonton-2023A00054811061_d4c-datapkg-orthoimagery_2023_075mm_v1.2.0.tif",
    b"ca_versatiles_satellite_2025-08-10.pmtiles",
)
_MAPPING: Final = b"""\
collection = "towns"
base = "https://data.example.org/"
[item]
geometry = "geom"
datetime = "2022"
[assets.data]
href = "{url}"
"""
_TABLE: Final = b"url,size\nhttps://data.example.org/a.tif,12\n"
_DIGEST: Final = b'{"sha256": "00"}'
_MANIFEST: Final = (
    b'{"_type": "https://in-toto.io/Statement/v1", "subject": [{"name": "a", "digest": %b}],'
    b' "predicateType": "https://slsa.dev/provenance/v1", "predicate": {"buildDefinition": {'
    b'"buildType": "urn:x", "externalParameters": {"a": [1, 2.5]}, "resolvedDependencies":'
    b' [{"uri": "https://example.org/", "digest": %b}]},'
    b' "runDetails": {"builder": {"id": "urn:y"}}}}' % (_DIGEST, _DIGEST)
)


class File:
    """One file that is written for every case, as readers by a path want it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "case"

    def take_table(self, raw: bytes) -> None:
        self.path.write_bytes(raw)
        for row in read_table(self.path).rows:
            assert row.values

    def take_mapping(self, raw: bytes) -> None:
        self.path.write_bytes(raw)
        read_mapping(self.path)

    def take_description(self, raw: bytes) -> None:
        self.path.write_bytes(raw)
        read_description(self.path)

    def take_manifest(self, raw: bytes) -> None:
        """What is read is written as a manifest that is read the same."""
        self.path.write_bytes(raw)
        read = read_statement(self.path)
        self.path.write_bytes(written_statement(read))
        assert read_statement(self.path).outputs == read.outputs


def take_name(raw: bytes) -> None:
    """The parts of a name stand in it, in their order."""
    name = raw.decode(errors="replace")
    place = 0
    for part in parse_name(name).parts().values():
        place = name.index(part, place) + len(part)


def take_header(raw: bytes) -> None:
    west, south, east, north = footprint(io.BytesIO(raw))
    assert -180 <= west <= 180
    assert -180 <= east <= 180
    assert -90 <= south <= north <= 90


def targets(held: ExitStack) -> list[Target]:
    folder = Path(held.enter_context(tempfile.TemporaryDirectory()))
    file = File(folder)
    writers: list[Callable[[Path], Path]] = [
        write_flatgeobuf, write_geoparquet, write_geotiff, write_pmtiles
    ]  # fmt: skip
    headers = tuple(write(folder / f"{n}.fgb").read_bytes() for n, write in enumerate(writers))
    tables = (_TABLE, headers[1])
    return [
        Target("file-name", None, _NAMES, take_name, _USAGE),
        Target("footprint", None, headers, take_header, (FootprintError,)),
        Target("table", None, tables, file.take_table, _USAGE),
        Target("mapping", None, (_MAPPING,), file.take_mapping, _USAGE),
        Target("build-description", None, (BUILD.encode(),), file.take_description, _USAGE),
        Target("manifest", "json", (_MANIFEST,), file.take_manifest, _USAGE),
    ]


_USAGE: Final = (UsageError,)
