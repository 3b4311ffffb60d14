"""A catalogue without any P2P: published, put on a web server, followed over HTTPS alone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command_line import CommandLine
from tests.cli.test_bad_input import town, write_items
from tests.runtime.certificates import made_authority
from tests.runtime.web import Folder, serving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

LISTENING, TCP, UDP = "0A", ("tcp", "tcp6"), ("udp", "udp6")


@pytest.fixture
def towns(publisher: CommandLine) -> CommandLine:
    """An institution whose catalogue `towns` is in its folder `www`."""
    publish(publisher, "dawson")
    return publisher


@pytest.fixture
def web(towns: CommandLine) -> Iterator[tuple[Folder, Path]]:
    """The folder behind a web server, with the certificate that a reader has to trust."""
    authority = made_authority(towns.folder / "authority")
    folder = Folder(root=towns.folder / "www")
    with serving(folder, authority.tls):
        yield folder, authority.file


@pytest.fixture
def reader(tmp_path: Path, web: tuple[Folder, Path]) -> CommandLine:
    """Somebody who follows the mirror, and does not run yet."""
    (tmp_path / "reader").mkdir()
    reader = CommandLine(tmp_path / "reader")
    reader.environment["SSL_CERT_FILE"] = str(web[1])
    reader.call("init")
    reader.call("config", "set", "static_mirrors.allow_local_addresses", "true")
    reader.call("config", "set", "static_mirrors.poll_seconds", "15")
    reader.call("config", "set", "payload.allow_local_addresses", "true")
    reader.call("config", "set", "http.listen", "off")  # for this machine alone; nothing to peers
    followed = reader.call("follow", web[0].url, "--yes")
    assert followed.status == 0, followed.err
    return reader


def publish(institution: CommandLine, *names: str) -> None:
    write_items(institution.folder / "items.ndjson", *map(town, names))
    for command in (("publish", "items.ndjson"), ("static", "export", "www")):
        done = institution.call(*command)
        assert done.status == 0, done.err


def found_by(person: CommandLine) -> dict[str, Any]:
    found: dict[str, Any] = person.call("search", "--json").json
    return found


@contextmanager
def running(reader: CommandLine) -> Iterator[int]:
    """Run the reader's peer over HTTPS alone; give its process id."""
    with reader.running_peer(options=["--https-only"]) as process:
        yield process.pid


def until(reader: CommandLine, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Ask for the status until it is as wanted; a test has a deadline."""
    while not holds(status := reader.call("status", "--json").json):
        pass
    return dict(status)


def has_items(number: int) -> Callable[[dict[str, Any]], bool]:
    return lambda status: [each["items"] for each in status["catalogues"]] == [number]


def sockets_of(pid: int, tables: tuple[str, ...]) -> list[str]:
    """Return the states of the IP sockets that a process has open."""
    folder = Path(f"/proc/{pid}/fd")
    held = set()
    for name in os.listdir(folder):
        try:
            held.add(os.readlink(folder / name))
        except OSError:
            continue  # closed in this moment
    rows = [line.split() for table in tables for line in _rows(pid, table)]
    return [row[3] for row in rows if f"socket:[{row[9]}]" in held]


def _rows(pid: int, table: str) -> list[str]:
    path = Path(f"/proc/{pid}/net/{table}")
    return path.read_text().splitlines()[1:] if path.exists() else []


def test_a_reader_finds_what_was_published_and_what_is_published_next(
    towns: CommandLine, reader: CommandLine
) -> None:
    with running(reader):
        until(reader, has_items(1))
        assert found_by(reader) == found_by(towns)
        publish(towns, "mayo", "faro")
        status = until(reader, has_items(3))
        assert found_by(reader) == found_by(towns)
        shown = reader.call("status").out
        assert f"mirror {status['mirrors'][0]['url']}\n  read 20" in shown
    [mirror] = status["mirrors"]
    assert (mirror["connected"], mirror["problem"], mirror["faults"]) == (True, "", 0)


def test_a_peer_over_https_alone_opens_no_port_to_peers(
    towns: CommandLine, reader: CommandLine
) -> None:
    with towns.running_peer() as process:  # so that the test would see one
        assert LISTENING in sockets_of(process.pid, TCP)
    with running(reader) as pid:
        until(reader, has_items(1))
        assert LISTENING not in sockets_of(pid, TCP)
        assert sockets_of(pid, UDP) == []


def segments_in(www: Path) -> list[Path]:
    return [path for path in www.glob("objects/*/*") if path.read_bytes().startswith(b"PAR1")]


def test_a_changed_file_is_refused_by_the_name_of_the_check(
    towns: CommandLine, reader: CommandLine, web: tuple[Folder, Path]
) -> None:
    before = segments_in(web[0].root)
    publish(towns, "mayo")
    [segment] = [path for path in segments_in(web[0].root) if path not in before]
    whole = segment.read_bytes()
    segment.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
    with running(reader):
        until(reader, has_items(1))
        status = until(reader, lambda status: status["mirrors"][0]["faults"] >= 1)
        blamed = reader.call("peers", "--json").json["blames"]
        assert {(each["check"], each["peer"]) for each in blamed} == {
            ("content hash", status["mirrors"][0]["url"])
        }
        assert [each["id"] for each in found_by(reader)["features"]] == ["dawson"]
    segment.write_bytes(whole)
    with running(reader):  # nothing that was held is lost, and the rest comes
        until(reader, has_items(2))


def test_a_mirror_that_is_unfollowed_is_not_asked_any_more(
    reader: CommandLine, web: tuple[Folder, Path]
) -> None:
    with running(reader):
        until(reader, has_items(1))
        assert reader.call("unfollow", web[0].url).status == 0
        assert until(reader, lambda status: not status["mirrors"])["catalogues"]
    assert reader.call("unfollow", web[0].url).status == 1


def test_without_a_person_to_confirm_nothing_is_followed(
    tmp_path: Path, reader: CommandLine, web: tuple[Folder, Path]
) -> None:
    said = reader.call("follow", web[0].url)
    assert said.status == 1
    assert "compare the ids, then add --yes, or --only ID" in said.err
    assert "bafyrei" in said.out
    other = "bafyreigh2akiscaildc3mqbqmvtqsdxkq2a7pyb4tjlmmuiwjzrobmqk3u"
    assert "does not have" in reader.call("follow", web[0].url, "--only", other).err


def test_a_payload_comes_from_its_http_mirror_alone(
    towns: CommandLine, reader: CommandLine
) -> None:
    files = Folder(root=towns.folder / "files")
    files.root.mkdir()
    data = b"name,people\n" + b"dawson,2270\n" * 5000
    (files.root / "dawson.csv").write_bytes(data)
    write_items(
        towns.folder / "items.ndjson",
        town("dawson", assets={"data": {"href": "https://data.example.org/dawson.csv"}}),
    )
    assert towns.call("publish", "items.ndjson").status == 0
    with serving(files):
        with towns.running_peer():
            added = towns.call(
                *("payload", "add", "files/dawson.csv", "--collection", "towns"),
                *("--bind", "dawson:data", "--mirror", f"{files.url}/"),
            )
            assert added.status == 0, added.err
            assert towns.call("static", "export", "www").status == 0
        with running(reader) as pid:
            until(reader, lambda s: s["catalogues"][0]["payloads"] == 1 and not s["backlog"])
            (reader.folder / "got").mkdir()
            got = reader.call("get", "dawson", "--to", "got")
            assert got.status == 0, got.err
            assert LISTENING not in sockets_of(pid, TCP)
    assert (reader.folder / "got/dawson.csv").read_bytes() == data


def test_a_second_machine_learns_from_the_mirror_before_it_signs(
    towns: CommandLine, reader: CommandLine, web: tuple[Folder, Path]
) -> None:
    """L-36: a copy of an institution's folder that signed without asking would make a fork."""
    (towns.folder / "second").mkdir()
    second = CommandLine(towns.folder / "second")
    shutil.copytree(towns.home, second.home)
    second.environment["SSL_CERT_FILE"] = str(web[1])
    publish(towns, "mayo")
    second.call("config", "set", "static_mirrors.allow_local_addresses", "true")
    second.call("config", "set", "static_mirrors.urls", f"{web[0].url}/")
    with running(second):
        write_items(second.folder / "items.ndjson", town("faro"))
        said = second.call("publish", "items.ndjson")
        assert "the log has heads 2 to 2, which were not signed in this data directory" in said.err
        said = second.call("publish", "items.ndjson", "--restored")
        assert said.status == 0, said.err
        until(second, has_items(3))
        [log] = second.call("status", "--json").json["catalogues"][0]["logs"]
    assert (log["seq"], log["branches"], log["disputed"]) == (3, 1, False)
