"""What the peer does, as it does it: `events`, a line a happening."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from meshnode.control import Message
from meshnode.core.durable import AdoptRoot, ExtendLog, KeepFork
from meshnode.core.effects import Blame
from meshnode.core.events import (
    PeerConnected,
    PeerDisconnected,
    SegmentIndexed,
    SegmentRefused,
    StorageFailed,
)
from meshnode.core.identifiers import catalogue_text, object_text
from meshnode.core.names import SegmentRef
from meshnode.errors import UsageError
from meshnode.runtime.clock import unix_now
from meshnode.runtime.journal import Notice, PayloadProgress
from meshnode.runtime.operator.arguments import Action, Nothing
from meshnode.runtime.peer import Peer


async def events(peer: Peer, _: Nothing) -> AsyncGenerator[Message, None]:
    """Yield what happens from now on, until the asker goes away: {"time", "what", …}.

    The first one is "watching". Who reads too slowly is sent away: nobody waits for him.
    """
    with peer.journal.notices.watch(_happening) as watcher:
        yield {"event": {"time": unix_now(), "what": "watching", "peer": peer.id}}
        while not watcher.missed:
            yield {"event": await watcher.receive()}
    raise UsageError(
        f"too slow to watch: {watcher.missed} events did not fit",
        hint="watch again; `meshnode status` says how the peer stands",
    )


def _happening(notice: Notice) -> Message | None:
    said = _said(notice)
    return None if said is None else {"time": unix_now(), **said}


def _said(notice: Notice) -> Message | None:  # noqa: C901, PLR0911 - one return a kind
    """Return what the operator is told of a notice; None where it says nothing to him."""
    match notice:
        case PeerConnected(peer):
            return {"what": "peer joined", "peer": peer}
        case PeerDisconnected(peer):
            return {"what": "peer left", "peer": peer}
        case AdoptRoot(catalogue, version, _):
            said = {"what": "root adopted", "catalogue": catalogue_text(catalogue)}
            return said | {"version": version}
        case ExtendLog():
            return _adopted(notice)
        case KeepFork(log, _):
            said = {"what": "log disputed", "catalogue": catalogue_text(log.catalogue)}
            return said | {"writer": log.writer.hex()}
        case SegmentIndexed(ref):
            return {"what": "segment indexed", **_segment(ref)}
        case SegmentRefused(ref, reason):
            return {"what": "segment refused", **_segment(ref), "reason": reason}
        case Blame(peer, check, reason):
            return {"what": "blame", "peer": peer, "check": check.value, "reason": reason}
        case StorageFailed(reason):
            return {"what": "read-only", "reason": reason}
        case PayloadProgress(payload, done, total):
            said = {"what": "payload progress", "payload": object_text(payload)}
            return said | {"done_bytes": done, "total_bytes": total}
        case _:
            return None


def _adopted(extension: ExtendLog) -> Message:
    return {
        "what": "head adopted",
        "catalogue": catalogue_text(extension.log.catalogue),
        "writer": extension.log.writer.hex(),
        "seq": extension.heads[-1][0],
        "entries": len(extension.entries),
    }


def _segment(ref: SegmentRef) -> Message:
    return {
        "catalogue": catalogue_text(ref.log.catalogue),
        "collection": ref.collection,
        "segment": object_text(ref.digest),
        "rows": ref.rows,
    }


ACTIONS: dict[str, Action] = {"events": (Nothing, events)}
