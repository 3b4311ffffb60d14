"""How urgent a piece is to the engine, by who wants it: a pure function, and the only one.

Priorities are libtorrent's: 0 not at all, 1 last, 7 first. Of several wants the strongest counts,
so that nobody can take away what another one waits for.
"""

from __future__ import annotations

from enum import IntEnum


class Want(IntEnum):
    """Why a piece is fetched, the least urgent reason first; the values are priorities."""

    HOLD = 1  # this peer gives room to others: it has time
    DOWNLOAD = 4  # somebody waits for whole files
    READ = 7  # a program waits for these bytes


UNWANTED = 0


def priority(*, readers: int, downloads: int, holds: int) -> int:
    """Return the priority of a piece that so many of each kind want."""
    if readers:
        return Want.READ
    if downloads:
        return Want.DOWNLOAD
    return Want.HOLD if holds else UNWANTED
