"""The next version of a root: what an institution can change, and how two versions differ.

Pure: makes unsigned roots and words about them. Whether a signed root counts is decided by `trust`
(protocol/04-log-and-trust.md, "Roots").
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from meshnode.core.encoding import MalformedRecordError
from meshnode.core.identifiers import (
    CatalogueId,
    Kid,
    PublicKey,
    catalogue_text,
    key_id,
    sha256,
)
from meshnode.core.roots import (
    ED25519,
    Closing,
    Delegate,
    LastHead,
    NextRole,
    Role,
    Root,
    RootKey,
    Writer,
    decode_root,
    encode_root,
)
from meshnode.errors import UsageError

Change = Callable[[Root], Root]


def amended(root: Root, changes: Sequence[Change], *, issued: int, review_by: int) -> Root:
    """Return the version after `root` with these changes.

    Raises:
        UsageError: a change that does not fit, or a root that no peer would take.
    """
    after = replace(
        root,
        version=root.version + 1,
        prev=sha256(encode_root(root)),
        issued=max(issued, root.issued),
        review_by=max(review_by, root.review_by),
    )
    for change in changes:
        after = change(after)
    try:
        decode_root(encode_root(after))
    except MalformedRecordError as error:
        raise UsageError(f"such a root breaks the rules: {error}") from error
    return after


def add_writer(key: PublicKey, label: str, prefixes: Sequence[str] | None) -> Change:
    """Let a key extend the catalogue, in collections with these prefixes or (None) in all."""

    def change(root: Root) -> Root:
        if any(writer.public_key == key for writer in root.writers):
            raise UsageError(f"{key_id(key).hex()} is a writer of this catalogue already")
        writer = Writer(key, label, None if prefixes is None else tuple(prefixes))
        return replace(root, writers=(*root.writers, writer))

    return change


def close_writer(kid: Kid, last: Closing) -> Change:
    """End a writer's log after the head `last`; with False nothing of it counts any more."""

    def change(root: Root) -> Root:
        if all(writer.kid != kid for writer in root.writers):
            raise UsageError(f"{kid.hex()} is not a writer of this catalogue")
        writers = (
            replace(writer, closed=last) if writer.kid == kid else writer for writer in root.writers
        )
        return replace(root, writers=tuple(writers))

    return change


def set_delegate(prefix: str, catalogue: CatalogueId | None) -> Change:
    """Give collections with this prefix to another catalogue, or (None) take them back."""

    def change(root: Root) -> Root:
        others = tuple(each for each in root.delegates if each.prefix != prefix)
        if catalogue is None:
            if len(others) == len(root.delegates):
                raise UsageError(f"no collections with the prefix {prefix!r} are delegated")
            return replace(root, delegates=others)
        return replace(root, delegates=(*others, Delegate(prefix, catalogue)))

    return change


def set_root_role(keys: Sequence[PublicKey], threshold: int) -> Change:
    """Take other root keys; a commitment to next keys is used up by it."""

    def change(root: Root) -> Root:
        role = Role(threshold, tuple(range(len(keys))))
        listed = tuple(RootKey(ED25519, key) for key in keys)
        return replace(root, keys=listed, root_role=role, next=None)

    return change


def commit_next(keys: Sequence[PublicKey], threshold: int) -> Change:
    """Commit to the root keys that the next rotation takes, by their digests alone."""
    committed = NextRole(threshold, tuple(sha256(key) for key in keys))
    return lambda root: replace(root, next=committed)


def set_meta(fields: Mapping[str, str | int]) -> Change:
    return lambda root: replace(root, meta={**root.meta, **fields})


def role_keys(root: Root) -> tuple[PublicKey, ...]:
    """Return the root role's keys."""
    return tuple(root.keys[index].public_key for index in root.root_role.keys)


def differences(before: Root | None, after: Root) -> list[str]:
    """Return what `after` changes, one line each; without `before` all that it says."""
    return [
        *_meta_lines(before.meta if before else {}, after.meta),
        *_role_lines(before, after),
        *_writer_lines(before, after),
        *_delegate_lines(before, after),
    ]


def _meta_lines(before: Mapping[str, str | int], after: Mapping[str, str | int]) -> Iterator[str]:
    for name in sorted({**before, **after}):
        old, new = before.get(name), after.get(name)
        if old is None:
            yield f"{name}: {new}"
        elif old != new:
            yield f"{name}: {new if new is not None else 'none'} (was {old})"


def _role_lines(before: Root | None, after: Root) -> Iterator[str]:
    old, new = role_keys(before) if before else (), role_keys(after)
    if before is None or (old, before.root_role.threshold) != (new, after.root_role.threshold):
        yield f"root keys: {after.root_role.threshold} of {len(new)} must sign"
    yield from (f"root key {key_id(key).hex()} added" for key in new if key not in old)
    yield from (f"root key {key_id(key).hex()} removed" for key in old if key not in new)
    if after.next is not None and (before is None or before.next != after.next):
        number = len(after.next.keys)
        yield f"next root keys committed: {after.next.threshold} of {number}"


def _writer_lines(before: Root | None, after: Root) -> Iterator[str]:
    known = {writer.kid: writer for writer in (before.writers if before else ())}
    for writer in after.writers:
        old, name = known.get(writer.kid), f"writer {writer.kid.hex()} ({writer.label})"
        if old is None:
            yield f"{name} added, for {_scope(writer)}"
        elif old.prefixes != writer.prefixes:
            yield f"{name} now for {_scope(writer)} (was {_scope(old)})"
        if writer.closed is not None and (old is None or old.closed != writer.closed):
            yield f"{name} closed: {_closing(writer.closed)}"


def _scope(writer: Writer) -> str:
    if writer.prefixes is None:
        return "all collections"
    return "collections " + ", ".join(f"{prefix}*" for prefix in writer.prefixes)


def _closing(closed: Closing) -> str:
    if isinstance(closed, LastHead):
        return f"its head {closed.seq} ({closed.head.hex()[:16]}…) is the last that counts"
    return "nothing of its log counts"


def _delegate_lines(before: Root | None, after: Root) -> Iterator[str]:
    old = {each.prefix: each.catalogue for each in (before.delegates if before else ())}
    new = {each.prefix: each.catalogue for each in after.delegates}
    for prefix in sorted({**old, **new}):
        if prefix not in new:
            yield f"collections {prefix}* are no longer another catalogue's"
        elif old.get(prefix) != new[prefix]:
            yield f"collections {prefix}* are those of {catalogue_text(new[prefix])}"
