"""What a run needs to be quoted and run again: the code, its versions, the command."""

from __future__ import annotations

import platform
import shlex
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

from meshnode import __version__
from simulations import overrides, scenario
from simulations.scenario import Scenario

# What decides over a run beside our own code: its signatures, its records, its files.
LIBRARIES = ("cryptography", "cbor2", "pydantic", "pyarrow")


def commit() -> str:
    """Return the commit of the code that runs, or its version outside a checkout."""
    git, root = shutil.which("git"), Path(__file__).parents[1]
    if git is None or not (root / ".git").exists():
        return f"v{__version__}"
    command = [git, "-C", str(root), "describe", "--always", "--dirty", "--abbrev=10"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.strip() if found.returncode == 0 else f"v{__version__}"


def versions() -> dict[str, str]:
    found = {"meshnode": __version__, "python": platform.python_version()}
    found |= {name: version(name) for name in LIBRARIES}
    return found | {"platform": f"{platform.system()} {platform.machine()}"}


def reproduction(chosen: Scenario, folder: Path) -> str:
    """Return the command that runs the same again; a scenario from a file is in the run's folder.

    Args:
        chosen: resolved, with the seed that ran.
        folder: where the run lies in the end.
    """
    again = shlex.join(["meshsim", "replay", str(folder)])
    if chosen.name not in scenario.library():
        return again
    changed = overrides.differing(scenario.load(chosen.name), chosen)
    changed.pop("seed", None)
    settings = {name: value for name, (_, value) in changed.items()}
    if None in settings.values():
        return again
    words = [word for each in overrides.written(settings) for word in ("--set", each)]
    return shlex.join(["meshsim", "run", chosen.name, "--seed", str(chosen.seed), *words])
