"""Payloads on the command line: torrents of others, bindings that come later, dry runs."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from meshnode.runtime.payloads.creation import describe
from tests.cli.command_line import CommandLine, tree
from tests.cli.test_bad_input import assert_refused, town, write_items
from tests.cli.test_collections import write
from tests.runtime.test_adoption import torrent, written
from tests.runtime.web import Answer, Web, serving

pytestmark = pytest.mark.slow

ASSET = {"data": {"href": "https://data.example.org/yukon.tif"}}
SEED = "https://data.example.org/yukon.tif"


@pytest.fixture
def towns(publisher: CommandLine) -> CommandLine:
    """A publisher with two items, and a torrent of somebody else."""
    write_items(
        publisher.folder / "items.ndjson", town("dawson", assets=ASSET), town("mayo", assets=ASSET)
    )
    assert publisher.call("publish", "items.ndjson").status == 0
    written(publisher.folder, torrent())
    return publisher


def add(towns: CommandLine, *options: str) -> dict[str, object]:
    said = towns.call(
        "payload", "add", "--torrent", "yukon.torrent", "--collection", "towns", *options, "--json"
    )
    assert said.status == 0, said.err
    return dict(said.json)


def bindings(towns: CommandLine) -> list[list[str]]:
    (payload,) = towns.call("payload", "list", "--json").json
    (file,) = payload["files"]
    return list(file["bindings"])


def test_a_torrent_is_published_without_its_bytes_and_nothing_pretends_otherwise(
    towns: CommandLine,
) -> None:
    command = ("payload", "add", "--torrent", "yukon.torrent", "--collection", "towns")
    said = towns.call(*command, "--web-seeds")
    (payload,) = towns.call("payload", "list", "--json").json
    assert said.out.splitlines() == [
        "published: yukon.torrent (196.6 kB)",
        f"payload {payload['key']}",
    ]
    assert said.err == (
        "note its bytes are not here: they come from mirrors, and from peers that got them\n"
    )
    assert (payload["mirrors"], payload["files_held"]) == ([SEED], 0)
    assert (payload["infohash_v2"], payload["piece_size_bytes"]) == (None, 1 << 16)
    assert towns.call("payload", "list").out.splitlines() == [
        "towns",
        f"  {payload['key']}",
        "    196.6 kB, pieces of 64 KiB; 1 file, 0 of them here",
        "    yukon.tif",
        f"    mirror {SEED}",
    ]


def test_web_servers_in_a_torrent_are_noted_and_taken_only_if_asked(towns: CommandLine) -> None:
    said = towns.call("payload", "add", "--torrent", "yukon.torrent", "--collection", "towns")
    assert said.err.splitlines() == [
        "note nobody is known to have it: name a mirror with --mirror",
        "note the torrent names 1 web server: --web-seeds makes them mirrors",
    ]
    assert add(towns)["is_new"] is False
    assert add(towns, "--web-seeds")["mirrors"] == [SEED]
    assert add(towns, "--web-seeds")["is_new"] is False


def test_bindings_come_and_go_and_move_no_byte_of_items(towns: CommandLine) -> None:
    key = str(add(towns, "--bind", "dawson:data")["payload"])
    before = towns.call("export", "--to", "-").out
    bind = ("payload", "bind", key[:10])
    assert towns.call(*bind, "mayo:data", "--dry-run").out == (
        f"not signed: 1 binding added: payload …{key[-15:]}; 1 entry would be signed\n"
    )
    assert bindings(towns) == [["dawson", "data"]]
    assert towns.call(*bind, "mayo:data").out == f"1 binding added: payload …{key[-15:]}\n"
    assert bindings(towns) == [["dawson", "data"], ["mayo", "data"]]
    assert towns.call(*bind, "mayo:data").out.startswith("known already")
    assert add(towns, "--bind", "mayo:data")["is_new"] is False
    assert towns.call(*bind, "dawson:data", "--drop", "--json").json["bindings"] == 1
    assert bindings(towns) == [["mayo", "data"]]
    (payload,) = towns.call("payload", "list", "--json").json
    assert payload["key"] == key
    assert towns.call("export", "--to", "-").out == before


def test_what_cannot_be_bound_is_named(towns: CommandLine) -> None:
    key = str(add(towns)["payload"])
    bind = ("payload", "bind", key)
    for arguments, message, hint in (
        ((*bind, "nome:data"), "no item 'nome' is published in collection 'towns'",
         "publish the item first, or look up its id with: meshnode search"),
        ((*bind, "mayo:map"), "item 'mayo' has no asset 'map'", "its assets are: data"),
        (("payload", "bind", "0" * 8, "mayo:data"), "no payload begins with '00000000' here",
         "meshnode payload list says the keys"),
        ((*bind, "other.tif=mayo:data"), "no file 'other.tif' is in this payload",
         "its files are yukon.tif, …"),
    ):  # fmt: skip
        assert_refused(towns.call(*arguments), message, hint)
    named = write(towns)
    assert towns.call("collection", "replace", named).status == 0
    by_title = ("payload", "add", "--torrent", "yukon.torrent", "--bind", "mayo:data")
    assert "no item 'mayo'" in towns.call(*by_title, "--collection", "Towns of Yukon").err
    said = towns.call(*bind, "mayo:data", "--drop")
    assert said.err == "error: yukon.tif is not bound to mayo:data\n"


def test_a_dry_run_hashes_and_signs_nothing_also_without_a_running_peer(
    towns: CommandLine,
) -> None:
    folder = towns.folder / "maps"
    folder.mkdir()
    for name in ("a.tif", "b.tif"):
        (folder / name).write_text(name)
    before = tree(towns.home / "keys")
    said = towns.call(
        *("payload", "add", "maps", "--collection", "towns", "--dry-run"),
        *("--bind", "a.tif=dawson:data", "--bind", "maps/b.tif=mayo:data"),
    )
    assert said.out.splitlines() == [
        "not signed: maps (10 B), 2 files, 2 bindings, 0 mirrors",
        "1 entry would be signed",
        f"payload {describe(folder).key.hex()}",
    ]
    assert tree(towns.home / "keys") == before
    assert towns.call("payload", "list").out == "no payload is known here\n"


def test_content_and_torrent_are_one_or_the_other(towns: CommandLine) -> None:
    for given in ((), ("maps", "--torrent", "yukon.torrent")):
        assert_refused(
            towns.call("payload", "add", *given, "--collection", "towns"),
            "a payload is either a file or a folder, or a --torrent FILE",
            "meshnode payload add --help",
        )
    assert_refused(
        towns.call("payload", "add", "maps", "--collection", "towns", "--web-seeds"),
        "--web-seeds are those of a --torrent",
        "name others by --mirror",
    )


def test_nine_real_torrents_become_releases(towns: CommandLine, shared: Path) -> None:
    paths = sorted((shared / "data/torrents").glob("*.torrent"))
    keys = {}
    for path in paths:
        command = ("payload", "add", "--torrent", str(path), "--collection", "towns")
        keys[path.name] = towns.call(*command, "--web-seeds", "--json").json["payload"]
    for number, (name, key) in enumerate(keys.items()):
        made = towns.call(
            *("release", "create", "--collection", "towns", "--payload", key),
            *("--version", name.removesuffix(".pmtiles.torrent"), "--doi", f"10.5072/d4c.{number}"),
        )
        assert made.status == 0, made.err
    found = towns.call("versions", "towns", "--json").json
    assert len(found) == len(paths) == 9
    for release in found:
        (payload,) = release["payloads"]
        assert payload["key"] == keys[f"{release['version']}.pmtiles.torrent"]
        assert (payload["piece_size_bytes"], len(payload["mirrors"])) == (16 << 20, 3)
        assert (payload["files_held"], payload["file_count"]) == (0, 1)


def test_a_repository_is_asked_before_it_is_signed_as_a_mirror(towns: CommandLine) -> None:
    """The record has a file of the torrent's name; then one of another size."""
    size = add(towns, "--dry-run")["size_bytes"]
    rows = [{"key": "yukon.tif", "size": size, "links": {"self": SEED}}]
    web = Listing(rows=rows)
    with serving(web) as url:
        assert add(towns, "--dry-run", "--mirror", f"{url}/records/7")["mirrors"] == [SEED]
        rows[0]["size"] = 1
        said = towns.call(
            "payload", "add", "--torrent", "yukon.torrent", "--collection", "towns",
            "--mirror", f"{url}/records/7",
        )  # fmt: skip
        assert_refused(
            said,
            f"{url}/records/7 does not have yukon.tif, or has it in another size",
            "a mirror has every file of a payload, byte for byte",
        )


@dataclass
class Listing(Web):
    """An InvenioRDM with one record, number 7."""

    rows: list[dict[str, object]] = field(default_factory=list)

    def route(self, method: str, path: str, query: dict[str, str], body: object) -> Answer:
        if path != "/api/records/7":
            return Answer(404)
        return Answer(200, json.dumps({"files": self.rows}).encode())
