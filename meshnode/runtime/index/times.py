"""Times of queries and items as microseconds since 1970 UTC, and their RFC 3339 text."""

from __future__ import annotations

import datetime
import re
from typing import Final

from meshnode.errors import UsageError

MOMENT_NONE: Final = -(1 << 63)  # the moment of an item without any time: older than all others
INT64_MAX: Final = (1 << 63) - 1
DAY_US: Final = 86_400_000_000

Interval = tuple[int | None, int | None]  # first and last microsecond since 1970 UTC; None is open

_RFC_3339: Final = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def parse_interval(text: str) -> Interval:
    """Read a STAC API datetime parameter: one RFC 3339 time, or `start/end` with `..` for open.

    Raises:
        UsageError: it is neither.
    """
    parts = text.split("/")
    ends = tuple(None if part in ("", "..") else _end(part, text) for part in parts)
    match ends:
        case (None,) | (None, None):
            raise _not_an_interval(text)
        case (moment,):
            return moment, moment
        case (first, last):
            return first, last
        case _:
            raise _not_an_interval(text)


def parse_moment(text: str) -> int | None:
    """Return an RFC 3339 time with its zone; None for any other text."""
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        return None
    return (moment - _EPOCH) // datetime.timedelta(microseconds=1)


def parse_day(text: str) -> tuple[int, int] | None:
    """Return the first and the last microsecond of a day, YYYY-MM-DD; None for any other text."""
    if len(text) != 10:
        return None
    try:
        day = datetime.date.fromisoformat(text)
    except ValueError:
        return None
    first = (day - _EPOCH.date()).days * DAY_US
    return first, first + DAY_US - 1


def _end(text: str, whole: str) -> int:
    moment = parse_moment(text.upper()) if _RFC_3339.fullmatch(text) else None
    if moment is None:
        raise _not_an_interval(whole)
    return moment


def _not_an_interval(text: str) -> UsageError:
    hint = "2021-05-01T00:00:00Z, or 2021-01-01T00:00:00Z/2021-12-31T23:59:59Z, .. for an open end"
    return UsageError(f"{text[:80]!r} is not a time or an interval", hint=hint)
