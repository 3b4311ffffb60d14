"""Sources kept in sync over ten nights: what is published is the source, and little is sent."""

from __future__ import annotations

import json
import random
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from benchmarks.environments import STAC_FASTAPI
from meshnode.runtime.segments.json_text import written
from tests.cli.command_line import CommandLine
from tests.e2e.environments import python_with, server
from tests.runtime.stac_samples import item
from tests.runtime.test_sources import COLLECTION
from tests.runtime.web import Answer, StacApi, serving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

APP = Path(__file__).parents[2] / "benchmarks/stac_fastapi_app.py"
PAGE_ITEMS_MAX = "64"  # fewer than are asked for
NIGHTS = 10
ITEMS = 200
SIZE_RATIO_MAX = 2.0  # of segments to the JSON of the items in them
Items = dict[str, dict[str, Any]]


def large(id_: str, number: int) -> dict[str, Any]:
    """Return an item of about 2 kB, as real ones are."""
    value = item(id_, west=-150 + number % 280, south=-60 + number % 120)
    for band in range(12):
        href = f"https://data.example.org/{id_}/{number:05}/B{band:02}.tif"
        value["assets"][f"B{band:02}"] = {"href": href, "type": "image/tiff", "title": f"B {band}"}
    return value


def night(items: Items, rng: random.Random, number: int) -> None:
    """Change some items, take some away, add some."""
    for id_ in rng.sample(sorted(items), 8):
        items[id_] = large(id_, rng.randrange(100_000))
    for id_ in rng.sample(sorted(items), 5):
        del items[id_]
    for n in range(6):
        items[f"night-{number}-{n}"] = large(f"night-{number}-{n}", n)


@dataclass
class Folder:
    """A static catalogue on disk, written anew each night."""

    root: Path
    source: str = field(init=False)

    def __post_init__(self) -> None:
        self.source = str(self.root)

    def write(self, items: Items) -> set[bytes]:
        """Make the source hold these items; return what shall be published."""
        towns = self.root / "towns"
        towns.mkdir(parents=True, exist_ok=True)
        for old in towns.glob("*.json"):
            old.unlink()
        child = {"rel": "child", "href": "towns/collection.json"}
        (self.root / "catalog.json").write_text(json.dumps({"type": "Catalog", "links": [child]}))
        links = [{"rel": "item", "href": f"{id_}.json"} for id_ in items]
        (towns / "collection.json").write_text(json.dumps(COLLECTION | {"links": links}))
        for id_, value in items.items():
            (towns / f"{id_}.json").write_text(json.dumps(value))
        return {json.dumps(value).encode() for value in items.values()}


@dataclass
class Api:
    """An API on loopback, whose items change while it runs."""

    api: StacApi
    source: str

    def write(self, items: Items) -> set[bytes]:
        self.api.items = dict(items)
        return {written(value) for value in items.values()}


@contextmanager
def a_folder(tmp_path: Path) -> Iterator[Folder]:
    yield Folder(tmp_path / "stac")


@contextmanager
def an_api(tmp_path: Path) -> Iterator[Api]:
    del tmp_path
    api = StacApi(collections={"towns": COLLECTION}, page_max=64, method="POST")
    with serving(api) as url:
        yield Api(api, url)


@dataclass
class StacFastapi:
    """stac-fastapi in a process of its own, over files that it reads when they change."""

    folder: Path
    source: str

    def write(self, items: Items) -> set[bytes]:
        self._put("items.json", [items[id_] for id_ in sorted(items)])
        self._put("collections.json", [COLLECTION])
        return {written(value) for value in items.values()}

    def _put(self, name: str, value: object) -> None:
        part = self.folder / f"{name}.part"
        part.write_text(json.dumps(value))
        part.rename(self.folder / name)


@contextmanager
def a_stac_fastapi(tmp_path: Path) -> Iterator[StacFastapi]:
    python = python_with("uvicorn", STAC_FASTAPI, tmp_path / "environment")
    folder = tmp_path / "api"
    with (
        server(python, APP, folder, PAGE_ITEMS_MAX) as port,
        socket.create_connection(("127.0.0.1", port), timeout=60),
    ):
        yield StacFastapi(folder, f"http://127.0.0.1:{port}/")


@pytest.fixture
def publisher(tmp_path: Path) -> CommandLine:
    person = CommandLine(tmp_path)
    assert person.run("init", "--listen", "/ip4/127.0.0.1/tcp/0").status == 0
    create = ("catalogue", "create", "towns", "--title", "Towns", "--no-passphrase")
    assert person.run(*create).status == 0
    return person


def published(person: CommandLine) -> set[bytes]:
    assert person.run("export", "--to", "out.ndjson", "--force").status == 0
    return set((person.folder / "out.ndjson").read_bytes().splitlines())


@pytest.mark.parametrize("kept", [a_folder, an_api, a_stac_fastapi])
def test_ten_nights_of_changes_leave_exactly_the_source(
    tmp_path: Path, publisher: CommandLine, kept: Callable[[Path], Any]
) -> None:
    rng = random.Random(7)
    items = {f"t{n:03}": large(f"t{n:03}", n) for n in range(ITEMS)}
    with kept(tmp_path) as source:
        source.write(items)
        assert publisher.run("sync", source.source).status == 0
        for number in range(NIGHTS):
            night(items, rng, number)
            expected = source.write(items)
            done = publisher.run("sync", source.source, "--prune", "--json").json
            assert published(publisher) == expected
            assert done["withdrawn_count"] <= 5
            assert 6 <= done["items"] <= 14
            assert done["size_bytes"] <= SIZE_RATIO_MAX * done["items_bytes"]


def test_a_run_that_is_killed_between_two_pages_leaves_nothing_and_is_repeated(
    publisher: CommandLine,
) -> None:
    class Killing(StacApi):
        def route(self, method: str, path: str, query: dict[str, str], body: Any) -> Answer:
            if query.get("token") == "8" and process.poll() is None:
                process.send_signal(signal.SIGKILL)
                process.wait()
            return super().route(method, path, query, body)

    items = {f"t{n:02}": item(f"t{n:02}") for n in range(20)}
    api = Killing(items=items, collections={"towns": COLLECTION})
    with serving(api) as url:
        with publisher.start("sync", url) as process:
            process.wait()
        assert process.returncode == -signal.SIGKILL
        assert publisher.run("search", "--count").out == "0\n"
        assert publisher.run("sync", url).status == 0
        assert published(publisher) == {written(value) for value in items.values()}
