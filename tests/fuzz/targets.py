"""Every target by name."""

from __future__ import annotations

import atexit
from contextlib import ExitStack
from functools import cache

from tests.fuzz import files, inventories, records, searches, streams
from tests.fuzz.target import Target


@cache
def every() -> dict[str, Target]:
    """Return the targets, made once a process; what they hold is given back at its end."""
    held = ExitStack()
    atexit.register(held.close)
    made_of_files = [*files.targets(held), *inventories.targets(held)]
    asked = searches.targets(held)
    found = [*records.targets(), *streams.targets(held), *made_of_files, *asked]
    return {target.name: target for target in found}
