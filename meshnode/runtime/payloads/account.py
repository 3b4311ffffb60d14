"""How far a download is, and which source sent how much of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

_SOURCES_MAX: Final = 256  # in an account; bytes of further ones are added up as "others"


class State(Enum):
    """What a download is doing."""

    TRANSFERRING = "transferring"
    VERIFYING = "verifying"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Progress:
    """Of the wanted bytes: how many are verified. `by_source` counts what each source sent,

    the overlap of two sources and refused bytes included, under "mirror <url>" and
    "peer <ip:port>".
    """

    done_bytes: int
    total_bytes: int
    by_source: dict[str, int]
    state: State


class Account:
    """Bytes by source. Invariant: a connection's bytes count once, also after it closed."""

    def __init__(self) -> None:
        self._closed: dict[str, int] = {}
        self._open: dict[tuple[str, object], int] = {}

    def sample(self, connections: Iterable[tuple[str, object, int]]) -> None:
        """Take (source, connection, bytes so far) of every connection that is open now."""
        now = {(source, connection): count for source, connection, count in connections}
        for (source, connection), count in self._open.items():
            if (source, connection) not in now:
                self._add(self._closed, source, count)
        self._open = now

    def add(self, source: str, count: int) -> None:
        """Count bytes that came over no connection of the engine's."""
        self._add(self._closed, source, count)

    def totals(self) -> dict[str, int]:
        totals = dict(self._closed)
        for (source, _), count in self._open.items():
            self._add(totals, source, count)
        return {source: totals[source] for source in sorted(totals) if totals[source]}

    def _add(self, totals: dict[str, int], source: str, count: int) -> None:
        name = source if source in totals or len(totals) < _SOURCES_MAX else "others"
        totals[name] = totals.get(name, 0) + count
