"""Where the gateway serves what, below the address of the HTTP server."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from meshnode.core.identifiers import Digest

PREFIX: Final = "/payload/"


def path_of(key: Digest, path: str) -> str:
    """Return the path of a payload's file."""
    return f"{PREFIX}{key.hex()}/{quote(path)}"
