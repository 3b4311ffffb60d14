"""Programs that we are measured beside, each in an environment below the build folder."""

from __future__ import annotations

import os
import subprocess
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import Final

BUILD: Final = Path(__file__).parents[1] / "build" / "bench"  # kept between runs; delete at will

STAC_FASTAPI: Final = (
    "stac-fastapi-api==7.0.0",
    "stac-fastapi-extensions==7.0.0",
    "uvicorn==0.54.0",
)
PGSTAC: Final = (
    "pypgstac[psycopg]==0.10.0",
    "stac-fastapi-pgstac==7.2.0",
    "uvicorn[standard]==0.54.0",
)


def environment(name: str, requirements: Sequence[str]) -> Path:
    """Return the folder of programs of an environment, made if it is not there.

    Raises:
        subprocess.CalledProcessError: the packages cannot be installed.
    """
    folder = BUILD / "environments" / name
    wanted = "\n".join(requirements)
    stamp = folder / "requirements.txt"
    if not stamp.exists() or stamp.read_text() != wanted:
        venv.create(folder, with_pip=True, clear=True)
        python = folder / "bin/python"
        # No compiler: what has no wheel is Python alone.
        subprocess.run(
            [python, "-m", "pip", "install", "--quiet", "--prefer-binary", *requirements],
            check=True,
            stdout=subprocess.DEVNULL,
            env=os.environ | {"CC": "/bin/false"},
        )
        stamp.write_text(wanted)
    return folder / "bin"
