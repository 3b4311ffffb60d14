"""Blueprints: from what, by which code and in which environment a dataset was built.

Only the command line makes and checks them, as the maintainer. A blueprint is a folder of three
files, published as a payload like the data.
"""

from __future__ import annotations

from typing import Final

MANIFEST: Final = "blueprint.json"
BUNDLE: Final = "source.bundle"
ENVIRONMENT: Final = "environment.tar"
