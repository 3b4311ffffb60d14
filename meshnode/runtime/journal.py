"""The account of what happens: every event and effect to the log, to watchers, blames remembered.

Writes the same lines that the simulator hashes (`core.trace`).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import structlog

from meshnode.core import events as ev
from meshnode.core import trace
from meshnode.core.identifiers import PeerId
from meshnode.runtime.bulletin import Bulletin
from meshnode.runtime.clock import unix_now

BLAMES_MAX = 256  # the newest faults of peers, shown to the operator

Notice = ev.Event | ev.Effect

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RememberedBlame:
    """One fault of a peer; `time` in unix seconds."""

    time: int
    peer: PeerId
    check: ev.Check
    reason: str


class Journal:
    """Sees every event and effect once, in the order in which the node did."""

    def __init__(self) -> None:
        self.notices: Bulletin[Notice] = Bulletin()
        self.blames: deque[RememberedBlame] = deque(maxlen=BLAMES_MAX)

    def observe(self, notice: Notice) -> None:
        self.notices.post(notice)
        match notice:
            case ev.Blame(peer, check, reason):
                self.blames.append(RememberedBlame(unix_now(), peer, check, reason))
                _log.warning("blame", peer=peer, check=check.value, reason=reason)
            case ev.SegmentRefused(ref, reason):
                _log.warning("segment refused", segment=ref.digest.hex(), reason=reason)
            case ev.StorageFailed(reason):
                _log.error("storage failed: read-only from here on", reason=reason)
            case _:
                _log.debug(trace.line(notice))
