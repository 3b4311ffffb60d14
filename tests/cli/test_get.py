"""`get` and its neighbours on the command line: several items, patterns, files without copies."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.cli.command_line import ROOT, CommandLine
from tests.cli.test_bad_input import assert_refused, town, write_items

pytestmark = pytest.mark.slow

NAMES = ("dawson", "mayo", "whitehorse")
ASSET = {"data": {"href": "https://data.example.org/town.tif"}}


def bytes_of(name: str) -> bytes:
    return random.Random(name).randbytes(300_000)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    """A running peer with three items whose files only a mirror has."""
    who = CommandLine(tmp_path_factory.mktemp("get"))
    assert who.call("init", "--listen", "/ip4/127.0.0.1/tcp/0").status == 0
    for setting in ("payload.listen", "http.listen"):
        assert who.call("config", "set", setting, "127.0.0.1:0").status == 0
    who.call("config", "set", "payload.allow_local_addresses", "true")
    create = ("catalogue", "create", "towns", "--title", "Towns", "--no-passphrase")
    assert who.call(*create).status == 0
    write_items(who.folder / "items.ndjson", *(town(name, assets=ASSET) for name in NAMES))
    assert who.call("publish", "items.ndjson").status == 0
    (who.folder / "web").mkdir()
    with mirror(who.folder / "web") as url, who.running_peer():
        for name in NAMES:
            (who.folder / f"web/{name}.tif").write_bytes(bytes_of(name))
            added = who.call(
                *("payload", "add", f"web/{name}.tif", "--collection", "towns", "--json"),
                *("--bind", f"{name}:data", "--mirror", f"{url}{name}.tif"),
            )
            assert added.status == 0, added.err
            assert who.call("payload", "drop", added.json["payload"]).status == 0
        yield who


@contextmanager
def mirror(folder: Path) -> Iterator[str]:
    """Serve a folder from a process of its own; give the URL."""
    command = [sys.executable, "-m", "meshnode.demo.mirror", str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.kill()


@pytest.fixture
def who(made: CommandLine, tmp_path: Path) -> CommandLine:
    """The same person, whose peer has dropped what it fetched, in a new folder."""
    for payload in made.call("payload", "list", "--json").json:
        assert made.call("payload", "drop", payload["key"]).status == 0
    other = CommandLine(tmp_path)
    other.environment["MESHNODE_HOME"] = str(made.home)
    other.home = made.home
    return other


def test_several_items_come_at_once_each_checked(who: CommandLine) -> None:
    said = who.call("get", *NAMES, "--json")
    assert said.status == 0, said.err
    assert len(said.json) == 3
    for name in NAMES:
        assert (who.folder / f"{name}.tif").read_bytes() == bytes_of(name)


def test_a_file_on_the_same_disk_takes_no_second_place(who: CommandLine) -> None:
    (linked,) = who.call("get", "mayo", "--json").json["files"]
    assert linked["handover"] in ("clone", "link")
    (own,) = who.call("get", "mayo", "--copy", "--json").json["files"]
    assert own["handover"] in ("clone", "copy")
    (who.folder / "mayo.tif").write_bytes(b"my own")
    assert Path(own["at"]).read_bytes() == bytes_of("mayo")


def test_a_dropped_payload_leaves_the_users_file_alone(who: CommandLine) -> None:
    (file,) = who.call("get", "mayo", "--json").json["files"]
    payloads = who.call("payload", "list", "--json").json
    (held,) = (each for each in payloads if each["files_held"])
    assert who.call("payload", "drop", held["key"][:10]).out == f"dropped: payload {held['key']}\n"
    assert not Path(file["at"]).exists()
    assert (who.folder / "mayo.tif").read_bytes() == bytes_of("mayo")


def test_only_files_like_a_pattern_are_fetched(who: CommandLine) -> None:
    (file,) = who.call("get", "mayo", "--only", "*.tif", "--json").json["files"]
    assert file["path"] == "mayo.tif"
    assert_refused(
        who.call("get", "mayo", "--only", "*.csv"),
        "of 1 files none is like '*.csv'",
        "its files are mayo.tif, …",
    )


def test_one_that_fails_costs_the_others_nothing(who: CommandLine) -> None:
    said = who.call("get", "mayo", "nome", "dawson")
    assert said.status == 1
    assert said.err.startswith("error: no payload is known for item 'nome'")
    assert [line.split()[0] for line in said.out.splitlines() if "sha256" in line] == [
        "mayo.tif",
        "dawson.tif",
    ]
    assert (who.folder / "dawson.tif").read_bytes() == bytes_of("dawson")


def test_the_url_of_an_item_is_read_in_place(who: CommandLine) -> None:
    url = who.call("payload", "url", "dawson", "--asset", "data").out.strip()
    answer = httpx.get(url, headers={"range": "bytes=100-199"}, timeout=60)
    assert (answer.status_code, answer.content) == (206, bytes_of("dawson")[100:200])
    key = url.split("/")[4]
    assert who.call("payload", "url", f"payload:{key[:12]}").out.strip() == url
    status = who.call("status").out
    assert f"  {url.partition('/payload/')[0]} (payloads, read in place)\n" in status
    assert " kept in all, no quota, " in status


def test_a_url_of_an_asset_is_asked_of_an_item(who: CommandLine) -> None:
    assert_refused(
        who.call("payload", "url", "payload:12345678", "--asset", "data"),
        "--asset is one of an item's",
        "name the item, not its payload",
    )


def test_the_mirrors_that_gave_something_are_shown(who: CommandLine) -> None:
    assert who.call("get", "mayo").status == 0
    (mayo,) = (each for each in who.call("mirrors", "--json").json if "mayo" in each["url"])
    assert mayo["sent_bytes"] >= len(bytes_of("mayo"))
    assert mayo["failures"] == 0
    (line,) = (each for each in who.call("mirrors").out.splitlines() if "mayo" in each)
    assert line.rstrip().endswith("good")
