"""`meshsim` as a process of its own, in a folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SECONDS_MAX = 240
MESHSIM = "from simulations.cli import main; main()"
SMALL = """
name = "small"
title = "Six peers and a cut."
nodes = 6
[workload]
segments_each = 2
[[faults]]
kind = "split"
at_seconds = 22
for_seconds = 15
"""


def meshsim(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return run_program(MESHSIM, *arguments, folder=folder)


def run_program(program: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80"},
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
