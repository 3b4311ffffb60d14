"""Unix time for what is signed or stored. Waiting and retrying use `trio.current_time`."""

from __future__ import annotations

import time


def unix_now() -> int:
    """Return whole seconds since 1970-01-01T00:00Z."""
    return int(time.time())  # noqa: TID251 - the one place that reads this clock


def local_minute() -> int:
    """Return the minute of this machine's local day, from 0."""
    now = time.localtime()
    return 60 * now.tm_hour + now.tm_min


def unix_milliseconds() -> int:
    """Return whole milliseconds since 1970-01-01T00:00Z."""
    return time.time_ns() // 1_000_000
