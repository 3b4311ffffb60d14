"""What there is room for: under one head, and in a catalogue. Asked before anything is signed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from meshnode.core.entries import Entry, SegmentAdded, SegmentRemoved, encode_entry
from meshnode.core.limits import HEAD_ENTRIES_MAX, HEAD_ENTRY_BYTES_MAX, LIVE_SEGMENTS_MAX
from meshnode.core.live_segments import SegmentName
from meshnode.errors import UsageError


def heads_of(entries: Sequence[Entry]) -> Iterator[slice]:
    """Yield which entries fit under one head, head after head; one without any if there are none.

    The entries are as long as they can become: their clock is CLOCK_MAX.
    """
    start, size_bytes = 0, 0
    for position, entry in enumerate(entries):
        more_bytes = len(encode_entry(entry))
        count = position - start
        is_full = count == HEAD_ENTRIES_MAX or size_bytes + more_bytes > HEAD_ENTRY_BYTES_MAX
        if count and is_full:
            yield slice(start, position)
            start, size_bytes = position, 0
        size_bytes += more_bytes
    yield slice(start, len(entries))


def segments_in(entries: Iterable[Entry]) -> list[SegmentName]:
    """Name the segments that the entries add, replace or remove, each once."""
    names: dict[SegmentName, None] = {}
    for entry in entries:
        added, gone = _changes(entry)
        names |= dict.fromkeys((*gone, *added))
    return list(names)


def require_room(live_count: int, live: Iterable[SegmentName], entries: Iterable[Entry]) -> None:
    """Refuse to sign segments that no peer would show, since the catalogue has too many (L-93).

    Args:
        live_count: how many segments of the catalogue count.
        live: those of them that the entries name.
        entries: in the order in which they will be signed.

    Raises:
        UsageError: there is no room for all of them.
    """
    names = dict.fromkeys(live)
    others = live_count - len(names)
    for entry in entries:
        added, gone = _changes(entry)
        for name in gone:
            names.pop(name, None)
        names |= dict.fromkeys(added)
    count = others + len(names)
    if count > max(LIVE_SEGMENTS_MAX, live_count):
        raise UsageError(
            f"the catalogue would have {count} live segments; {LIVE_SEGMENTS_MAX} count",
            hint="rewrite yours as few: meshnode compact",
        )


def _changes(entry: Entry) -> tuple[list[SegmentName], list[SegmentName]]:
    """Return which segments an entry adds, and which it takes away."""
    match entry:
        case SegmentAdded():
            gone = [(entry.collection, digest) for digest in entry.replaces]
            return [(entry.collection, entry.segment)], gone
        case SegmentRemoved():
            return [], [(entry.collection, entry.segment)]
        case _:
            return [], []
