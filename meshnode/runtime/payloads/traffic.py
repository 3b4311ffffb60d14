"""How much BitTorrent and its mirrors moved this month, and whether the operator paused it.

A file in the data directory; months are those of UTC. What was moved in the last seconds before a
crash is not counted.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from meshnode.runtime.files import read_kept, write_durably

_FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class Month:
    """`month` as 2026-11; bytes of payload and protocol, both ways."""

    month: str
    received_bytes: int = 0
    sent_bytes: int = 0
    is_paused: bool = False

    @property
    def total_bytes(self) -> int:
        return self.received_bytes + self.sent_bytes


class Traffic:
    """Invariant: a byte that the engine counted is counted once. `path` None: nothing is kept.

    Raises (when it is made):
        StorageError: the record is damaged, or cannot be read.
    """

    def __init__(self, path: Path | None, now: Callable[[], int]) -> None:
        self._path = path
        self._now = now
        self._engine = (0, 0)  # what the engine's counters said last
        self._is_saved = True
        nothing = Month(self._this_month())
        hint = f"remove {path}: it only counts bytes"
        self.month = read_kept(path, _read, nothing, hint) if path is not None else nothing

    def note(self, received_bytes: int, sent_bytes: int) -> None:
        """Take the engine's counters, which begin at 0 with each engine."""
        new = received_bytes - self._engine[0], sent_bytes - self._engine[1]
        self._engine = received_bytes, sent_bytes
        self._add(*new)

    def note_fetched(self, received_bytes: int) -> None:
        """Take note of what came from a mirror past the engine."""
        self._add(received_bytes, 0)

    def _add(self, received_bytes: int, sent_bytes: int) -> None:
        if self.month.month != self._this_month():
            self.month = Month(self._this_month(), is_paused=self.month.is_paused)
            self._is_saved = False
        if received_bytes or sent_bytes:
            self.month = replace(
                self.month,
                received_bytes=self.month.received_bytes + received_bytes,
                sent_bytes=self.month.sent_bytes + sent_bytes,
            )
            self._is_saved = False

    def pause(self, *, is_paused: bool) -> None:
        """Remember what the operator wants. Blocks; raises StorageError."""
        self.month = replace(self.month, is_paused=is_paused)
        self._is_saved = False
        self.save()

    def save(self) -> None:
        """Write the record if it changed. Blocks; raises StorageError."""
        if self._path is not None and not self._is_saved:
            self._is_saved = True
            said = {"format": _FORMAT, **asdict(self.month)}
            write_durably(self._path, json.dumps(said).encode())

    def _this_month(self) -> str:
        return datetime.fromtimestamp(self._now(), UTC).strftime("%Y-%m")


def _read(raw: bytes) -> Month:
    said = json.loads(raw)
    if said.pop("format") != _FORMAT:
        raise ValueError("another format")
    return Month(
        str(said["month"]),
        int(said["received_bytes"]),
        int(said["sent_bytes"]),
        bool(said["is_paused"]),
    )
