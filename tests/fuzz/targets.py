"""Every target by name."""

from __future__ import annotations

import atexit
from contextlib import ExitStack
from functools import cache

from tests.fuzz import files, records, streams
from tests.fuzz.target import Target


@cache
def every() -> dict[str, Target]:
    """Return the targets, made once a process; what they hold is given back at its end."""
    held = ExitStack()
    atexit.register(held.close)
    found = [*records.targets(), *streams.targets(held), *files.targets(held)]
    return {target.name: target for target in found}
