"""Unix time for what is signed or stored. Waiting and retrying use `trio.current_time`.

The system's clock may jump, by hand or by a server of time: whoever keeps a unix second must bear
that it lies ahead of the next one.
"""

from __future__ import annotations

import time
from collections.abc import Callable

read_clock: Callable[[], float] = time.time  # noqa: TID251 - the one place that names this clock


def unix_now() -> int:
    """Return whole seconds since 1970-01-01T00:00Z."""
    return int(read_clock())


def local_minute() -> int:
    """Return the minute of this machine's local day, from 0."""
    now = time.localtime(read_clock())
    return 60 * now.tm_hour + now.tm_min


def unix_milliseconds() -> int:
    """Return whole milliseconds since 1970-01-01T00:00Z."""
    return int(read_clock() * 1000)
