"""The tour of the documentation, run line by line: what it shows is what a person sees."""

from collections.abc import Iterator

import pytest

from tests.cli.command_line import ROOT, CommandLine
from tests.cli.test_bad_input import town, write_items
from tests.cli.transcripts import Shell, Step, matches, steps

pytestmark = [pytest.mark.slow, pytest.mark.timeout(280)]

TOUR = ROOT / "docs/tour.md"
TRIES_MAX = 30  # a person looks again when the mesh needs a moment
READING = ("meshnode search", "meshnode status", "meshnode get")
PLACES = {"dawson": (-139.4, 64.1, 2020), "mayo": (-135.9, 63.6, 2019),
          "whitehorse": (-135.1, 60.7, 2021)}  # fmt: skip


@pytest.fixture
def shell(newcomer: CommandLine) -> Iterator[Shell]:
    del newcomer.environment["MESHNODE_HOME"]
    write_files(newcomer)
    with Shell(newcomer) as shell:
        yield shell


def test_the_tour_shows_what_its_commands_print(newcomer: CommandLine, shell: Shell) -> None:
    for step in steps(TOUR):
        if "$ADDRESS" in step.command:
            status = newcomer.run("status", "--json", "--home", "me").json
            shell.run(f"ADDRESS={status['addresses'][0]} CATALOGUE={status['catalogues'][0]['id']}")
        printed = run_as_a_person(shell, step)
        assert matches(printed, step.shown), f"$ {step.command}\n{printed}"


def run_as_a_person(shell: Shell, step: Step) -> str:
    """Run a command; one that only reads is run again while it does not show what it will."""
    printed = shell.run(step.command)
    tries = TRIES_MAX if step.command.startswith(READING) else 1
    while not matches(printed, step.shown) and (tries := tries - 1):
        printed = shell.run(step.command)
    return printed


def write_files(reader: CommandLine) -> None:
    """Make the files that the tour publishes."""
    asset = {"data": {"href": "https://data.example.org/whitehorse.csv", "type": "text/csv"}}
    towns = [
        town(
            name,
            geometry={"type": "Point", "coordinates": [east, north]},
            bbox=[east, north, east, north],
            properties={
                "datetime": f"{year}-06-01T12:00:00Z",
                "title": name.title(),
                "license": "OGL-Canada-2.0",
            },
            assets=asset if name == "whitehorse" else {},
        )
        for name, (east, north, year) in PLACES.items()
    ]
    write_items(reader.folder / "towns.ndjson", *towns)
    write_items(reader.folder / "broken.ndjson", town("good"), town("nowhere", geometry=None))
    write_items(reader.folder / "towns.json", COLLECTION)
    (reader.folder / "whitehorse.csv").write_text("name,population\nWhitehorse,28201\n" * 1000)


COLLECTION = {
    "type": "Collection",
    "stac_version": "1.1.0",
    "id": "towns",
    "description": "Three towns",
    "license": "OGL-Canada-2.0",
    "extent": {
        "spatial": {"bbox": [[-140, 60, -135, 65]]},
        "temporal": {"interval": [["2019-01-01T00:00:00Z", None]]},
    },
    "links": [],
}


@pytest.mark.parametrize(
    ("printed", "shown", "expected"),
    [
        ("a b c\n", "a … c\n", True),
        ("a\nb\n", "a\n", False),
        ("a\nb\n", "a …\n", False),
        ("12 kB\n", "…kB\n", True),
        ("", "", True),
    ],
)
def test_a_wildcard_stands_for_the_rest_of_one_line(
    printed: str, shown: str, expected: bool
) -> None:
    assert matches(printed, shown) is expected
