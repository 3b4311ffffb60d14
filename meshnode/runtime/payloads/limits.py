"""Which rates are in force now, and whether the engine may move anything at all.

Pure: settings, the time of day and what was moved so far come in.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

DAY_MINUTES: Final = 24 * 60


@dataclass(frozen=True, slots=True)
class Limits:
    """Rates in bytes/s, 0 for none. `slow_minutes` are those of the local day from which and before

    which the slow rates are in force; over midnight if the first is the later one.
    """

    download_bytes_per_second: int = 0
    upload_bytes_per_second: int = 0
    slow_minutes: tuple[int, int] | None = None
    slow_download_bytes_per_second: int = 0
    slow_upload_bytes_per_second: int = 0
    hold_bytes_per_second: int = 0
    monthly_bytes_max: int = 0


UNLIMITED: Final = Limits()


class Stop(Enum):
    """Why nothing moves."""

    PAUSED = "paused"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class Rates:
    """What the engine is told, in bytes/s; 0: no limit."""

    download: int
    upload: int


def rates(limits: Limits, minute: int) -> Rates:
    """Return the rates in force at a minute of the local day."""
    if is_slow(limits, minute):
        return Rates(limits.slow_download_bytes_per_second, limits.slow_upload_bytes_per_second)
    return Rates(limits.download_bytes_per_second, limits.upload_bytes_per_second)


def is_slow(limits: Limits, minute: int) -> bool:
    if limits.slow_minutes is None:
        return False
    first, stop = limits.slow_minutes
    return (minute - first) % DAY_MINUTES < (stop - first) % DAY_MINUTES


def stop(limits: Limits, moved_bytes: int, *, is_paused: bool) -> Stop | None:
    """Say why nothing may move, None if something may."""
    if is_paused:
        return Stop.PAUSED
    if limits.monthly_bytes_max and moved_bytes >= limits.monthly_bytes_max:
        return Stop.MONTH
    return None


def parse_hours(text: str) -> tuple[int, int] | None:
    """Read HH:MM-HH:MM as minutes of the day; nothing of an empty text. Raises ValueError."""
    if not text:
        return None
    first, dash, last = text.partition("-")
    found = _minute(first), _minute(last)
    if not dash or found[0] == found[1]:
        raise ValueError("write hours as 08:00-22:00")
    return found


def _minute(text: str) -> int:
    hours, colon, minutes = text.partition(":")
    if not colon or not (hours.isdecimal() and minutes.isdecimal()):
        raise ValueError("write hours as 08:00-22:00")
    if int(hours) > 23 or int(minutes) > 59:
        raise ValueError(f"there is no time {text}")
    return 60 * int(hours) + int(minutes)
