"""Entries that a maintainer signs about what is published already: withdrawals, mirrors, risk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from meshnode.core.entries import ItemName, ItemsRemoved, MirrorsChanged, Reason, RiskSet
from meshnode.core.identifiers import Digest
from meshnode.core.limits import ENTRY_BYTES_MAX, ITEM_IDS_MAX
from meshnode.errors import UsageError
from meshnode.runtime.maintainer.publishing import Draft

_NAME_HEAD_BYTES: Final = 3  # of CBOR before a text of up to 65,535 bytes (RFC 8949 section 3)
_IDS_BYTES_MAX: Final = ENTRY_BYTES_MAX - 1024  # beside two collections, an id and the numbers


def parse_reason(text: str) -> Reason:
    """Read a reason as people write it.

    Raises:
        UsageError: there is no such reason.
    """
    known = {each.name.lower(): each for each in Reason}
    if text not in known:
        raise UsageError(f"{text!r} is no reason", hint=f"one of {', '.join(known)}")
    return known[text]


def withdrawals(
    collection: str, ids: Iterable[str], reason: Reason, by: ItemName | None = None
) -> Iterator[Draft]:
    """Yield the entries that withdraw items, as many as their ids need; `by` supersedes them."""
    part: list[str] = []
    size_bytes = 0
    for id_ in dict.fromkeys(ids):
        more_bytes = len(id_.encode()) + _NAME_HEAD_BYTES
        if len(part) == ITEM_IDS_MAX or size_bytes + more_bytes > _IDS_BYTES_MAX:
            yield _withdrawal(collection, tuple(part), reason, by)
            part, size_bytes = [], 0
        part.append(id_)
        size_bytes += more_bytes
    if part:
        yield _withdrawal(collection, tuple(part), reason, by)


def mirrors(collection: str, key: Digest, add: Iterable[str], drop: Iterable[str]) -> Draft:
    """Return the entry that adds and drops URLs of a payload."""
    added, dropped = tuple(dict.fromkeys(add)), tuple(dict.fromkeys(drop))
    return lambda clock: MirrorsChanged(clock, collection, key, added, dropped)


def risk(collection: str, key: Digest, level: int, until_s: int) -> Draft:
    """Return the entry that says how threatened a payload is, 0 to 4, until a unix second."""
    return lambda clock: RiskSet(clock, collection, key, level, until_s)


def _withdrawal(
    collection: str, ids: tuple[str, ...], reason: Reason, by: ItemName | None
) -> Draft:
    return lambda clock: ItemsRemoved(clock, collection, ids, reason, by)
