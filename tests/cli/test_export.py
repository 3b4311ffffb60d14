"""`export`: what is written is whole, valid, and the same items again; nothing is overwritten."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import geopandas
import pyarrow.parquet as pq
import pytest
from stac_pydantic import Catalog, Collection, Item

from meshnode.core import receipts
from meshnode.core.identifiers import Digest, parse_catalogue, parse_object
from meshnode.core.receipts import Receipt
from meshnode.errors import UsageError
from meshnode.runtime.exports import static_stac
from meshnode.runtime.exports.destination import replacing
from tests.cli.command_line import ROOT, CommandLine, tree
from tests.cli.test_bad_input import assert_refused, write_items
from tests.cli.yukon import TOWNS, town_of

pytestmark = pytest.mark.slow

KINDS: dict[str, Any] = {"Catalog": Catalog, "Collection": Collection, "Feature": Item}


# --- NDJSON and GeoParquet ------------------------------------------------------------------------
def test_ndjson_has_the_published_bytes_of_what_matches(reader: CommandLine, yukon: Path) -> None:
    published = (yukon / "towns.ndjson").read_bytes().splitlines()

    said = reader.call("export", "--to", "all.ndjson", "--json")
    assert said.json == {"items": 3, "to": "all.ndjson", "format": "ndjson"}
    assert sorted((reader.folder / "all.ndjson").read_bytes().splitlines()) == sorted(published)

    said = reader.call("export", "--to", "-", "--id", "mayo")
    assert said.out.encode().splitlines() == [line for line in published if b'"id": "mayo"' in line]


def test_one_collection_is_one_geoparquet_file(reader: CommandLine) -> None:
    said = reader.call("export", "--format", "geoparquet", "--to", "towns.parquet", "--json").json

    [collection] = said["collections"]
    assert (collection["collection"], collection["files"]) == ("towns", ["towns.parquet"])
    path = reader.folder / "towns.parquet"
    metadata = json.loads(pq.read_metadata(path).metadata[b"stac-geoparquet"])
    assert (metadata["version"], metadata["collections"]["towns"]["title"]) == ("1.1.0", "Towns")
    assert sorted(geopandas.read_parquet(path)["id"]) == sorted(TOWNS)
    assert reader.call("verify", "towns.parquet").status == 0


def test_several_collections_are_a_folder_that_duckdb_reads_at_once(reader: CommandLine) -> None:
    camp = town_of("mayo") | {"id": "camp", "collection": "camps"}
    write_items(reader.folder / "camps.ndjson", camp)
    assert reader.call("publish", "camps.ndjson", "--offline").status == 0

    assert_refused(
        reader.call("export", "--format", "geoparquet", "--to", "all.parquet"),
        "a GeoParquet file holds one collection of one catalogue, here are 2",
        "name it with --collection and --catalogue, or a folder with --to",
    )
    assert not (reader.folder / "all.parquet").exists()

    said = reader.call("export", "--format", "geoparquet", "--to", "all", "--json").json
    assert [(each["collection"], each["files"]) for each in said["collections"]] == [
        ("camps", ["1.parquet"]),
        ("towns", ["2.parquet"]),
    ]
    rows = duckdb.connect().execute(
        f"SELECT collection, count(*) FROM read_parquet('{reader.folder}/all/*.parquet',"
        " union_by_name=true) GROUP BY 1 ORDER BY 1"
    )
    assert rows.fetchall() == [("camps", 1), ("towns", 3)]


@pytest.mark.parametrize(
    ("name", "options"),
    [("towns.ndjson", []), ("towns.parquet", ["--format", "geoparquet"])],
)
def test_what_was_exported_and_synced_elsewhere_is_the_same_items(
    name: str, options: list[str], reader: CommandLine, tmp_path: Path
) -> None:
    assert reader.call("export", "--to", name, *options).status == 0
    (tmp_path / "other").mkdir()
    other = CommandLine(tmp_path / "other")
    assert other.call("init", "--listen", "/ip4/127.0.0.1/tcp/0").status == 0
    create = ("catalogue", "create", "copies", "--title", "Copies", "--no-passphrase")
    assert other.call(*create).status == 0

    assert other.call("sync", str(reader.folder / name)).status == 0

    lines = [person.call("export", "--to", "-").out.splitlines() for person in (reader, other)]
    assert sorted(lines[0]) == sorted(lines[1])
    assert len(lines[0]) == len(TOWNS)


# --- A static STAC catalogue ----------------------------------------------------------------------
def test_a_static_catalogue_is_valid_and_its_links_lead_somewhere(
    reader: CommandLine, yukon: Path
) -> None:
    said = reader.call("export", "--format", "stac", "--to", "stac", "--json").json
    assert (said["items"], said["to"], said["format"]) == (3, "stac", "stac")

    found = dict(walked(reader.folder / "stac/catalog.json"))

    items = {each["id"]: each for each in found.values() if each["type"] == "Feature"}
    assert sorted(items) == sorted(TOWNS)
    kinds = [each["type"] for each in found.values()]
    assert (kinds.count("Catalog"), kinds.count("Collection")) == (2, 1)
    for published in map(json.loads, (yukon / "towns.ndjson").read_text().splitlines()):
        exported = items[published["id"]]
        assert {**exported, "links": 0} == {**published, "links": 0}


def test_an_item_names_its_bytes_and_the_proof_of_its_segment(
    reader: CommandLine, yukon: Path
) -> None:
    assert reader.call("export", "--format", "stac", "--to", "stac").status == 0
    [published] = [
        line for line in (yukon / "towns.ndjson").read_bytes().splitlines() if b"mayo" in line
    ]
    [(path, item)] = [
        (path, each)
        for path, each in walked(reader.folder / "stac/catalog.json")
        if each["id"] == "mayo"
    ]
    [link] = [link for link in item["links"] if link["rel"] == static_stac.PROOF]
    proof = json.loads((path.parent / link["href"]).read_text())

    assert link["meshnode:sha256"] == hashlib.sha256(published).hexdigest()
    segment = parse_object(link["meshnode:segment"])
    assert link["meshnode:segment"] == proof["segment"]
    held = reader.home / "objects" / segment.hex()[:2] / segment.hex()
    assert published.decode() in pq.read_table(held, columns=["item"])["item"].to_pylist()
    steps = receipts.examine(receipt(reader, segment, proof))
    assert [step.fault for step in steps] == [""] * 5


def test_a_large_collection_is_written_in_pages(
    reader: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(static_stac, "PAGE_ITEMS", 2)
    assert reader.call("export", "--format", "stac", "--to", "stac").status == 0

    found = [each for _, each in walked(reader.folder / "stac/catalog.json")]

    pages = [each for each in found if each["id"].startswith("towns-")]
    assert [page["title"] for page in pages] == [
        "Towns, page 1: 2020-06-01 to 2021-06-01",
        "Towns, page 2: 2019-06-01 to 2019-06-01",
    ]
    assert sum(each["type"] == "Feature" for each in found) == 3


# --- Whole or not at all --------------------------------------------------------------------------
def test_nothing_is_overwritten_unless_force_says_so(reader: CommandLine) -> None:
    again = "--force writes it anew; or name another place with --to"
    for name, options in (
        ("a.ndjson", []),
        ("a.parquet", ["--format", "geoparquet"]),
        ("folder", ["--format", "geoparquet"]),
        ("stac", ["--format", "stac"]),
    ):
        assert reader.call("export", "--to", name, *options).status == 0
        before = contents(reader.folder / name)
        path = reader.folder / name
        said = reader.call("export", "--to", name, "--id", "mayo", *options)
        assert_refused(said, f"{path} is there already", again)
        assert contents(path) == before
        assert reader.call("export", "--to", name, "--id", "mayo", "--force", *options).status == 0
        assert contents(path) != before
    assert [path.name for path in reader.folder.iterdir() if path.name.startswith(".")] == []


def test_a_folder_that_is_no_export_is_never_replaced(reader: CommandLine) -> None:
    (reader.folder / "thesis").mkdir()
    (reader.folder / "thesis/chapter1.tex").write_text("years of work")

    said = reader.call("export", "--format", "stac", "--to", "thesis", "--force")

    assert_refused(
        said,
        f"{reader.folder}/thesis holds something else than an export",
        "name a new folder",
    )
    assert tree(reader.folder / "thesis") == {"chapter1.tex": b"years of work"}


def test_what_does_not_match_leaves_no_folder(reader: CommandLine) -> None:
    said = reader.call("export", "--format", "stac", "--to", "none", "--id", "elsa")
    assert (said.status, said.err) == (1, "error: no items match: nothing is written\n")
    assert_refused(
        reader.call("export", "--format", "stac", "--to", "-"),
        "stac cannot be written to a stream",
        "name a place with --to",
    )
    assert {path.name for path in reader.folder.iterdir()} == {"me"}


@pytest.mark.parametrize("is_folder", [True, False])
def test_an_interrupted_export_leaves_what_was_there(tmp_path: Path, is_folder: bool) -> None:
    to = tmp_path / "out"
    with replacing(to, is_folder=is_folder, force=False) as made:
        (made / "export.json" if is_folder else made / "out").write_text("first")
    before = tree(tmp_path)

    def interrupted() -> None:
        with replacing(to, is_folder=is_folder, force=True) as made:
            (made / "half").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert tree(tmp_path) == before
    assert len(list(tmp_path.iterdir())) == 1


def test_the_next_export_clears_away_what_a_killed_one_left(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, signal\n"
        "from meshnode.runtime.exports.destination import replacing\n"
        "with replacing(pathlib.Path('out'), is_folder=True, force=False) as made:\n"
        "    (made / 'half').write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert [path.name for path in tmp_path.iterdir()] != []

    with replacing(tmp_path / "out", is_folder=True, force=False) as made:
        (made / "export.json").write_text("{}")

    assert tree(tmp_path) == {"out/export.json": b"{}"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_former_export_is_put_back_if_the_rename_was_cut_off(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    former = tmp_path / f".out.{int(ended.stdout)}.old"
    former.mkdir()
    (former / "export.json").write_text("{}")

    with (
        pytest.raises(UsageError, match="there already"),
        replacing(tmp_path / "out", is_folder=True, force=False),
    ):
        raise AssertionError("it is refused before")

    assert tree(tmp_path) == {"out/export.json": b"{}"}


def test_further_parts_of_a_larger_export_go(tmp_path: Path) -> None:
    for name in ("a.parquet", "a.2.parquet", "a.b.parquet"):
        (tmp_path / name).write_text("old")

    with replacing(tmp_path / "a.parquet", is_folder=False, force=True) as made:
        (made / "a.parquet").write_text("new")

    assert tree(tmp_path) == {"a.b.parquet": b"old", "a.parquet": b"new"}


# --- Helpers --------------------------------------------------------------------------------------
def walked(path: Path, above: tuple[Path, ...] = ()) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield every document below one with its path; each is valid, and its links lead somewhere."""
    said = json.loads(path.read_text())
    KINDS[said["type"]].model_validate(said)
    for link in said["links"]:
        if "://" not in link["href"]:
            assert (path.parent / link["href"]).is_file(), link
        if link["rel"] == "root":
            assert (path.parent / link["href"]).resolve() == (above or (path.resolve(),))[0]
        if link["rel"] == "parent":
            assert (path.parent / link["href"]).resolve() == above[-1]
    yield path, said
    for link in said["links"]:
        if link["rel"] in ("child", "item"):
            yield from walked(path.parent / link["href"], (*above, path.resolve()))


def receipt(reader: CommandLine, segment: Digest, proof: dict[str, Any]) -> Receipt:
    [catalogue] = reader.call("catalogue", "list", "--json").json
    return Receipt(
        catalogue=parse_catalogue(catalogue["id"]),
        collection="towns",
        segment=segment,
        entry=bytes.fromhex(proof["entry"]),
        index=proof["index"],
        proof=tuple(Digest(bytes.fromhex(node)) for node in proof["proof"]),
        head=bytes.fromhex(proof["head"]),
        roots=tuple(map(bytes.fromhex, proof["roots"])),
    )


def contents(path: Path) -> dict[str, bytes]:
    return tree(path) if path.is_dir() else {path.name: path.read_bytes()}
