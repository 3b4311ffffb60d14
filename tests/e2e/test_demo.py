"""The demo as a newcomer runs it: real processes, real links, a real download."""

import json
import os
import signal
from pathlib import Path

import pytest

from tests.cli.command_line import CommandLine, Said
from tests.cli.test_bad_input import town, write_items

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

STEPS = [
    "Two institutions, three peers",
    "Publish: check, sign, tell",
    "The same search, the same answer",
    "Download: a mirror and a peer at once",
    "Cut off, and back",
    "A hostile stranger is refused",
    "The end",
]
SHARE_MIN = 0.2


OWN = {
    "type": "Feature", "stac_version": "1.0.0", "id": "mine",
    "geometry": {"type": "Point", "coordinates": [10, 50]}, "bbox": [10, 50, 10, 50],
    "properties": {"datetime": "2020-01-01T00:00:00Z"}, "links": [], "assets": {},
}  # fmt: skip


def newcomer(folder: Path) -> CommandLine:
    """Make somebody without any data directory; temporary files go to his own folder."""
    person = CommandLine(folder)
    del person.environment["MESHNODE_HOME"]
    person.environment["TMPDIR"] = str(folder)
    return person


@pytest.fixture
def person(tmp_path: Path) -> CommandLine:
    return newcomer(tmp_path)


def processes_of(folder: Path) -> list[str]:
    """Return the processes whose command line or environment names the folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            texts = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue  # it ended, or is somebody else's
        if str(folder).encode() in texts and int(process.name) != os.getpid():
            found.append(texts.decode(errors="replace"))
    return found


def assert_told_well(said: Said) -> None:
    account = said.json
    figures = {step["title"]: step for step in account["steps"]}
    assert (said.status, said.err, account["failure"]) == (0, "", "")
    assert list(figures) == STEPS
    assert min(figures[STEPS[3]]["shares"].values()) >= SHARE_MIN
    assert figures[STEPS[4]]["items_missed"] == 24
    assert figures[STEPS[4]]["heal_seconds"] > 0
    assert set(figures[STEPS[5]]["refused_by"]) == {"content hash", "signature"}
    assert figures[STEPS[6]]["exits"] == [0, 0, 0]


@pytest.fixture(scope="module")
def two_demos(tmp_path_factory: pytest.TempPathFactory) -> tuple[CommandLine, Said, Said]:
    """Two demos that ran at once: one that leaves nothing, one kept, with an item of his own."""
    person = newcomer(tmp_path_factory.mktemp("demos"))
    (person.folder / "mine.json").write_text(json.dumps(OWN))
    arguments = ["--home", "kept", "--items", "mine.json", "--collection", "my-own"]
    both = [person.start("demo", "--json"), person.start("demo", *arguments)]
    said = []
    for process in both:
        out, err = process.communicate(timeout=500)
        said.append(Said(process.returncode, out, err))
    return person, said[0], said[1]


def test_the_demo_does_its_whole_job_and_leaves_nothing(
    two_demos: tuple[CommandLine, Said, Said],
) -> None:
    person, said, _ = two_demos
    assert_told_well(said)
    assert list(person.folder.glob("meshnode-demo-*")) == []
    assert processes_of(person.folder) == []


def test_a_kept_demo_is_told_at_80_columns_and_can_be_searched_afterwards(
    two_demos: tuple[CommandLine, Said, Said],
) -> None:
    person, _, said = two_demos
    assert (said.status, said.err) == (0, "")
    assert max(map(len, said.out.replace(str(person.folder), "").splitlines())) <= 80
    found = person.run("search", "--home", "kept/library", "--collection", "my-own", "--json")
    assert found.json["features"] == [OWN]
    assert (person.folder / "kept/downloads/whitehorse.bin").stat().st_size == 32 << 20


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_asked_to_end_stops_all_its_processes(
    person: CommandLine, number: signal.Signals
) -> None:
    demo = person.start("demo")
    assert demo.stdout is not None
    while not demo.stdout.readline().startswith("2. "):
        assert demo.poll() is None
    demo.send_signal(number)
    _, err = demo.communicate(timeout=60)
    assert (demo.returncode, err) == (130, "interrupted\n")
    assert processes_of(person.folder) == []
    assert list(person.folder.glob("meshnode-demo-*")) == []


def test_a_step_that_fails_is_told_with_its_reason_and_the_logs(person: CommandLine) -> None:
    write_items(person.folder / "broken.ndjson", town("nowhere", geometry=None))
    said = person.run("demo", "--items", "broken.ndjson")
    (directory,) = person.folder.glob("meshnode-demo-*")
    error, hint = said.err.splitlines()
    assert error.startswith("error: step 2, “Publish: check, sign, tell” failed: `meshnode publish")
    assert error.endswith("1 item is refused and no other is there")
    assert hint == f"next:  mend them; the peers' logs are {directory}/*.log"
    assert said.status == 1
    assert processes_of(person.folder) == []


def test_a_directory_that_is_not_empty_is_left_alone(person: CommandLine) -> None:
    (person.folder / "mine").write_text("mine")
    said = person.run("demo", "--home", ".")
    assert said.err == "error: . is not empty\nnext:  name a new directory with --home\n"
    assert said.status == 1
