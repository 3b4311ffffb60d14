"""How commands speak: JSON alone on standard output, quiet pipes, one word on Ctrl-C, help."""

import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command

from meshnode.cli import NO_READER, app, main
from tests.cli.command_line import CommandLine
from tests.cli.test_bad_input import town, write_items

pytestmark = pytest.mark.slow

WIDTH = 80


@pytest.fixture(scope="module")
def towns(tmp_path_factory: pytest.TempPathFactory, made_home: Path) -> CommandLine:
    """A publisher whose items are published; the tests of this module share it, and read."""
    publisher = CommandLine(tmp_path_factory.mktemp("towns"))
    shutil.copytree(made_home, publisher.home)
    titled = [
        {"datetime": f"20{n}-06-01T12:00:00Z", "title": f"Town {n}", "license": "OGL-Canada-2.0"}
        for n in range(10, 40)
    ]
    items = (town(f"town-{n}", properties=each) for n, each in enumerate(titled, 10))
    write_items(publisher.folder / "towns.ndjson", *items)
    assert publisher.run("publish", "towns.ndjson").status == 0
    return publisher


def leaves(command: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    children = getattr(command, "commands", None)
    if children is None:
        yield path
        return
    for name, child in children.items():
        yield from leaves(child, (*path, name))


COMMANDS = sorted(leaves(get_command(app)))


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example_that_fits_80_columns(
    command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    monkeypatch.setattr("sys.argv", ["meshnode", *command, "--help"])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert (ended.value.code, said.err) == (0, "")
    assert f"meshnode {' '.join(command)}" in said.out.partition("Example")[2]
    assert "--json" in said.out
    assert max(map(len, said.out.splitlines())) <= WIDTH


@pytest.mark.parametrize(
    "arguments",
    [
        ["version"],
        ["status"],
        ["peers"],
        ["catalogue", "list"],
        ["config", "show"],
        ["config", "check"],
        ["config", "schema"],
        ["config", "set", "log.level", "debug"],
        ["search"],
        ["search", "--count"],
        ["search", "--facets"],
        ["index", "stats"],
        ["index", "check"],
        ["index", "properties"],
        ["show", "town-12"],
        ["export", "--to", "items.ndjson"],
        ["publish", "towns.ndjson"],
        ["catalogue", "create", "more", "--title", "More", "--no-passphrase"],
        ["follow", "towns"],
        ["init"],
    ],
    ids=" ".join,
)
def test_json_is_all_that_standard_output_holds(towns: CommandLine, arguments: list[str]) -> None:
    said = towns.run(*arguments, "--json")
    assert (said.status, said.err) == (0, "")
    json.loads(said.out)


def test_search_shows_id_date_collection_and_title(towns: CommandLine) -> None:
    said = towns.run("search", "--limit", "2")
    assert said.out.splitlines() == [
        "town-39",
        "  2039-06-01  towns  Town 39",
        "town-38",
        "  2038-06-01  towns  Town 38",
    ]
    assert said.err == "the newest 2; --limit shows more, --count says how many there are\n"


def test_show_prints_the_licence_and_who_signed(towns: CommandLine) -> None:
    lines = towns.run("show", "town-12").out.splitlines()
    assert lines[:4] == [
        "town-12",
        "Town 12",
        "licence     OGL-Canada-2.0",
        "collection  towns",
    ]
    assert lines[6] == "signed by   first writer, clock 2"


def test_show_raw_gives_back_the_published_bytes(towns: CommandLine) -> None:
    published = (towns.folder / "towns.ndjson").read_text().splitlines()[0]
    assert towns.run("show", "town-10", "--raw").out == published


def test_wide_letters_are_published_bytes_in_any_locale(publisher: CommandLine) -> None:
    title = "東京 — Forêt 🗺"
    wide = town("wide", properties={"datetime": "2021-06-01T12:00:00Z", "title": title})
    line = json.dumps(wide, ensure_ascii=False)
    write_items(publisher.folder / "wide.ndjson", line)
    assert publisher.run("publish", "wide.ndjson").status == 0
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}

    assert publisher.run("show", "wide", "--raw", **locale).out == line
    assert publisher.run("search", "--ndjson", **locale).out == line + "\n"
    [found] = publisher.run("search", "--json", **locale).json["features"]
    assert found == wide
    shown = publisher.run("search").out.splitlines()
    assert shown == ["wide", f"  2021-06-01  towns  {title}"]


def test_export_to_standard_output_gives_back_the_published_lines(towns: CommandLine) -> None:
    said = towns.run("export", "--to", "-")
    published = (towns.folder / "towns.ndjson").read_text()
    assert sorted(said.out.splitlines()) == sorted(published.splitlines())
    assert said.err == "30 items written to -\n"


def test_a_title_with_markup_is_printed_as_it_is(publisher: CommandLine) -> None:
    title = "[bold]not[/bold] [red]markup[/] [link=https://example.org]x"
    odd = town("odd", properties={"datetime": "2021-06-01T12:00:00Z", "title": title})
    write_items(publisher.folder / "odd.ndjson", odd)
    assert publisher.run("publish", "odd.ndjson").status == 0
    assert title in publisher.run("search").out
    assert title in publisher.run("show", "odd").out


@pytest.mark.parametrize(
    "command",
    [
        "search --limit 1000",
        "search --json",
        "search --ndjson",
        "search --geojson",
        "show town-12 --raw",
        "changes --since beginning --ndjson",
        "export --to -",
        "config schema",
        "--help",
    ],
)
def test_a_reader_who_goes_away_is_no_error(towns: CommandLine, command: str) -> None:
    said = towns.unread(*command.split())
    assert (said.status, said.err) == (NO_READER, "")


def test_an_interrupted_command_says_one_word_and_ends_with_130(publisher: CommandLine) -> None:
    with publisher.running_peer():
        process = publisher.start("status", "--watch", "--json")
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["online"]
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "interrupted\n")


def test_a_peer_that_runs_answers_in_json_and_stops_when_asked(publisher: CommandLine) -> None:
    (publisher.folder / "map.tif").write_text("a map")
    write_items(publisher.folder / "one.ndjson", town("one", assets={"map": {"href": "./m.tif"}}))
    assert publisher.run("publish", "one.ndjson").status == 0
    add = ("payload", "add", "map.tif", "--collection", "towns", "--bind", "one:map")
    downloads = publisher.folder / "downloads"
    downloads.mkdir()
    with publisher.running_peer() as process:
        status = publisher.run("status", "--json").json
        assert status["online"]
        assert status["addresses"]
        heard = {"messages": 0, "duplicates": 0}
        said = publisher.run("peers", "--json").json
        assert said.pop("inbound")["connections"] == 0
        assert said.pop("reach")["state"] == "unknown"
        empty = ("peers", "blames", "blocked", "broken_words")
        assert said == {"gossip": heard, **{name: [] for name in empty}}
        assert publisher.run(*add, "--json").json["is_new"]
        assert not publisher.run(*add, "--json").json["is_new"]
        (file,) = publisher.run("get", "one", "--to", str(downloads), "--json").json["files"]
        assert Path(file["to"]).read_text() == "a map"
    assert process.returncode == 0
    assert publisher.run("unfollow", "towns", "--json").json["done"] == "unfollow"
    assert not publisher.run("status", "--json").json["online"]


def test_the_completion_script_of_the_shell_is_shown(newcomer: CommandLine) -> None:
    said = newcomer.in_bash("--show-completion")
    assert said.status == 0
    assert "_MESHNODE_COMPLETE=complete_bash" in said.out


def test_completion_names_the_commands(newcomer: CommandLine) -> None:
    said = newcomer.run(
        _MESHNODE_COMPLETE="complete_bash", COMP_WORDS="meshnode pub", COMP_CWORD="1"
    )
    assert said.out.split() == ["publish"]


def test_installing_completion_writes_to_the_home_folder_only(newcomer: CommandLine) -> None:
    said = newcomer.in_bash("--install-completion")
    assert said.status == 0
    assert "meshnode" in (newcomer.folder / ".bashrc").read_text()
