"""The header Retry-After: seconds, a date, or nothing that can be read."""

from __future__ import annotations

import pytest

from meshnode.runtime.retry_after import pause_seconds

NOW = 1_800_000_000  # Fri, 15 Jan 2027 08:00:00 GMT


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("120", 120.0),
        (" 7 ", 7.0),
        ("Fri, 15 Jan 2027 08:01:30 GMT", 90.0),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 0.0),
        ("", 0.0),
        ("soon", 0.0),
        ("-5", 0.0),
        ("٣", 0.0),
        ("Fri, 15 Jan 99999 08:00:00 GMT", 0.0),
    ],
)
def test_seconds_and_dates_are_read_and_nothing_else(said: str, seconds: float) -> None:
    assert pause_seconds(said, NOW) == seconds
