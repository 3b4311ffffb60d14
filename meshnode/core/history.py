"""What the entries of a log say, in words: pure text for people, and nothing that decides."""

from __future__ import annotations

from typing import assert_never

from meshnode.core.entries import (
    CollectionAdded,
    Entry,
    ItemsRemoved,
    MirrorsChanged,
    PayloadAdded,
    PayloadRemoved,
    Reason,
    ReleaseAdded,
    RiskSet,
    SegmentAdded,
    SegmentRemoved,
    UnknownEntry,
)
from meshnode.core.identifiers import Digest, object_text

NAMES_SHOWN_MAX = 3


def sentence(entry: Entry) -> str:  # noqa: C901, PLR0911 - one branch a kind
    """Return one line on what the entry changes, names of others as they are written."""
    match entry:
        case UnknownEntry():
            return f"{entry.kind} {entry.version}: an entry that this version does not know"
        case CollectionAdded():
            return f"{entry.collection}: its document is {_short(entry.object.digest)}"
        case SegmentAdded():
            beaten = f", replacing {_count(entry.replaces, 'segment')}" if entry.replaces else ""
            rows = f"{entry.rows} item{'s' if entry.rows != 1 else ''}"
            return f"{entry.collection}: {rows} in segment {_short(entry.segment)}{beaten}"
        case SegmentRemoved():
            gone = f"segment {_short(entry.segment)} withdrawn"
            return f"{entry.collection}: {gone}, {_why(entry.reason)}"
        case ItemsRemoved():
            return f"{entry.collection}: {_withdrawn(entry)}"
        case PayloadAdded():
            size = f"payload {_short(entry.key)} of {entry.size_bytes} bytes"
            return f"{entry.collection}: {size}, {_count(entry.mirrors, 'mirror')}"
        case PayloadRemoved():
            return (
                f"{entry.collection}: payload {_short(entry.key)} withdrawn, {_why(entry.reason)}"
            )
        case MirrorsChanged():
            changed = f"{_count(entry.add, 'mirror')} added, {len(entry.drop)} dropped"
            return f"{entry.collection}: payload {_short(entry.key)}, {changed}"
        case RiskSet():
            return f"{entry.collection}: payload {_short(entry.key)} at risk {entry.level} of 4"
        case ReleaseAdded():
            doi = f", doi {entry.doi}" if entry.doi else ""
            return f"{entry.collection}: release {entry.version}{doi}"
        case _:
            assert_never(entry)


def _withdrawn(entry: ItemsRemoved) -> str:
    shown = ", ".join(entry.ids[:NAMES_SHOWN_MAX])
    more = ", …" if len(entry.ids) > NAMES_SHOWN_MAX else ""
    by = f", in favour of {entry.by.collection}/{entry.by.id}" if entry.by else ""
    return f"{_count(entry.ids, 'item')} withdrawn, {_why(entry.reason)}{by}: {shown}{more}"


def _count(things: tuple[object, ...], noun: str) -> str:
    return f"{len(things)} {noun}{'' if len(things) == 1 else 's'}"


def _why(reason: Reason) -> str:
    return reason.name.lower()


def _short(digest: Digest) -> str:
    return f"…{object_text(digest)[-8:]}"
