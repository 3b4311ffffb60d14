"""Programs that tests need and that are too large to be installed with the project's own."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest


def python_with(module: str, requirements: Sequence[str], folder: Path) -> str:
    """Return an interpreter that has a module, in an environment of its own; else skip."""
    if importlib.util.find_spec(module) is not None:
        return sys.executable
    python = str(folder / "bin/python")
    venv.create(folder, with_pip=True)
    install = [python, "-m", "pip", "install", "--quiet", "--only-binary", ":all:", *requirements]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"{module} cannot be installed: {done.stderr.strip().splitlines()[-1]}")
    return python


@contextmanager
def server(python: str, app: Path, folder: Path, *arguments: str) -> Iterator[int]:
    """Run a server that writes its port into the folder; give the port."""
    folder.mkdir()
    process = subprocess.Popen([python, app, folder, *arguments], env={"PYTHONWARNINGS": "ignore"})
    try:
        while not (folder / "port").exists():
            assert process.poll() is None, f"{app.name} ended"
            subprocess.run([python, "-c", ""], check=True)  # some work, so that it has its time
        yield int((folder / "port").read_text())
    finally:
        process.terminate()
        process.wait()
