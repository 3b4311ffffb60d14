"""Page tokens: the place in the order of results where a page ended, in one word."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any, Final

from meshnode.errors import UsageError
from meshnode.runtime.index.sorting import SortKey, Term, terms_of
from meshnode.runtime.index.times import INT64_MAX

TOKEN_CHARS_MAX: Final = 8_192  # ids and platforms may be long; longer tokens are not ours

Place = tuple[int | float | str | bytes | None, ...]  # one value for each term of the order


def write_token(sort: Sequence[SortKey], place: Place) -> str:
    """Name a place in an order."""
    said = [value.hex() if isinstance(value, bytes) else value for value in place]
    raw = json.dumps([[str(key) for key in sort], said]).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def read_token(token: str, sort: Sequence[SortKey], *, old: bool) -> Place:
    """Return the place that a token names.

    Raises:
        UsageError: it is not one of ours, or of another order.
    """
    try:
        raw = base64.urlsafe_b64decode(token[:TOKEN_CHARS_MAX] + "=" * (-len(token) % 4))
        names, said = json.loads(raw)
        if names != [str(key) for key in sort]:
            raise UsageError(
                "the page token belongs to another order", hint="start again from the first page"
            )
        pairs = zip(said, terms_of(sort, old=old), strict=True)
        return tuple(_value(value, term) for value, term in pairs)
    except (ValueError, TypeError, RecursionError) as error:
        raise UsageError(
            f"{token[:60]!r} is not a page token", hint="start again from the first page"
        ) from error


def _value(value: Any, term: Term) -> int | float | str | bytes | None:  # noqa: ANN401 - JSON
    if value is None and term.may_be_null:
        return None
    if term.kind is bytes and isinstance(value, str):
        return bytes.fromhex(value)
    if term.kind is float and type(value) in (int, float):
        return float(value)
    if term.kind is int and type(value) is int and -INT64_MAX - 1 <= value <= INT64_MAX:
        return value
    if term.kind is str and isinstance(value, str):
        value.encode()  # half a surrogate pair cannot be bound
        return value
    raise ValueError("a value of another kind")
