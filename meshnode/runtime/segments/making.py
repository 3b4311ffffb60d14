"""A segment in the making: its items are parsed, checked and projected once, then written."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from meshnode.runtime.files import sync_directory
from meshnode.runtime.segments.columns import Rows
from meshnode.runtime.segments.segment import SegmentFile, write_rows
from meshnode.runtime.segments.shapes import iso_wkb
from meshnode.runtime.segments.validation import Checked, Problem, check_items, is_refused

Check = Callable[[Sequence[dict[str, Any]], str], list[Checked]]


@dataclass(frozen=True, slots=True)
class Made:
    """What came of the items.

    `file` is None if all were refused; `problems` are those of the items that have some, by their
    number in the order in which they were added, from 0.
    """

    file: SegmentFile | None
    problems: dict[int, list[Problem]]


@dataclass(slots=True)
class Making:
    """Invariant: an item is refused, or one of the rows."""

    directory: Path
    collection: str
    check: Check = check_items
    _rows: Rows = field(default_factory=Rows)
    _problems: dict[int, list[Problem]] = field(default_factory=dict)
    _count: int = 0

    def add(self, raws: Sequence[bytes], values: Sequence[dict[str, Any] | None]) -> None:
        """Add items: their JSON, and the same parsed where that was done already."""
        parsed = [
            from_json(raw) if value is None else value
            for raw, value in zip(raws, values, strict=True)
        ]
        checked = self.check(parsed, self.collection)
        good = [number for number, one in enumerate(checked) if not is_refused(one.problems)]
        wkbs = iso_wkb([checked[number].shape for number in good])
        for number, wkb in zip(good, wkbs, strict=True):
            projection = checked[number].projection
            assert projection is not None
            self._rows.add(raws[number], parsed[number], projection, wkb)
        for number, one in enumerate(checked, self._count):
            if one.problems:
                self._problems[number] = one.problems
        self._count += len(raws)

    def finish(self, document: bytes) -> Made:
        """Write the segment into the directory, under its digest; `document` is the Collection.

        Raises:
            UsageError: the segment would be too large, or the document is not the collection's.
            StorageError: the disk refused it.
        """
        if not self._rows:
            return Made(None, self._problems)
        path = self.directory / f"segment-{os.getpid()}"  # others may write beside it
        file = write_rows(path, self.collection, document, self._rows)
        path.rename(self.directory / file.digest.hex())
        sync_directory(self.directory)
        return Made(file, self._problems)
