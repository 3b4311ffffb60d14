"""Whether one root may follow another (protocol/04-log-and-trust.md, "Roots").

Pure comparison of two versions; that enough keys of both signed is demanded by `trust`.
"""

from __future__ import annotations

from meshnode.core.identifiers import Digest, sha256
from meshnode.core.limits import ROOT_VERSION_MAX
from meshnode.core.roots import Closing, LastHead, Root, Writer


def succession_fault(before: Root, after: Root) -> str | None:
    """Return why `after` may not follow `before`, which its `prev` names; None if it may."""
    if after.version != before.version + 1:
        return f"version {after.version} cannot follow version {before.version}"
    if after.version > ROOT_VERSION_MAX:
        return f"version {after.version} is beyond the last one, {ROOT_VERSION_MAX}"
    if before.next is not None and not takes_committed(before, after):
        kept = _role(before) == _role(after) and _committed(before) == _committed(after)
        if not kept:
            return "the root role is neither the former one nor the one it committed to"
    return _writers_fault(before, after)


def takes_committed(before: Root, after: Root) -> bool:
    """Say whether the root role of `after` is exactly what `before` committed to."""
    if before.next is None:
        return False
    keys = frozenset(sha256(key) for _, key in _role(after)[1])
    return (after.root_role.threshold, keys) == _committed(before)


def _writers_fault(before: Root, after: Root) -> str | None:
    kept = {writer.kid: writer for writer in after.writers}
    for writer in before.writers:
        successor = kept.get(writer.kid)
        if successor is None:
            return f"{writer.label!r} is not listed any more: a writer is closed, never dropped"
        if fault := _closing_fault(writer, successor.closed):
            return fault
    return None


def _closing_fault(writer: Writer, closed: Closing | None) -> str | None:
    """A closing stays, and may only move to an ancestor: to a smaller seq, or to nothing."""
    before = writer.closed
    if before is None or closed is False or closed == before:
        return None
    if closed is None or before is False:
        return f"{writer.label!r} was closed and counts again"
    assert isinstance(closed, LastHead)
    if closed.seq < before.seq:
        return None
    return f"the closing of {writer.label!r} moves from head {before.seq} to head {closed.seq}"


def _role(root: Root) -> tuple[int, frozenset[tuple[int, bytes]]]:
    """Return threshold and keys, whatever their order in the list of keys."""
    listed = (root.keys[index] for index in root.root_role.keys)
    keys = frozenset((key.algorithm, bytes(key.public_key)) for key in listed)
    return root.root_role.threshold, keys


def _committed(root: Root) -> tuple[int, frozenset[Digest]] | None:
    return None if root.next is None else (root.next.threshold, frozenset(root.next.keys))
