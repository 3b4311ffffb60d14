"""A trial ends with whoever started it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutants.trial import ROOT

MODULE = "meshnode.core.limits"
RUNNER = f"""
from tests.mutants.trial import path_of, try_tests
import sys
try_tests({MODULE!r}, path_of({MODULE!r}).read_text(), sys.argv[1:], 600.0)
"""
ENDLESS = """
import sys
def test_endless():
    with open({!r}, "w") as alive:
        alive.write("begun")
        alive.flush()
        while True:
            pass
"""


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_trial_that_hangs_ends_when_its_runner_is_killed(tmp_path: Path) -> None:
    line, endless = tmp_path / "line", tmp_path / "test_endless.py"
    os.mkfifo(line)
    endless.write_text(ENDLESS.format(str(line)))
    command = [sys.executable, "-c", RUNNER, str(endless)]
    with subprocess.Popen(command, cwd=ROOT) as runner, line.open() as alive:
        assert alive.read(5) == "begun"
        runner.kill()
        assert alive.read() == ""  # the other end is closed: the trial is gone
