"""How long a web server wants to be left alone: the header Retry-After (RFC 9110 10.2.3)."""

from __future__ import annotations

from email.utils import parsedate_to_datetime


def pause_seconds(retry_after: str, now_unix: int) -> float:
    """Return the seconds that the header's value asks for: a number, or a date; 0 if neither."""
    text = retry_after.strip()
    if text.isascii() and text.isdecimal():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now_unix)
    except (TypeError, ValueError, OverflowError):
        return 0.0
