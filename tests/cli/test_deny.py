"""What an operator denies, and how he is told that a catalogue may be out of date."""

import json
import shutil
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest
import trio

from meshnode.cli.standing import notes, overdue_line
from meshnode.control import Control, Message
from meshnode.core.identifiers import Digest, catalogue_text, object_text, parse_object, sha256
from tests.cli.command_line import CommandLine
from tests.cli.test_bad_input import assert_refused, town, write_items
from tests.core.ceremonies import Ceremony, Signers, Version

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SECONDS_MAX = 60.0


@pytest.fixture(scope="module")
def towns_home(made_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`towns` with two segments: dawson in one, mayo in the other."""
    maker = CommandLine(tmp_path_factory.mktemp("towns"))
    shutil.copytree(made_home, maker.home)
    for name in ("dawson", "mayo"):
        write_items(maker.folder / "items.ndjson", town(name))
        assert maker.call("publish", "items.ndjson").status == 0
    return maker.home


@pytest.fixture
def towns(newcomer: CommandLine, towns_home: Path) -> CommandLine:
    shutil.copytree(towns_home, newcomer.home)
    return newcomer


@pytest.fixture
def reader(towns: CommandLine, tmp_path: Path) -> CommandLine:
    """Somebody who will follow `towns` from its publisher, once both run."""
    (tmp_path / "reader").mkdir()
    reader = CommandLine(tmp_path / "reader")
    reader.call("init", "--listen", "/ip4/127.0.0.1/tcp/0")
    for who in (reader, towns):
        who.call("config", "set", "payload.listen", "127.0.0.1:0")
        who.call("config", "set", "http.listen", "127.0.0.1:0")
        who.call("config", "set", "payload.allow_local_addresses", "true")
    return reader


@pytest.fixture
def both_run(towns: CommandLine, reader: CommandLine) -> Iterator[None]:
    """Both peers run and are connected; the reader follows `towns`."""
    with towns.running_peer():
        status = towns.call("status", "--json").json
        reader.call("config", "set", "network.seeds", status["addresses"][0])
        with reader.running_peer():
            assert reader.call("follow", status["catalogues"][0]["id"]).status == 0
            yield


def until(who: CommandLine, is_reached: Callable[[Control, Message], Awaitable[bool]]) -> None:
    """Wait for the status that comes with each change, until something is reached."""

    async def wait() -> None:
        control = Control(who.home / "control.sock")
        with trio.fail_after(SECONDS_MAX):
            async with aclosing(control.follow("watch")) as changes:
                async for change in changes:
                    if await is_reached(control, change["event"]):
                        return

    trio.run(wait)


def until_shown(who: CommandLine, *names: str) -> None:
    """Wait until a search finds exactly these items."""

    async def is_shown(control: Control, _: Message) -> bool:
        return await found_by(control) == sorted(names)

    until(who, is_shown)


async def has_payload(_: Control, status: Message) -> bool:
    return (status["catalogues"][0]["payloads"], status["backlog"]) == (1, 0)


async def found_by(control: Control) -> list[str]:
    """Return the ids of all items that a search finds."""
    async with aclosing(control.follow("search")) as messages:
        pages = [message.get("event", {}).get("found", ()) async for message in messages]
    return sorted(each["id"] for page in pages for each in page)


def shown(who: CommandLine) -> list[str]:
    return sorted(each["id"] for each in who.call("search", "--json").json["features"])


def segment_of(who: CommandLine, item: str) -> str:
    evidence = who.call("explain", catalogue(who), "towns", item, "--json").json["evidence"]
    return str(evidence["segment"])


def catalogue(who: CommandLine) -> str:
    return str(who.call("catalogue", "list", "--json").json[0]["id"])


def test_a_running_peer_obeys_at_once_and_serves_nothing_that_is_denied(
    towns: CommandLine, reader: CommandLine, both_run: None
) -> None:
    until_shown(reader, "dawson", "mayo")
    segment = segment_of(towns, "dawson")
    path = reader.home / "objects" / parse_object(segment).hex()[:2] / parse_object(segment).hex()
    assert path.exists()
    assert towns.call("deny", "add", segment).out == "1 rule added\n"
    until_shown(towns, "mayo")
    assert reader.call("deny", "add", segment, "--erase").status == 0
    until_shown(reader, "mayo")
    assert not path.exists()
    assert reader.call("deny", "remove", segment).status == 0
    # Nobody has it who would give it: the publisher denies it too.
    assert reader.call("status", "--json").json["backlog"] == 1
    assert shown(reader) == ["mayo"]
    assert towns.call("deny", "remove", segment).status == 0
    until_shown(towns, "dawson", "mayo")
    until_shown(reader, "dawson", "mayo")
    assert path.exists()


def test_a_denied_payload_is_not_downloaded_and_served_again_when_it_is_allowed(
    towns: CommandLine, reader: CommandLine, both_run: None
) -> None:
    (towns.folder / "data.bin").write_bytes(bytes(range(256)) * 1000)
    assets = {"data": {"href": "https://data.example.org/data.bin"}}
    write_items(towns.folder / "asset.ndjson", town("asset", assets=assets))
    assert towns.call("publish", "asset.ndjson").status == 0
    add = ("payload", "add", "data.bin", "--collection", "towns", "--bind", "asset:data", "--json")
    added = towns.call(*add)
    assert added.status == 0, added.err
    key = object_text(Digest(bytes.fromhex(added.json["payload"])))
    until(reader, has_payload)
    (reader.folder / "files").mkdir()
    assert reader.call("deny", "add", key).status == 0
    said = reader.call("get", "asset", "--to", "files")
    assert_refused(
        said, f"the payload {key} is on this peer's deny list", f"meshnode deny check {key}"
    )
    assert reader.call("deny", "remove", key).status == 0
    for change in ("add", "remove"):
        assert towns.call("deny", change, key).status == 0
    got = reader.call("get", "asset", "--to", "files")
    assert got.status == 0, got.err
    assert [path.read_bytes() for path in (reader.folder / "files").rglob("*.bin")] == [
        (towns.folder / "data.bin").read_bytes()
    ]


def test_a_denied_item_is_in_no_search_and_no_export_until_it_is_allowed(
    towns: CommandLine,
) -> None:
    assert towns.call("deny", "add", "towns/towns/dawson", "--reason", "court 12").status == 0
    assert shown(towns) == ["mayo"]
    assert towns.call("search", "--count").out == "1\n"
    towns.call("export", "--to", "all.ndjson")
    lines = (towns.folder / "all.ndjson").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["mayo"]
    listed = towns.call("deny", "list").out
    assert listed == (f"own: 1 rule\n  /ipfs/{catalogue(towns)}/towns/dawson reason=court%2012\n")
    assert towns.call("deny", "check", "towns/towns/dawson").out == "denied by own\n"
    assert towns.call("deny", "check", "towns/towns/mayo").out == "not denied\n"
    assert towns.call("deny", "remove", "towns/towns/dawson").out == "1 rule removed\n"
    assert shown(towns) == ["dawson", "mayo"]
    assert towns.call("deny", "list").out == "nothing is denied\n"


def test_a_denied_catalogue_is_not_followed_and_comes_back(towns: CommandLine) -> None:
    name = catalogue(towns)
    assert towns.call("deny", "add", name).status == 0
    assert shown(towns) == []
    assert f"denied: {name} (meshnode deny list)\n" in towns.call("status").out
    refused = towns.call("follow", name)
    assert refused.err == "error: this catalogue is on this peer's deny list\n"
    assert towns.call("deny", "check", "towns/towns/mayo").out == "denied by own\n"
    assert towns.call("deny", "remove", name).status == 0
    assert shown(towns) == ["dawson", "mayo"]


def test_a_list_of_others_is_obeyed_and_says_which_lines_it_skipped(towns: CommandLine) -> None:
    dawson, mayo = (segment_of(towns, name) for name in ("dawson", "mayo"))
    hashed = sha256(f"{mayo}/".encode()).hex()
    rules = ("version: 1", "name: others", "---", f"/ipfs/{dawson}", f"//{hashed}", "/ipns/a.org")
    (towns.folder / "others.deny").write_text("\n".join(rules))
    said = towns.call("deny", "import", "others.deny")
    assert said.out == "list others: 2 rules, 1 skipped\n"
    assert said.err == "skipped line 6: /ipns/a.org: this mesh has no IPNS names\n"
    assert shown(towns) == []
    assert towns.call("deny", "check", mayo).out == "denied by others\n"
    assert towns.call("deny", "add", f"!{dawson}").status == 0
    assert shown(towns) == ["dawson"]
    assert towns.call("deny", "list").out.splitlines() == [
        "others: 2 rules, 1 lines skipped", "own: 1 rule", f"  !/ipfs/{dawson}"
    ]  # fmt: skip
    assert towns.call("deny", "remove", "--list", "others").out == "list others removed\n"
    assert shown(towns) == ["dawson", "mayo"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("add", "nonsense"), "'nonsense' cannot be denied: 'nonsense' is no CID of a SHA-256"),
        (("add", "/ipns/x"), "'/ipns/x' cannot be denied: this mesh has no IPNS names"),
        (("remove", object_text(sha256(b""))), "the own list has no rule for /ipfs/"),
        (("remove",), "name rules of the own list, or a list"),
        (("remove", "--list", "none"), "there is no list 'none'"),
        (("import", "missing"), "cannot read missing: No such file or directory"),
        (("import", "junk"), "junk is not UTF-8 text: "),
        (("import", "later"), "a deny list of version 2; 1 is known"),
        (("import", "later", "--name", "own"), "a list cannot be called 'own'"),
    ],
)
def test_what_cannot_be_denied_is_said_and_changes_nothing(
    publisher: CommandLine, arguments: tuple[str, ...], message: str
) -> None:
    (publisher.folder / "junk").write_bytes(b"\xff")
    (publisher.folder / "later").write_text("version: 2\n---\n")
    said = publisher.call("deny", *arguments)
    assert said.err.startswith(f"error: {message}")
    assert (said.status, said.out) == (1, "")
    assert publisher.call("deny", "list").out == "nothing is denied\n"


# --- Out of date ----------------------------------------------------------------------------------
def test_a_stale_catalogue_and_forked_roots_are_shown(newcomer: CommandLine) -> None:
    """The root of the ceremony was to be renewed in 2023."""
    newcomer.call("init", "--listen", "/ip4/127.0.0.1/tcp/0")
    ceremony = Ceremony(Signers(("alice",)))
    follow(newcomer, ceremony, ceremony.first)
    assert "Ville d'Exemple: stale since 2023-11-14 (meshnode status)\n" in (
        newcomer.call("search").err
    )
    assert "stale Ville d'Exemple: since 2023-11-14: " in newcomer.call("status").out
    assert "  stale since 2023-11-14: " in newcomer.call("catalogue", "list").out
    for title in ("A", "B"):
        follow(newcomer, ceremony, ceremony.first.then(by=["alice"], meta={"title": title}))
    said = newcomer.call("search", "--count", "--json").json
    assert [len(each["rivals"]) for each in said["overdue"]] == [2]
    assert said["overdue"][0]["freshness"] == ["stale"]
    fork = "root 2 was signed 2 times, differently: none of them counts"
    assert f"FORK Ville d'Exemple: {fork}" in newcomer.call("status").out
    assert f"  FORK {fork}" in newcomer.call("catalogue", "list").out


def test_nothing_is_said_of_a_catalogue_that_is_current(towns: CommandLine) -> None:
    said = towns.call("search")
    assert said.err == ""
    assert (towns.call("search", "--json").json["overdue"]) == []
    assert towns.call("search", "--json").json["to_index"] == 0


def test_a_writer_who_is_overdue_is_said_to_be_silent_or_this_peer_to_be_cut_off() -> None:
    frozen = {
        "id": "bafyrei",
        "title": "Towns",
        "frozen_since": 1_700_000_000,
        "rivals": [],
        "excess_segments": 0,
        "conflicts": [],
        "domain": {"name": "towns.example", "binding": "seen"},
    }
    [(label, text)] = notes(frozen | {"stale_since": None})
    assert label == "possibly frozen"
    assert text.startswith("since 2023-11-14: a writer meant to sign by then; either he did not")
    both = frozen | {"stale_since": 1_600_000_000}
    line = "Towns: stale since 2020-09-13, possibly frozen since 2023-11-14 (meshnode status)"
    assert overdue_line([both]) == line
    assert overdue_line([both, both]).startswith("2 catalogues may be out of date:")
    denied = both | {"domain": {"name": "towns.example", "binding": "contradicted"}}
    assert "are contradicted by their domain" in overdue_line([both, denied])


def follow(who: CommandLine, ceremony: Ceremony, version: Version) -> None:
    (who.folder / "root.cbor").write_bytes(version.raw)
    said = who.call("follow", catalogue_text(ceremony.catalogue), "--root", "root.cbor")
    assert said.status == 0, said.err
