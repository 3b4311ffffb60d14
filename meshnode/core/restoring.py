"""What the disk remembers of one catalogue, taken over at boot.

All of it is checked again, by the rules by which it was once adopted; whether it still counts
follows from all of it together.
"""

from __future__ import annotations

from collections.abc import Sequence

from meshnode.core.catalogue import Catalogue
from meshnode.core.durable import StoredLog
from meshnode.core.encoding import MalformedRecordError
from meshnode.core.gossip import log_of
from meshnode.core.heads import SignedHead, decode_signed_head
from meshnode.core.identifiers import catalogue_text
from meshnode.core.log import LogFault
from meshnode.core.names import LogId
from meshnode.core.signing import Verify
from meshnode.core.snapshots import Beginning, begin
from meshnode.core.trust import UntrustedError
from meshnode.errors import StorageError


def restore_chain(catalogue: Catalogue, raws: Sequence[bytes], check_signature: Verify) -> None:
    """Take over roots and purges.

    Raises:
        StorageError: they are not what this peer once checked.
    """
    try:
        chain = catalogue.extended(raws, check_signature)
    except (MalformedRecordError, UntrustedError) as error:
        raise _damaged(catalogue, "root") from error
    if chain is None or len(chain.held) + len(chain.purges) != len(raws):
        raise _damaged(catalogue, "root")
    catalogue.obey(chain)


def restore_log(catalogue: Catalogue, stored: StoredLog, check_signature: Verify) -> None:
    """Take over a branch as it was once adopted: what a root has closed since is still there.

    Raises:
        StorageError: it is not what this peer once checked.
    """
    try:
        heads = [decode_signed_head(raw) for raw in stored.heads]
    except MalformedRecordError as error:
        raise _damaged(catalogue, "log") from error
    is_authentic = [_was_authentic(catalogue, stored.log, h, check_signature) for h in heads]
    if not heads or not all(is_authentic):
        raise _damaged(catalogue, "log")
    log = catalogue.log(stored.log.writer)
    last = heads[-1].signed.digest  # a branch too many was adopted because it was needed
    beginning = beginning_of(catalogue, stored, heads[0])
    result = log.consider(heads, stored.first, stored.entries, last, beginning)
    held = (len(stored.heads), len(stored.entries))
    if isinstance(result, LogFault) or (len(result.heads), len(result.raws)) != held:
        raise _damaged(catalogue, "log")
    catalogue.adopt(stored.log.writer, result)


def beginning_of(catalogue: Catalogue, stored: StoredLog, first: SignedHead) -> Beginning | None:
    """Return the snapshot that a branch begins with, None if it begins with no snapshot.

    Raises:
        StorageError: it is not the one that the branch's first head names.
    """
    if not stored.beginning:
        return None
    try:
        if first.head.snapshot is None:
            raise MalformedRecordError("the first head names no snapshot")
        return begin(stored.log, first.head.snapshot, stored.beginning)
    except MalformedRecordError as error:
        raise _damaged(catalogue, "log") from error


def _was_authentic(
    catalogue: Catalogue, log: LogId, offered: SignedHead, check_signature: Verify
) -> bool:
    if catalogue.chain is None or log_of(offered.head) != log:
        return False
    return catalogue.chain.head_fault(offered.head, offered.signed, check_signature) is None


def _damaged(catalogue: Catalogue, what: str) -> StorageError:
    return StorageError(
        f"the {what} of {catalogue_text(catalogue.id)} on this disk is damaged",
        hint=f"move the data directory away and start anew: peers still have the {what}",
    )
