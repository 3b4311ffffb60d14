"""The page about `sync`, run line by line: what it shows is what a person sees."""

import json
from pathlib import Path

import pytest

from tests.cli.command_line import ROOT, CommandLine
from tests.cli.test_bad_input import town
from tests.cli.test_tour import COLLECTION
from tests.cli.transcripts import Shell, matches, steps

pytestmark = [pytest.mark.slow, pytest.mark.timeout(280)]

PAGE = ROOT / "docs/sync.md"


def test_the_page_shows_what_its_commands_print(newcomer: CommandLine) -> None:
    write_catalogue(newcomer.folder / "stac", "dawson", "mayo", "whitehorse")
    write_catalogue(newcomer.folder / "tonight", "dawson", "whitehorse")
    moved = town("dawson", properties={"datetime": "2024-06-01T12:00:00Z"})
    (newcomer.folder / "tonight/towns/dawson.json").write_text(json.dumps(moved))
    with Shell(newcomer) as shell:
        for step in steps(PAGE):
            printed = shell.run(step.command)
            assert matches(printed, step.shown), f"$ {step.command}\n{printed}"


def write_catalogue(root: Path, *names: str) -> None:
    """Write the static catalogue that the page publishes."""
    towns = root / "towns"
    towns.mkdir(parents=True)
    child = {"rel": "child", "href": "./towns/collection.json"}
    catalog = {"type": "Catalog", "id": "yukon", "stac_version": "1.1.0", "links": [child]}
    (root / "catalog.json").write_text(json.dumps(catalog))
    links = [{"rel": "item", "href": f"./{name}.json"} for name in names]
    (towns / "collection.json").write_text(json.dumps(COLLECTION | {"links": links}))
    for name in names:
        (towns / f"{name}.json").write_text(json.dumps(town(name)))
