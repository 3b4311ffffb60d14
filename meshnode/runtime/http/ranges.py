"""Which bytes of a file an HTTP request asks for (RFC 9110, sections 13 and 14)."""

from __future__ import annotations

import re
from typing import Final

_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


class UnsatisfiableError(ValueError):
    """The file has none of the bytes asked for: status 416."""


def wanted_span(
    size_bytes: int, wanted: str | None, if_range: str | None, etag: str
) -> range | None:
    """Return the part that is asked for, None for the whole file.

    A header that is not one range of bytes is ignored, several ranges too, as section 14.2 allows.
    `if_range` that is not our strong ETag stands for another version of the file: then all of it.

    Raises:
        UnsatisfiableError: the range begins behind the end, or is empty.
    """
    found = _RANGE.fullmatch(wanted.strip()) if wanted else None
    if found is None or found.groups() == ("", "") or if_range not in (None, etag):
        return None
    first, last = found.groups()
    if not first:
        span = range(max(0, size_bytes - int(last)), size_bytes)
    elif last and int(last) < int(first):
        return None
    else:
        span = range(int(first), min(int(last) + 1, size_bytes) if last else size_bytes)
    if not span:
        raise UnsatisfiableError
    return span


def is_known(if_none_match: str | None, etag: str) -> bool:
    """Say whether the asker has this version already (weak comparison, section 13.1.2)."""
    if if_none_match is None:
        return False
    named = [each.strip().removeprefix("W/") for each in if_none_match.split(",")]
    return etag in named or named == ["*"]
