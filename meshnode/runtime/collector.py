"""When Python looks for cycles of garbage: seldom, while a stream of items passes through.

An item parsed is some dozens of objects, none of which lies in a cycle: they end when they are
done with. The collector would walk through those that are held, again and again.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

SELDOM_OBJECTS: Final = 500_000  # more than are held of the items at hand; some 100 MB at the most


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Let the collector run once in SELDOM_OBJECTS new objects, within the block."""
    before = gc.get_threshold()
    gc.set_threshold(SELDOM_OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
