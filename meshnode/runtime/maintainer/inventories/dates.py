"""Dates as people write them: a year, a month, a day, a time, an interval; and what they span."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

DATE: Final = re.compile(
    r"(?P<year>(?:18|19|20|21)\d\d)(?:(?P<dash>-?)(?P<month>0[1-9]|1[0-2])"
    r"(?:(?P=dash)(?P<day>0[1-9]|[12]\d|3[01])(?P<time>T\d\d:?\d\d:?\d\d)?)?)?"
)

Span = tuple[datetime, datetime]  # the first and the last second, UTC


def span_of(text: str) -> Span:
    """Return what an ISO 8601 date spans: as much as it does not say. A time without zone is UTC.

    Raises:
        ValueError: it is none.
    """
    found = DATE.fullmatch(text)
    if found is None:
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        return moment, moment
    year, month, day = (int(found[part] or 1) for part in ("year", "month", "day"))
    first = datetime(year, month, day, tzinfo=UTC)
    if found["time"]:
        hour, minute, second = map(int, re.findall(r"\d\d", found["time"]))
        moment = first.replace(hour=hour, minute=minute, second=second)
        return moment, moment
    if found["day"]:
        following = first + timedelta(days=1)
    elif found["month"]:
        following = (first + timedelta(days=31)).replace(day=1)
    else:
        following = first.replace(year=year + 1)
    return first, following - timedelta(seconds=1)


def time_members(value: object) -> dict[str, Any]:
    """Return the times of an item's properties from a date, a time, or an interval `start/end`.

    Raises:
        ValueError: it is none of them.
    """
    if not isinstance(value, str):
        raise ValueError(f"{value!r:.40} is no date")
    start, slash, end = value.partition("/")
    first, last = span_of(start)
    if slash:
        last = span_of(end)[1]
    if first > last:
        raise ValueError(f"{value!r} ends before it starts")
    if first == last:
        return {"datetime": time_text(first)}
    return {"datetime": None, "start_datetime": time_text(first), "end_datetime": time_text(last)}


def time_text(moment: datetime) -> str:
    """Write a moment in UTC as RFC 3339 text, with a fraction only if it has one."""
    fraction = f".{moment.microsecond:06}".rstrip("0") if moment.microsecond else ""
    return f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}Z"
