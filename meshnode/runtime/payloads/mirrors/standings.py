"""What this peer knows of a mirror, as the choice of the best source takes it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Final
from urllib.parse import urlsplit

from meshnode.core.mirror_choice import MirrorStanding, Tier
from meshnode.core.mirror_health import NO_WORD, Word
from meshnode.runtime.payloads.mirror_record import MirrorHealth

# Archives give to everybody for ever, and little to one at a time.
_ARCHIVES: Final = (
    re.compile(r"[^/]*/(api/)?records?/\d+(/.*)?"),  # InvenioRDM, on any host
    re.compile(r"([^/]+\.)?archive\.org(:\d+)?/.*"),
)


def standing_of(
    health: MirrorHealth,
    now: int,
    near: Sequence[str],
    transfers: int = 0,
    word: Word = NO_WORD,
) -> MirrorStanding:
    """Return how a mirror stands; `transfers` ask it now, `near` are patterns of host names,
    `word` is what others say of it.
    """
    return MirrorStanding(
        url=health.url,
        bytes_per_second=health.bytes_per_second,
        delay_ms=health.delay_ms,
        failures=health.failures,
        owed=health.owed if health.wrong else 0,
        transfers=transfers,
        is_resting=health.rests_until > now,
        tier=tier_of(health.url, near),
        doubters=word.doubters,
        vouchers=word.vouchers,
    )


def tier_of(url: str, near: Sequence[str]) -> Tier:
    """Say what a mirror is for: one that the operator calls near is near, whatever else it is."""
    parts = urlsplit(url)
    if any(fnmatchcase(parts.hostname or "", pattern) for pattern in near):
        return Tier.NEAR
    place = parts.netloc + parts.path
    return Tier.ARCHIVE if any(each.fullmatch(place) for each in _ARCHIVES) else Tier.USUAL
