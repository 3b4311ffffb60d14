"""What processes of others cost, from Linux's /proc."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")  # a second


def cpu_seconds(root: int) -> float:
    """Return the CPU-seconds of a process, of all below it, and of those of them that ended."""
    stats = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name, in brackets, may hold anything; what follows it are numbers (proc(5)).
            stats[int(path.parts[2])] = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile
    family = {root}
    while more := {pid for pid, stat in stats.items() if int(stat[1]) in family} - family:
        family |= more
    ticks = sum(int(each) for pid in family for each in stats[pid][11:15])
    return ticks / _TICKS
