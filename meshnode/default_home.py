"""Where a data directory lies if nobody says: commands and programs look in the same place."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import platformdirs

ENV_HOME: Final = "MESHNODE_HOME"


def default_home() -> Path:
    return Path(platformdirs.user_data_dir("meshnode"))
