"""All real items that are valid: published on one peer, received by another, exported, compared.

The rule for JSON is byte for byte; for Parquet, the bytes that our stated serialisation makes of a
row (protocol/03-segments.md).
"""

import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from meshnode.demo.processes import MESHNODE, PeerProcess
from meshnode.runtime.segments.items import ItemText, read_items
from tests.e2e.pairs import Pair, publisher_and_reader

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

VALID_ITEMS = 1_669  # of 2,027: STAC 1.0.0 or 1.1.0, valid by the core schema, with a geometry
COLLECTION = "items-without-a-collection"
SYNC_SECONDS_MAX = 300.0


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with publisher_and_reader(tmp_path_factory.mktemp("shared-data")) as pair:
        yield pair


async def test_all_valid_real_items_come_back_byte_for_byte_and_the_rest_are_refused(
    tmp_path: Path, shared: Path, pair: Pair
) -> None:
    lines = [
        json.dumps(json.loads(line)["item"], ensure_ascii=False)
        for line in (shared / "data/stac/items.ndjson").read_text().splitlines()
    ]
    taken: Counter[str] = Counter()
    refused: list[str] = []
    for number, group in enumerate(rounds(lines)):
        path = tmp_path / f"round-{number}.ndjson"
        path.write_text("".join(f"{line}\n" for line in group))
        bare = "collection" not in json.loads(group[0])
        options = ["--collection", COLLECTION] if bare else []
        said = await publish(pair, path, "--catalogue", "pair", *options)
        bad = {each["where"]: each["reason"] for each in said["refused"]}
        refused += bad.values()
        good = [line for n, line in enumerate(group) if place(path, n, group) not in bad]
        assert len(good) == said["items"]
        if good:
            await pair.synchronised(SYNC_SECONDS_MAX)
            taken.update(good)
            exported = await export(pair.reader, tmp_path / f"back-{number}.ndjson")
            assert set(good) <= exported
    assert taken.total() == VALID_ITEMS
    assert len(refused) == len(lines) - VALID_ITEMS
    assert all(refused)


async def test_ten_thousand_rows_of_real_parquet_come_back_by_the_stated_rule(
    tmp_path: Path, shared: Path, pair: Pair
) -> None:
    source = shared / "data/parquet/naip.parquet"
    expected = {item.raw.decode() for item in read_items(source) if isinstance(item, ItemText)}
    assert len(expected) == 10_000
    # A catalogue of its own: the real items of the other test have a collection of this name.
    create = ("catalogue", "create", "rows", "--title", "Rows", "--no-passphrase")
    catalogue = (await pair.publisher.command(*create))["catalogue"]
    await pair.reader.command("follow", catalogue)
    said = await publish(pair, source, "--catalogue", "rows")
    assert (said["items"], said["refused_count"]) == (10_000, 0)
    await replace(pair, catalogue=catalogue).synchronised(SYNC_SECONDS_MAX)
    assert await export(pair.reader, tmp_path / "naip.ndjson", "--catalogue", catalogue) == expected
    back = tmp_path / "naip.parquet"
    await pair.reader.command(
        *("export", "--format", "geoparquet", "--to", str(back)),
        *("--collection", "naip", "--catalogue", catalogue),
    )
    again = {item.raw.decode() for item in read_items(back) if isinstance(item, ItemText)}
    assert again == expected


def rounds(lines: list[str]) -> Iterator[list[str]]:
    """Group lines so that no group repeats an id of a collection, nor mixes those without one."""
    groups: dict[tuple[bool, int], list[str]] = {}
    seen: Counter[tuple[Any, Any]] = Counter()
    for line in lines:
        item = json.loads(line)
        name = (str(item.get("collection")), str(item.get("id")))
        groups.setdefault(("collection" in item, seen[name]), []).append(line)
        seen[name] += 1
    yield from groups.values()


def place(path: Path, number: int, group: list[str]) -> str:
    """Name a line as `publish` does; a file of one line is one item."""
    return f"{path.name} line {number + 1}" if len(group) > 1 else path.name


async def publish(pair: Pair, path: Path, *options: str) -> Any:
    """Publish what is good of a file; one without anything good ends with 1 and says why."""
    command = [*MESHNODE, "publish", str(path), "--skip-invalid", *options, "--json"]
    environment = os.environ | {"MESHNODE_HOME": str(pair.publisher.home)}
    done = await trio.run_process(
        command, env=environment, capture_stdout=True, capture_stderr=True, check=False
    )
    summary = json.loads(done.stdout)
    assert done.returncode == (0 if summary["items"] else 1), done.stderr
    return summary


async def export(peer: PeerProcess, to: Path, *options: str) -> set[str]:
    await peer.command("export", "--to", str(to), *options)
    return set((await trio.Path(to).read_text()).splitlines())
