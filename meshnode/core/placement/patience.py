"""For how long each extent has been in want of a copy: what seems lost mostly comes back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from meshnode.core.placement.archive import Archive, Integers, Mask

PERIOD_SECONDS: Final = 600
NEVER: Final = -1


@dataclass(frozen=True, slots=True)
class Patience:
    """Since when each of E extents is in want, in seconds of any clock; NEVER where it is not."""

    since: Integers

    @classmethod
    def new(cls, extents: int) -> Patience:
        return cls(np.full(extents, NEVER, np.int64))

    def seen(self, in_want: Mask, now_seconds: int) -> Patience:
        """Return it after a look at which extents are in want."""
        began = np.where(self.since == NEVER, now_seconds, self.since)
        return Patience(np.where(in_want, began, NEVER))

    def streaks(self, now_seconds: int) -> Integers:
        """Return 1 and the whole periods passed since; 0 where nothing is wanted.

        They count time, not looks: a node that looks more often is not sooner.
        """
        passed = 1 + np.maximum(now_seconds - self.since, 0) // PERIOD_SECONDS
        return np.where(self.since == NEVER, 0, passed)

    def carried(self, before: Archive, after: Archive) -> Patience:
        """Return it for an archive to which payloads came, and from which some went."""
        since = np.full(len(after), NEVER, np.int64)
        for key, place in after.places.items():
            if (old := before.places.get(key)) is None:
                continue
            kept = self.since[before.starts[old] : before.starts[old + 1]]
            since[after.starts[place] : after.starts[place] + len(kept)] = kept
        return Patience(since)
