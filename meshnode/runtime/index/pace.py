"""How fast rows are written while somebody searches: searches go first.

The two share Python's interpreter and the disk. A write that searches ran beside is followed by a
pause, GIVE_WAY times as long as they ran, in which they have both for themselves.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

GIVE_WAY: Final = 2.0  # so who searches without end takes two thirds of the time, and half the rest
PAUSE_SECONDS_MAX: Final = 1.0  # whatever the searches do, rows come in


@dataclass(frozen=True, slots=True)
class Pace:
    """`read_seconds` says for how long reads have run, those that still run included."""

    read_seconds: Callable[[], float]
    clock: Callable[[], float] = time.perf_counter
    pause: Callable[[float], None] = time.sleep

    @contextmanager
    def step(self) -> Iterator[None]:
        """Do one write, and give way after it. The caller holds no lock."""
        begun, before = self.clock(), self.read_seconds()
        yield
        beside = min(self.read_seconds() - before, self.clock() - begun)
        if beside > 0:
            self.pause(min(GIVE_WAY * beside, PAUSE_SECONDS_MAX))
