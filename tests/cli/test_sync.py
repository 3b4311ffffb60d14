"""`sync`, `replace`, `withdraw`, `mirror` and `risk`: what a person sees, and what is refused."""

import json
import os
from pathlib import Path

import pytest

from tests.cli.command_line import CommandLine
from tests.cli.test_bad_input import assert_refused, town, write_items

pytestmark = [pytest.mark.slow, pytest.mark.timeout(280)]

NAMES = [f"t{n}" for n in range(10)]


@pytest.fixture
def towns(publisher: CommandLine) -> CommandLine:
    """Somebody whose ten towns are published."""
    write_items(publisher.folder / "towns.ndjson", *map(town, NAMES))
    said = publisher.run("sync", "towns.ndjson", "--json")
    assert said.json["published"], said
    return publisher


def exported(person: CommandLine) -> list[str]:
    return sorted(person.run("export", "--to", "-").out.splitlines())


def history(person: CommandLine) -> list[str]:
    """Return what was signed, the newest first."""
    said = person.run("log", "towns", "--json")
    assert said.status == 0, said
    return said.out.splitlines()


def lines(path: Path) -> list[str]:
    return sorted(path.read_text().splitlines())


def test_a_source_that_did_not_change_adds_nothing_to_the_log(towns: CommandLine) -> None:
    before = history(towns)
    said = towns.run("sync", "towns.ndjson", "--prune")
    assert said.out.splitlines()[-1] == "nothing changed"
    assert history(towns) == before


def test_a_promise_is_signed_anew_even_if_nothing_changed(towns: CommandLine) -> None:
    before = history(towns)
    assert towns.run("sync", "towns.ndjson", "--next-within", "2", "--dry-run").status == 0
    assert history(towns) == before
    said = towns.run("sync", "towns.ndjson", "--next-within", "2")
    assert said.out.splitlines()[-1] == "nothing changed in towns; signed anew, as promised"
    assert history(towns)[1:] == before
    shown = towns.run("log", "towns", "--limit", "1").out.splitlines()
    assert shown[1].startswith("    promises the next head by ")


def test_a_dry_run_shows_the_difference_and_signs_nothing(towns: CommandLine) -> None:
    changed = town("t1", properties={"datetime": "2022-01-01T00:00:00Z"})
    write_items(towns.folder / "next.ndjson", changed, *map(town, [*NAMES[2:], "new"]))
    before = exported(towns)
    said = towns.run("sync", "next.ndjson", "--prune", "--dry-run")
    assert [line.rstrip() for line in said.out.splitlines()[:3]] == [
        "collection  new  changed  gone  same",
        "towns       1    1        1     8",
        "withdraw towns/t0",
    ]
    assert said.out.splitlines()[3].startswith("not published: 2 entries would be signed in towns")
    assert exported(towns) == before
    assert towns.run("sync", "next.ndjson", "--prune").status == 0
    assert exported(towns) == lines(towns.folder / "next.ndjson")


def test_a_source_that_lost_many_items_withdraws_none_by_itself(towns: CommandLine) -> None:
    write_items(towns.folder / "few.ndjson", *map(town, NAMES[:7]))
    assert_refused(
        towns.run("sync", "few.ndjson", "--prune"),
        "3 of 10 published items of towns are gone from the source: more than 20% would be "
        "withdrawn",
        "look at the source; --dry-run shows which; --yes withdraws them",
    )
    kept = towns.run("sync", "few.ndjson")
    assert "3 items are gone from the source: --prune withdraws" in kept.err
    assert exported(towns) == lines(towns.folder / "towns.ndjson")
    assert towns.run("sync", "few.ndjson", "--prune", "--yes").status == 0
    assert exported(towns) == lines(towns.folder / "few.ndjson")


def test_an_item_that_comes_back_as_it_was_is_published_again(towns: CommandLine) -> None:
    assert towns.run("withdraw", "towns", *NAMES, "--reason", "error").status == 0
    assert exported(towns) == []
    assert towns.run("sync", "towns.ndjson").status == 0
    assert exported(towns) == lines(towns.folder / "towns.ndjson")


def test_a_version_that_is_published_again_is_shown_again(publisher: CommandLine) -> None:
    moments = {"old": "2021-01-01T00:00:00Z", "new": "2022-01-01T00:00:00Z"}
    for name, moment in moments.items():
        write_items(publisher.folder / f"{name}.ndjson", town("a", properties={"datetime": moment}))
    for name in ("old", "new", "old"):
        assert publisher.run("publish", f"{name}.ndjson").status == 0
        assert exported(publisher) == lines(publisher.folder / f"{name}.ndjson")


def test_publishing_the_same_items_again_signs_nothing(towns: CommandLine) -> None:
    before = towns.run("log", "--json").out
    said = towns.run("publish", "towns.ndjson")
    assert said.out == "nothing is new: all of it is published already\n"
    assert towns.run("log", "--json").out == before
    write_items(towns.folder / "more.ndjson", *map(town, [*NAMES, "new"]))
    said = towns.run("publish", "more.ndjson", "--json")
    assert (said.json["items"], said.json["same"]) == (1, 10)
    assert exported(towns) == lines(towns.folder / "more.ndjson")


def test_a_running_peer_takes_the_difference_and_shows_it(towns: CommandLine) -> None:
    write_items(towns.folder / "next.ndjson", *map(town, [*NAMES[1:], "new"]))
    with towns.running_peer():
        assert towns.run("sync", "next.ndjson", "--prune").status == 0
        assert exported(towns) == lines(towns.folder / "next.ndjson")
        said = towns.run("sync", "next.ndjson", "--prune", "--json")
    assert (said.json["same"], said.json["entries"]) == (10, 0)


def test_a_refused_item_stops_the_run_and_stands_in_the_report(towns: CommandLine) -> None:
    broken = town("t0", geometry={"type": "Point", "coordinates": [0, 99]})
    doubtful = town("t1", bbox=[-75.5, 45, -75.4, 45.1])
    write_items(towns.folder / "bad.ndjson", broken, town("new"), doubtful)
    said = towns.run("sync", "bad.ndjson", "--report", "report.ndjson")
    assert said.status == 1
    assert "so nothing is published" in said.err
    report = [json.loads(line) for line in lines(towns.folder / "report.ndjson")]
    assert {(each["id"], each["severity"]) for each in report} == {
        ("t0", "refuse"),
        ("t1", "refuse"),
    }
    assert exported(towns) == lines(towns.folder / "towns.ndjson")


def test_publish_reports_and_checks_by_schemas_as_sync_does(publisher: CommandLine) -> None:
    address = "https://schemas.example.org/eo/v1.0.0/schema.json"
    schema = {"properties": {"properties": {"required": ["eo:cloud_cover"]}}}
    path = publisher.folder / "schemas/schemas.example.org/eo/v1.0.0/schema.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(schema))
    broken, unknown = town("t0", stac_extensions=[address]), "https://elsewhere.example.org/x.json"
    write_items(publisher.folder / "t.ndjson", broken, town("t1", stac_extensions=[unknown]))
    command = ("publish", "t.ndjson", "--schemas", "schemas", "--report", "report.ndjson")
    said = publisher.call(*command)
    assert said.status == 1
    assert "note 1 warning: --report FILE names each" in said.err
    first, second = map(json.loads, (publisher.folder / "report.ndjson").read_text().splitlines())
    assert (first["id"], first["severity"]) == ("t0", "refuse")
    assert first["reason"].startswith("properties: ")
    assert (second["id"], second["severity"]) == ("t1", "warn")
    assert second["reason"] == f"there is no schema of its extension {unknown!r}"
    assert publisher.call(*command, "--skip-invalid").status == 0
    assert publisher.call("search", "--count").out == "1\n"


def test_only_published_items_are_replaced(towns: CommandLine) -> None:
    corrected = town("t3", properties={"datetime": "2023-01-01T00:00:00Z"})
    write_items(towns.folder / "corrected.ndjson", corrected)
    write_items(towns.folder / "unknown.ndjson", corrected, town("nowhere"))
    refused = towns.run("replace", "unknown.ndjson")
    assert "unknown.ndjson line 2 nowhere: none is published in towns" in refused.err
    assert refused.status == 1
    dry = towns.run("replace", "corrected.ndjson", "--dry-run")
    assert dry.out.startswith("not published: 1 item would be replaced in towns")
    assert exported(towns) == lines(towns.folder / "towns.ndjson")
    done = towns.run("replace", "corrected.ndjson")
    assert done.out.startswith("replaced in towns: 1 item")
    assert json.dumps(corrected) in exported(towns)
    assert towns.run("replace", "corrected.ndjson").out == (
        "nothing is replaced: the items are published as they are\n"
    )


def test_a_withdrawal_is_shown_before_it_is_signed(towns: CommandLine) -> None:
    said = towns.run("withdraw", "towns", "t1", "t2", "--reason", "error", "--dry-run")
    assert said.out == "not withdrawn: 2 items, error; 1 entry would be signed\n"
    assert len(exported(towns)) == 10
    done = towns.run(
        "withdraw", "towns", "t1", "--reason", "superseded", "--by", "towns/t2", "--json"
    )
    assert done.json["by"] == "towns/t2"
    assert len(exported(towns)) == 9
    assert_refused(
        towns.run("withdraw", "towns", "t1", "--reason", "error"),
        "no item 't1' of 'towns' is shown here",
        "it may be withdrawn: meshnode log CATALOGUE --collection COLLECTION",
    )


def test_mirrors_and_risk_of_a_payload_change_by_signed_entries(towns: CommandLine) -> None:
    (towns.folder / "t.csv").write_text("name\n" * 1000)
    url, other = "https://a.example.org/t.csv", "https://b.example.org/t.csv"
    with towns.running_peer():
        added = towns.run(
            "payload", "add", "t.csv", "--collection", "towns", "--mirror", url, "--json"
        )
        key = added.json["payload"]
        dry = towns.run("mirror", "add", key[:12], other, "--dry-run")
        assert dry.out.startswith("not signed: 1 mirror added")
        assert towns.run("mirror", "add", key[:12], other, "--json").json == {
            "payload": key, "published": True
        }  # fmt: skip
        assert towns.run("mirror", "drop", key, url).status == 0
        assert_refused(
            towns.run("mirror", "drop", key, url),
            f"{url} is no mirror of this payload",
            f"known: {other}",
        )
        assert towns.run("risk", key, "3", "--days", "90").out.startswith("risk 3 until ")
    assert_refused(
        towns.run("risk", "ab", "3"),
        "'ab' is too short for the key of a payload",
        "meshnode payload list says the keys",
    )


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("cron", "sync 'my towns.ndjson' --prune"),
        ("systemd", 'sync "my towns.ndjson" --prune'),
    ],
)
def test_a_timer_runs_this_very_command(publisher: CommandLine, kind: str, line: str) -> None:
    said = publisher.run("sync", "my towns.ndjson", "--timer", kind, "--prune")
    assert f"{line} --home {publisher.home}" in said.out


def test_what_another_program_writes_into_a_pipe_is_a_source(publisher: CommandLine) -> None:
    write_items(publisher.folder / "towns.ndjson", town("a"), town("b"))
    os.mkfifo(publisher.folder / "pipe")
    again = "meshnode sync - --json < towns.ndjson"
    said = publisher.shell(f"cat towns.ndjson > pipe & meshnode sync pipe && {again}")
    assert json.loads(said.out[said.out.index("{") :])["same"] == 2
    assert exported(publisher) == lines(publisher.folder / "towns.ndjson")


def test_bytes_are_not_erased_because_a_source_lost_them(publisher: CommandLine) -> None:
    assert_refused(
        publisher.run("sync", "towns.ndjson", "--prune", "--reason", "privacy"),
        "what is gone from a source is not withdrawn for privacy",
        "name the items: meshnode withdraw COLLECTION ITEM --reason …",
    )


def test_a_source_that_is_not_there_is_named(publisher: CommandLine) -> None:
    assert_refused(
        publisher.run("sync", "nowhere"),
        "cannot read nowhere: No such file or directory",
        "check the path and its permissions",
    )
