"""The account of what happens: every event and effect to the log, to watchers, blames remembered.

Writes the same lines that the simulator hashes (`core.trace`).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import structlog

from meshnode.core import trace
from meshnode.core.effects import Blame, Effect
from meshnode.core.events import Event, SegmentRefused, StorageFailed
from meshnode.core.identifiers import Digest, PeerId
from meshnode.core.verdicts import Check
from meshnode.runtime.bulletin import Bulletin
from meshnode.runtime.clock import unix_now

BLAMES_MAX = 256  # the newest faults of peers, shown to the operator


@dataclass(frozen=True, slots=True)
class PayloadProgress:
    """How far a payload has come: of the files asked for, the bytes that are verified."""

    payload: Digest
    done_bytes: int
    total_bytes: int


Notice = Event | Effect | PayloadProgress

READ_ONLY_HINT = "free disk space, then start the peer again: it goes on by itself"

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RememberedBlame:
    """One fault of a peer; `time` in unix seconds."""

    time: int
    peer: PeerId
    check: Check
    reason: str


class Journal:
    """Sees every event and effect once, in the order in which the node did.

    Payloads are none of the node's business: how they get on is posted beside.
    """

    def __init__(self) -> None:
        self.notices: Bulletin[Notice] = Bulletin()
        self.blames: deque[RememberedBlame] = deque(maxlen=BLAMES_MAX)

    def observe(self, notice: Event | Effect) -> None:
        self.notices.post(notice)
        match notice:
            case Blame(peer, check, reason):
                self.blames.append(RememberedBlame(unix_now(), peer, check, reason))
                _log.warning(trace.line(notice))
            case SegmentRefused():
                _log.warning(trace.line(notice))
            case StorageFailed():
                _log.error(trace.line(notice), hint=READ_ONLY_HINT)
            case _:
                _log.debug(trace.line(notice))

    def progressed(self, progress: PayloadProgress) -> None:
        self.notices.post(progress)
