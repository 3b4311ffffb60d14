"""The researchers' page, run line by line: what it shows is what they see."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.transcripts import matches, steps
from tests.simulations.command_line import MESHSIM, ROOT, SECONDS_MAX

PAGE = ROOT / "docs/simulate.md"
PROGRAMS = {"meshsim": f'exec "{sys.executable}" -c "{MESHSIM}" "$@"',
            "python": f'exec "{sys.executable}" "$@"'}  # fmt: skip
SAVED = {"toml": "cut.toml", "python": "plot.py"}
FILE = re.compile(r"^```(toml|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

pytestmark = pytest.mark.slow


@pytest.fixture
def reader(tmp_path: Path) -> Path:
    """A folder with the page's files, and its programs."""
    (tmp_path / "bin").mkdir()
    for name, program in PROGRAMS.items():
        path = tmp_path / "bin" / name
        path.write_text(f"#!/bin/sh\n{program}\n")
        path.chmod(0o755)
    for kind, text in FILE.findall(PAGE.read_text(encoding="utf-8")):
        (tmp_path / SAVED[kind]).write_text(text, encoding="utf-8")
    return tmp_path


def run(line: str, folder: Path) -> str:
    """Run a line as the page shows it, in the folder; return all that it prints."""
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env=os.environ
        | {
            "PATH": f"{folder}/bin{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "COLUMNS": "80",
            "LC_ALL": "C.UTF-8",
            "MPLBACKEND": "agg",
            "MPLCONFIGDIR": str(folder / "matplotlib"),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    return done.stdout


def test_the_page_shows_what_its_commands_print(reader: Path) -> None:
    for step in steps(PAGE):
        printed = run(step.command, reader)
        shown = step.shown
        if step.command == "meshsim list":  # the library grows; the page names a part of it
            shown, printed = "scenario", printed.split()[0]
        assert matches(printed, shown), f"$ {step.command}\n{printed}"
