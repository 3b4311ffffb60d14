"""Why the node did not do what was asked: the operator's mistake, or a disk that takes nothing."""

from __future__ import annotations

from meshnode.errors import MeshnodeError, StorageError, UsageError
from meshnode.runtime.journal import READ_ONLY_HINT
from meshnode.runtime.peer import Peer


def refused(peer: Peer, refusal: str) -> MeshnodeError:
    """Return the error that says so, by whose fault it is."""
    if peer.node.read_only:
        return StorageError(refusal, hint=READ_ONLY_HINT)
    return UsageError(refusal)
