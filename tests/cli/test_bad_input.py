"""Bad input: one message that says what, where and what to do; exit not 0; nothing half-written."""

import json
import resource
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command_line import MESHNODE, SECONDS_MAX, CommandLine, Said, tree

pytestmark = pytest.mark.slow

KINDS = "give STAC items as NDJSON, one JSON Item, an ItemCollection, or STAC-GeoParquet"


def town(item_id: str, **changes: Any) -> dict[str, Any]:
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": item_id,
        "collection": "towns",
        "geometry": {"type": "Point", "coordinates": [-75, 45]},
        "bbox": [-75, 45, -75, 45],
        "properties": {"datetime": "2021-06-01T12:00:00Z"},
        "links": [{"rel": "collection", "href": "./collection.json"}],
        "assets": {},
    } | changes


def write_items(path: Path, *items: Any) -> None:
    texts = (item if isinstance(item, str) else json.dumps(item) for item in items)
    path.write_text("".join(f"{text}\n" for text in texts))


def assert_refused(said: Said, message: str, hint: str, *, status: int = 1) -> None:
    assert said.err == f"error: {message}\nnext:  {hint}\n"
    assert (said.status, said.out) == (status, "")


@pytest.mark.parametrize(
    ("name", "content", "problem", "hint"),
    [
        ("notes.txt", b"hello\n", "is neither JSON objects nor Parquet", KINDS),
        ("items.zip", b"PK\x03\x04rest", "is a zip archive, not STAC items", "unpack it first"),
        (
            "items.json.gz",
            b"\x1f\x8brest",
            "is gzip, not STAC items",
            "decompress it first: gunzip FILE",
        ),
        ("empty.ndjson", b"", "holds no items", KINDS),
        ("bom.json", b"\xef\xbb\xbf{}", "begins with a byte order mark", "save it as plain UTF-8"),
    ],
)
def test_a_file_of_another_kind_is_named_and_nothing_is_published(
    publisher: CommandLine, name: str, content: bytes, problem: str, hint: str
) -> None:
    (publisher.folder / name).write_bytes(content)
    assert_refused(publisher.run("publish", name), f"{name} {problem}", hint)
    assert publisher.run("search", "--count").out == "0\n"


def test_a_file_that_does_not_exist_is_named(publisher: CommandLine) -> None:
    assert_refused(
        publisher.run("publish", "nowhere.ndjson"),
        "cannot read nowhere.ndjson: No such file or directory",
        "check the path and its permissions",
    )


def test_geoparquet_that_is_not_stac_is_refused_with_its_columns(
    publisher: CommandLine, shared: Path
) -> None:
    (path,) = sorted((shared / "data/d4c").glob("*.parquet"))
    assert_refused(
        publisher.run("publish", str(path)),
        f"{path} is GeoParquet, but not STAC-GeoParquet: it has no column id, geometry, links,"
        " assets, datetime",
        "make items of its rows: meshnode sync FILE --mapping …; its columns are name, mrsid_url,"
        " ecw_url, geom, geo_point_2d",
    )


def test_every_refused_item_is_named_and_nothing_is_published(publisher: CommandLine) -> None:
    no_time = town("timeless", properties={})
    twice = '{"type": "Feature", "id": "a", "id": "b"}'
    write_items(
        publisher.folder / "mixed.ndjson",
        town("good"), town("nowhere", geometry=None), no_time, twice, "{",
    )  # fmt: skip
    said = publisher.run("publish", "mixed.ndjson")
    assert said.status == 1
    assert said.err.splitlines() == [
        "refused mixed.ndjson line 2 nowhere: it has no geometry; a catalogue of places cannot"
        " show it",
        "refused mixed.ndjson line 3 timeless: it needs a datetime, or both start_datetime and"
        " end_datetime",
        "refused mixed.ndjson line 4: the key 'id' is given twice in one object",
        "refused mixed.ndjson line 5: not valid JSON: EOF while parsing an object at line 1"
        " column 1",
        "note collection towns has no document: give --collection-json",
        "error: 4 items are refused, so nothing is published",
        "next:  mend them, or publish the others with --skip-invalid",
    ]
    assert publisher.run("search", "--count").out == "0\n"


def test_skip_invalid_publishes_the_good_items_of_a_mixed_file(publisher: CommandLine) -> None:
    write_items(publisher.folder / "mixed.ndjson", town("good"), "{", town("nowhere", bbox=None))
    said = publisher.run("publish", "mixed.ndjson", "--skip-invalid", "--json")
    assert said.status == 0
    assert (said.json["items"], said.json["refused_count"]) == (1, 2)
    assert publisher.run("search", "--json").json["features"][0]["id"] == "good"


def test_a_file_without_one_good_item_is_an_error_even_with_skip_invalid(
    publisher: CommandLine,
) -> None:
    write_items(publisher.folder / "bad.ndjson", town("nowhere", geometry=None))
    said = publisher.run("publish", "bad.ndjson", "--skip-invalid")
    assert said.err.splitlines()[1:] == [
        "error: 1 item is refused and no other is there",
        "next:  mend them",
    ]
    assert said.status == 1


def test_with_json_errors_are_json_on_standard_error(newcomer: CommandLine) -> None:
    said = newcomer.run("status", "--json")
    assert json.loads(said.err) == {
        "error": {
            "message": f"{newcomer.home} is not a meshnode data directory",
            "hint": f"meshnode init --home {newcomer.home}",
            "kind": "StorageError",
        }
    }
    assert (said.status, said.out) == (1, "")


def test_an_exposed_key_is_told(publisher: CommandLine) -> None:
    write_items(publisher.folder / "one.ndjson", town("one"))
    key = publisher.home / "keys/towns/writer.key"
    key.chmod(0o644)
    assert_refused(
        publisher.run("publish", "one.ndjson"),
        f"others can read the private key {key} (mode 644)",
        f"chmod 600 {key}",
    )


def test_a_key_that_the_root_does_not_name_cannot_publish(publisher: CommandLine) -> None:
    assert (
        publisher.run("catalogue", "create", "other", "--title", "Other", "--no-passphrase").status
        == 0
    )
    keys = publisher.home / "keys"
    (keys / "towns/writer.key").write_bytes((keys / "other/writer.key").read_bytes())
    write_items(publisher.folder / "one.ndjson", town("one"))
    said = publisher.run("publish", "one.ndjson", "--catalogue", "towns")
    assert said.err.startswith("error: the key at hand is not a writer of this catalogue's root\n")
    assert (said.status, said.out) == (1, "")


def test_a_foreign_directory_is_left_as_it_is(newcomer: CommandLine) -> None:
    newcomer.home.mkdir()
    (newcomer.home / "thesis.odt").write_text("mine")
    before = tree(newcomer.home)
    assert_refused(
        newcomer.run("init"),
        f"{newcomer.home} is not a meshnode data directory: it holds thesis.odt",
        "name an empty or a new directory with --home",
    )
    assert tree(newcomer.home) == before


@pytest.mark.parametrize("command", ["run", "status", "init"])
def test_a_directory_of_a_newer_format_is_refused_and_left_as_it_is(
    publisher: CommandLine, command: str
) -> None:
    (publisher.home / "format").write_text("meshnode data directory, format 2\n")
    before = tree(publisher.home)
    assert_refused(
        publisher.run(command),
        f"{publisher.home} has format 2; this version knows formats up to 1",
        "install a newer meshnode",
    )
    assert tree(publisher.home) == before


def test_a_second_peer_on_a_data_directory_is_told_who_has_it(publisher: CommandLine) -> None:
    with publisher.running_peer() as process:
        said = publisher.run("run")
    assert_refused(
        said,
        f"{publisher.home} is in use by another meshnode process (process {process.pid})",
        "stop it first, or name another directory with --home",
    )


@pytest.mark.parametrize(
    ("setting", "value"),
    [("network.listen", "/ip4/127.0.0.1/tcp/{}"), ("payload.listen", "127.0.0.1:{}")],
)
def test_a_busy_port_is_one_sentence_with_the_setting_to_change(
    publisher: CommandLine, setting: str, value: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert publisher.run("config", "set", setting, value.format(port)).status == 0
        said = publisher.run("run")
    errors = [line for line in said.err.splitlines() if line.startswith(("error:", "next:"))]
    assert str(port) in errors[0]
    assert setting.partition(".")[2] in errors[1]
    assert "Traceback" not in said.err
    assert said.status == 1


def test_a_full_disk_is_told_and_nothing_is_half_published(publisher: CommandLine) -> None:
    write_items(publisher.folder / "many.ndjson", *(town(f"t{n}", note="x" * n) for n in range(99)))
    full = subprocess.run(
        [*MESHNODE, "publish", "many.ndjson"],
        cwd=publisher.folder,
        env=publisher.environment,
        preexec_fn=_may_write_no_large_file,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    assert full.returncode == 1
    assert full.stderr.splitlines()[-1 - ("next:" in full.stderr)].startswith("error: cannot")
    assert "Traceback" not in full.stderr
    assert publisher.run("search", "--count").out == "0\n"
    assert publisher.run("publish", "many.ndjson").status == 0
    assert publisher.run("search", "--count").out == "99\n"


def _may_write_no_large_file() -> None:
    """Refuse to grow any file beyond 8 KiB, with an error as a full disk gives one."""
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8 << 10, 8 << 10))


def test_a_directory_that_cannot_be_made_is_named(newcomer: CommandLine) -> None:
    newcomer.home.write_text("a file is in the way")
    said = newcomer.run("init", "--home", f"{newcomer.home}/peer")
    assert said.err.splitlines() == [
        f"error: cannot use {newcomer.home}/peer: Not a directory",
        "next:  check the disk and the path",
    ]
    assert said.status == 1


def test_a_payload_that_no_running_peer_would_serve_is_not_signed(publisher: CommandLine) -> None:
    (publisher.folder / "one.csv").write_text("a,b")
    before = tree(publisher.home)
    assert_refused(
        publisher.run("payload", "add", "one.csv", "--collection", "towns"),
        f"no peer runs on {publisher.home}",
        f"meshnode run --home {publisher.home}",
    )
    assert tree(publisher.home) == before


def test_a_payload_of_an_item_or_asset_that_is_not_there_is_not_signed(
    publisher: CommandLine,
) -> None:
    (publisher.folder / "one.csv").write_text("a,b")
    write_items(publisher.folder / "one.ndjson", town("one", assets={"map": {"href": "./m.tif"}}))
    assert publisher.run("publish", "one.ndjson").status == 0
    add = ("payload", "add", "one.csv", "--collection", "towns", "--bind")
    with publisher.running_peer():
        before = publisher.run("status", "--json").json["catalogues"]
        assert_refused(
            publisher.run(*add, "other:map"),
            "no item 'other' is published in collection 'towns'",
            "publish the item first, or look up its id with: meshnode search",
        )
        assert_refused(
            publisher.run(*add, "one:data"),
            "item 'one' has no asset 'data'",
            "its assets are: map",
        )
        assert publisher.run("status", "--json").json["catalogues"] == before


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["publsh"], "No such command 'publsh'. Did you mean 'publish'?", "meshnode --help"),
        (["publish"], "Missing argument 'files'.", "meshnode publish --help"),
        (
            ["search", "--limit", "0"],
            "Invalid value for '--limit': Input should be greater than or equal to 1",
            "meshnode search --help",
        ),
        (["search", "--nearby"], "No such option: --nearby", "meshnode search --help"),
    ],
)
def test_a_command_that_is_mistyped_is_one_message_and_a_next_step(
    newcomer: CommandLine, arguments: list[str], message: str, hint: str
) -> None:
    assert_refused(newcomer.run(*arguments), message, hint, status=2)
