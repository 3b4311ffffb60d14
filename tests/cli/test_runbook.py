"""The runbook of the documentation, run line by line: a bad day is no day for surprises."""

import pytest

from tests.cli.command_line import ROOT, CommandLine
from tests.cli.test_bad_input import town, write_items
from tests.cli.test_tour import write_files
from tests.cli.transcripts import Shell, matches, steps

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

RUNBOOK = ROOT / "docs/keys.md"


def test_the_runbook_shows_what_its_commands_print(newcomer: CommandLine) -> None:
    del newcomer.environment["MESHNODE_HOME"]
    write_files(newcomer)
    write_items(newcomer.folder / "more.ndjson", town("carcross"))
    with Shell(newcomer, in_process=True) as shell:
        for step in steps(RUNBOOK):
            printed = shell.run(step.command)
            assert matches(printed, step.shown), f"$ {step.command}\n{printed}"
