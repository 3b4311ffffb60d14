"""The tools of others, in an environment of their own: `tools.lock` names them and their hashes."""

from __future__ import annotations

import os
import subprocess
import venv
from pathlib import Path
from typing import Final

import pytest
import trio

HERE: Final = Path(__file__).parent
REQUIRED: Final = "MESHNODE_REQUIRE_STAC_TOOLS"
RUN_SECONDS_MAX: Final = 600.0  # far more than it takes: only a hang reaches it


def tools_python(folder: Path) -> Path:
    """Install the tools; skip if that cannot be done here, unless it must be.

    `make` again with `uv pip compile --universal --python-version 3.11 --generate-hashes
    --no-emit-index-url --no-header --no-annotate tests/conformance/tools.in`.
    """
    venv.create(folder, with_pip=True)
    python = folder / "bin/python"
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    locked = ["--no-deps", "--require-hashes", "-r", str(HERE / "tools.lock")]
    done = subprocess.run([*install, *locked], capture_output=True, text=True, check=False)
    if done.returncode:
        unavailable(f"the STAC tools cannot be installed: {done.stderr.strip()[-200:]}")
    return python


def unavailable(reason: str) -> None:
    """Skip, or fail where the tools are required."""
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"{reason}, and {REQUIRED} is set")
    pytest.skip(reason)


async def output_of(*command: str | Path, folder: Path) -> str:
    """Run a tool to its good end; return what it printed."""
    with trio.fail_after(RUN_SECONDS_MAX):
        done = await trio.run_process(
            [*map(str, command)],
            cwd=folder,
            capture_stdout=True,
            stderr=subprocess.STDOUT,
            check=False,
        )
    text = done.stdout.decode(errors="replace")
    assert done.returncode == 0, text
    return text
