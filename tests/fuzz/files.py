"""Targets of what is read from files: items, segments, torrents, settings, journals, queries."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack, closing
from functools import cache
from pathlib import Path
from typing import Any

import msgpack
import pyarrow as pa
import pyarrow.parquet as pq

from meshnode import config
from meshnode.errors import ConfigError, PeerError, StorageError, UsageError
from meshnode.runtime.home import Home
from meshnode.runtime.index.query import Query
from meshnode.runtime.index.sorting import NEWEST_FIRST
from meshnode.runtime.index.times import parse_interval
from meshnode.runtime.index.tokens import read_token, write_token
from meshnode.runtime.payloads.creation import PayloadFiles, describe
from meshnode.runtime.payloads.torrent_check import open_torrent
from meshnode.runtime.segments.items import ItemText, read_items
from meshnode.runtime.segments.json_text import JsonTextError, parse_object, parse_strict
from meshnode.runtime.segments.projection import project
from meshnode.runtime.segments.validation import check_item, is_refused
from simulations import scenario
from tests.fuzz.target import Target
from tests.runtime.homes import publisher_of
from tests.runtime.stac_samples import COLLECTION, METADATA, TOWNS, item, pair, ref_of, segment

FEW = TOWNS[:4]
WORKER = [sys.executable, "-m", "meshnode.runtime.segments.worker"]
Answer = list[Any]


class Worker:
    """The limited process that checks segments, asked one file after the other."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "segment"
        self._made = segment(self._path, FEW)
        self.segment = self._path.read_bytes()
        self.table = pq.read_table(self._path).replace_schema_metadata(None)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def first_item(self) -> bytes:
        return str(self.table["item"][0].as_py()).encode()

    def take(self, raw: bytes) -> None:
        """Check a file of these bytes. A worker that a signal ends is contained, and no bug.

        Raises:
            PeerError: the segment is refused, or its check was ended by a limit.
        """
        self._path.write_bytes(raw)
        answer = self._ask(len(raw))
        if answer is None:
            assert self._process is not None
            self._process.communicate()
            status, self._process = self._process.returncode, None
            assert status < 0, f"the worker ended with status {status}, not by a signal"
            raise PeerError("the check ran into its limits")
        if answer[0] == "refused":
            raise PeerError(answer[1])

    def take_items(self, raw: bytes) -> None:
        """Check a segment whose first item is these bytes, with the columns of the sample."""
        try:
            text = raw.decode()
        except UnicodeDecodeError as error:
            raise PeerError("Parquet text is UTF-8") from error
        position = self.table.schema.get_field_index("item")
        texts = [text, *self.table["item"].to_pylist()[1:]]
        field = self.table.schema.field("item")
        table = self.table.set_column(position, field, pa.array(texts, type=field.type))
        sink = pa.BufferOutputStream()
        with pq.ParquetWriter(sink, table.schema, compression="zstd", store_schema=False) as writer:
            writer.write_table(table)
            writer.add_key_value_metadata(METADATA)
        self.take(sink.getvalue().to_pybytes())

    def _ask(self, size_bytes: int) -> Answer | None:
        ref = ref_of(self._made)
        request = {
            "path": str(self._path),
            "collection": ref.collection,
            "size_bytes": size_bytes,
            "rows": ref.rows,
            "format": ref.format,
            "clock": ref.clock,
            "bbox": ref.bbox,
            "span": ref.span,
        }
        if self._process is None:
            self._process = subprocess.Popen(
                WORKER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        body, process = msgpack.packb(request), self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(len(body).to_bytes(4, "big") + body)
        process.stdin.flush()
        while head := process.stdout.read(4):
            answer: Answer = msgpack.unpackb(process.stdout.read(int.from_bytes(head, "big")))
            if answer[0] != "rows":
                return answer
        return None

    def close(self) -> None:
        if self._process is not None:
            self._process.communicate()  # the end of its input is the end of its work


class Journals:
    """A publisher whose journal is whatever lies there."""

    def __init__(self, folder: Path) -> None:
        home = Home(folder / "home")
        home.make()
        self._institution, self._publisher = publisher_of(home)

    def take(self, raw: bytes) -> None:
        self._institution.journal.write_bytes(raw)
        self._publisher._read_journal()


@cache
def payload() -> PayloadFiles:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "set"
        folder.mkdir()
        (folder / "a").write_bytes(b"a" * 70_000)
        (folder / "b").write_bytes(b"b" * 50_000)
        return describe(folder)


def take_items(raw: bytes) -> None:
    """Each item of a file is exactly a part of it, and is checked without an error of ours."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "items"
        path.write_bytes(raw)
        for found in read_items(path):
            if isinstance(found, ItemText):
                assert raw.startswith(b"PAR1") or found.raw in raw
                is_refused(check_item(found.value, COLLECTION))


def take_item(raw: bytes) -> None:
    """What passes the check is an item that can be projected, and so be published."""
    value = parse_object(raw)
    if not is_refused(check_item(value, COLLECTION)):
        project(value, COLLECTION)


def take_json(raw: bytes) -> None:
    assert parse_strict(raw) == json.loads(raw)


def take_torrent(raw: bytes) -> None:
    checked = open_torrent(raw, payload().files)
    assert open_torrent(checked.raw, payload().files).claim == checked.claim


def take_settings(raw: bytes) -> None:
    """What is read is written as settings that are read the same."""
    read = config.parse(raw.decode(errors="replace"), "the case")
    assert config.parse(config.to_toml(read), "again") == read


def take_scenario(raw: bytes) -> None:
    scenario.parse(raw.decode(errors="replace"), "the case")


def take_interval(raw: bytes) -> None:
    Query(interval=parse_interval(raw.decode(errors="replace")))


def take_token(raw: bytes) -> None:
    """What is read is a place that the same order names again."""
    place = read_token(raw.decode(errors="replace"), NEWEST_FIRST, old=False)
    assert read_token(write_token(NEWEST_FIRST, place), NEWEST_FIRST, old=False) == place


def targets(held: ExitStack) -> list[Target]:
    folder = Path(held.enter_context(tempfile.TemporaryDirectory()))
    worker = held.enter_context(closing(Worker(folder)))
    text, _ = pair(item())
    lines = b"\n".join(pair(value)[0] for value in FEW)
    collection = json.dumps({"type": "FeatureCollection", "features": FEW}).encode()
    texts = tuple(pair(value)[0] for value in FEW)
    scenarios = [scenario.load(name).model_dump_json().encode() for name in scenario.library()]
    return [
        Target("items-file", None, (text, lines, collection, worker.segment), take_items, _USAGE),
        Target("items-json", "json", (text, collection), take_items, _USAGE),
        Target("item", "json", texts, take_item, (PeerError,)),
        Target("json", "json", (text, b'{"a": [1, 2.5e3, "\\u003a"]}'), take_json, _JSON),
        Target("segment-file", None, (worker.segment,), worker.take, (PeerError,)),
        Target("segment-items", "json", (worker.first_item,), worker.take_items, (PeerError,)),
        Target("journal", "msgpack", (_JOURNAL,), Journals(folder).take, (StorageError,)),
        Target("torrent", None, (payload().torrent,), take_torrent, (PeerError,)),
        Target(
            "settings", None, (config.to_toml(config.Config()).encode(),), take_settings, _CONFIG
        ),
        Target("scenario", None, tuple(map(_toml_of, scenarios)), take_scenario, _CONFIG),
        Target("interval", None, (b"2021-01-01T00:00:00Z/..",), take_interval, _USAGE),
        Target("page-token", None, (_TOKEN,), take_token, _USAGE),
    ]


def _toml_of(scenario_json: bytes) -> bytes:
    """Write the tables of a scenario as TOML: numbers and plain text are written as in JSON."""
    value = json.loads(scenario_json)
    lines = [f"{key} = {json.dumps(v)}" for key, v in value.items() if _is_plain(v)]
    for name, table in value.items():
        if isinstance(table, dict):
            lines += [f"[{name}]", *(f"{k} = {json.dumps(v)}" for k, v in table.items())]
    return "\n".join(lines).encode()


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | float)


_USAGE = (UsageError,)
_CONFIG = (ConfigError,)
_JSON = (JsonTextError,)
_JOURNAL = msgpack.packb({"heads": ["00"], "first": 0, "entries": ["00"], "staged": []})
_TOKEN = write_token(NEWEST_FIRST, (1, bytes(32), "towns", "one")).encode()
