"""`blueprint`: made, published, fetched, checked; and what a person reads when it does not hold."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.cli.command_line import ROOT, CommandLine, tree
from tests.cli.test_bad_input import assert_refused, town, write_items
from tests.cli.transcripts import Shell, matches, steps
from tests.runtime.repositories import git, write_repository

pytestmark = [pytest.mark.slow, pytest.mark.timeout(280)]

PAGE = ROOT / "docs/blueprints.md"
CREATE = ("blueprint", "create", "code/build.toml", "code/out/towns.parquet")


def test_the_page_shows_what_its_commands_print(newcomer: CommandLine) -> None:
    write_repository(newcomer.folder / "code")
    with Shell(newcomer, in_process=True) as shell:
        for step in steps(PAGE):
            printed = shell.run(step.command)
            assert matches(printed, step.shown), f"$ {step.command}\n{printed}"


@pytest.fixture
def builder(newcomer: CommandLine) -> CommandLine:
    """Somebody who has built something."""
    write_repository(newcomer.folder / "code")
    return newcomer


def test_programs_are_told_all_that_a_release_names(builder: CommandLine) -> None:
    said = builder.call(*CREATE, "--to", "made", "--json").json
    again = builder.call(*CREATE, "--to", "again", "--json").json
    made = tree(builder.folder / "made")
    assert made == tree(builder.folder / "again")
    assert said["files"] == again["files"] == {
        name: {"sha256": hashlib.sha256(raw).hexdigest(), "size_bytes": len(raw)}
        for name, raw in made.items()
    }  # fmt: skip
    assert said["commit"] == f"swh:1:rev:{git(builder.folder / 'code', 'rev-parse', 'HEAD')}"
    assert list(said["outputs"]) == ["towns.parquet"]
    shown = builder.call("blueprint", "show", "made", "--json").json
    assert shown["subject"][0]["digest"]["sha256"] == said["outputs"]["towns.parquet"]


def test_what_cannot_be_a_blueprint_is_told_and_nothing_is_written(builder: CommandLine) -> None:
    (builder.folder / "code/new.py").touch()
    assert_refused(
        builder.call(*CREATE, "--to", "made"),
        f"the work tree {builder.folder}/code has changes that are in no commit: new.py",
        "commit them, or name the commit that was built with --commit",
    )
    said = builder.call(*CREATE, "--to", "made", "--commit", "v9")
    assert said.err == f"error: {builder.folder}/code has no commit v9\n"
    assert not (builder.folder / "made").exists()
    assert builder.call(*CREATE, "--to", "made", "--commit", "main").status == 0
    assert_refused(
        builder.call(*CREATE, "--to", "made", "--commit", "main"),
        "made is there already",
        "name a new folder with --to",
    )


def test_every_output_that_does_not_match_is_named(builder: CommandLine) -> None:
    out = builder.folder / "code/out"
    (out / "roads.parquet").write_text("roads")
    build = ("blueprint", "create", "code/build.toml", "code/out", "--to", "made")
    assert builder.call(*build).status == 0
    (out / "roads.parquet").write_text("other roads")
    (out / "extra").touch()
    said = builder.call("blueprint", "verify", "made/blueprint.json", "code/out", "--json")
    assert said.status == 1
    assert {each["name"]: each["verdict"] for each in said.json["files"]} == {
        "out/extra": "not in the manifest",
        "out/roads.parquet": "different",
        "out/towns.parquet": "same",
    }
    assert "out/extra is not in the manifest, out/roads.parquet is different" in said.err
    bundle = builder.folder / "made/source.bundle"
    bundle.write_bytes(bundle.read_bytes()[:-1])
    said = builder.call("blueprint", "verify", "made")
    assert "the blueprint does not hold: source.bundle is different" in said.err
    assert_refused(
        builder.call("blueprint", "show", "nowhere"),
        "cannot read nowhere: No such file or directory",
        "name a blueprint's folder or its manifest",
    )


def test_a_blueprint_is_published_and_fetched_like_the_data(publisher: CommandLine) -> None:
    write_repository(publisher.folder / "code")
    made = publisher.call(*CREATE, "--to", "made", "--json").json
    write_items(publisher.folder / "towns.ndjson", town("a"))
    assert publisher.call("publish", "towns.ndjson").status == 0
    got = publisher.folder / "got"
    got.mkdir()
    with publisher.running_peer():
        added = publisher.run("payload", "add", "made", "--collection", "towns", "--json")
        assert added.json["payload"] == made["payload"]
        said = publisher.run("get", f"payload:{made['payload']}", "--to", "got", "--json")
        assert {Path(each["to"]).name for each in said.json["files"]} == set(made["files"])
        assert tree(got) == tree(publisher.folder / "made")
        unknown = publisher.run("get", "payload:" + "0" * 64)
        release = ("release", "create", "--collection", "towns", "--version", "2021")
        assert publisher.run(*release, "--blueprint", "made").status == 0
        [shown] = publisher.run("show", "release:towns@2021", "--json").json
        assert shown["blueprint"]["sources"] == made["payload"]
        manifest = made["files"]["blueprint.json"]["sha256"]
        assert (publisher.home / "objects" / manifest[:2] / manifest).is_file()
        assert f"payload:{made['payload']}" in publisher.run("show", "release:towns@2021").out
    assert "no payload begins with" in unknown.err
    assert publisher.call("blueprint", "verify", "got", "code/out/towns.parquet").status == 0


def test_a_release_names_only_a_blueprint_that_is_published(publisher: CommandLine) -> None:
    write_repository(publisher.folder / "code")
    assert publisher.call(*CREATE, "--to", "made").status == 0
    write_items(publisher.folder / "towns.ndjson", town("a"))
    assert publisher.call("publish", "towns.ndjson").status == 0
    release = ("release", "create", "--collection", "towns", "--version", "2021", "--blueprint")
    assert_refused(
        publisher.call(*release, "made"),
        "the blueprint made is not published in 'towns'",
        "meshnode payload add made --collection towns",
    )
    assert_refused(
        publisher.call(*release, "code"),
        "cannot read code/blueprint.json: No such file or directory",
        "name a blueprint's folder or its manifest",
    )
