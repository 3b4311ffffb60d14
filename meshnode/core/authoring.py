"""The publisher's side of the records: a first root, and the next head of a log.

Pure: keys come as callables that sign, and nothing here touches files or asks peers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from meshnode.core.encoding import MalformedRecordError
from meshnode.core.entries import Entry, decode_entry, encode_entry
from meshnode.core.heads import (
    FIRST_SEQ,
    Head,
    SignedHead,
    SnapshotRef,
    begun_by,
    decode_head,
    encode_head,
)
from meshnode.core.identifiers import CatalogueId, Kid, PublicKey
from meshnode.core.limits import HEAD_ENTRIES_MAX, HEAD_ENTRY_BYTES_MAX
from meshnode.core.merkle import Frontier, leaf_hash
from meshnode.core.roots import ED25519, FIRST_VERSION, Role, Root, RootKey, Writer
from meshnode.core.signed import Signed, encode_signed
from meshnode.errors import UsageError


@dataclass(frozen=True, slots=True)
class LogState:
    """All that the next head of a log is made from. `clock` is the last entry's, 0 if none."""

    catalogue: CatalogueId
    writer: Kid
    root_version: int
    head: SignedHead | None
    frontier: Frontier
    clock: int


def first_root(
    root_key: PublicKey,
    writers: Sequence[tuple[PublicKey, str]],
    meta: Mapping[str, str | int],
    issued: int,
    review_by: int,
) -> Root:
    """Return the first root of a catalogue with one root key; writers with their labels."""
    return Root(
        version=FIRST_VERSION,
        prev=None,
        issued=issued,
        review_by=review_by,
        keys=(RootKey(ED25519, root_key),),
        root_role=Role(1, (0,)),
        next=None,
        writers=tuple(Writer(key, label) for key, label in writers),
        delegates=(),
        meta=dict(meta),
    )


def extend(
    state: LogState,
    entries: Sequence[Entry],
    *,
    issued: int,
    next_by: int | None,
    sign: Callable[[bytes], Signed],
    snapshot: SnapshotRef | None = None,
) -> tuple[bytes, int, tuple[bytes, ...]]:
    """Sign a head over the log and these entries; it begins `snapshot`, or names the one before.

    Returns:
        The signed head, the index of the first new entry, and the entries encoded.

    Raises:
        UsageError: an entry that no peer would take, or too many of them.
    """
    raws = tuple(_encoded(entries, state.clock))
    size_bytes = sum(map(len, raws))
    if len(raws) > HEAD_ENTRIES_MAX or size_bytes > HEAD_ENTRY_BYTES_MAX:
        raise UsageError(
            f"{len(raws)} entries of {size_bytes} bytes are too many under one head: the limits "
            f"are {HEAD_ENTRIES_MAX} entries and {HEAD_ENTRY_BYTES_MAX} bytes",
            hint="publish them in several steps",
        )
    frontier = state.frontier.extend([leaf_hash(raw) for raw in raws])
    last = state.head
    head = Head(
        catalogue=state.catalogue,
        writer=state.writer,
        root_version=state.root_version,
        seq=last.head.seq + 1 if last else FIRST_SEQ,
        prev=last.signed.digest if last else None,
        size=frontier.size,
        tree=frontier.root(),
        snapshot=snapshot or (last.head.snapshot if last else None),
        issued=issued,
        next_by=next_by,
    )
    assert snapshot is None or begun_by(head, last.head if last else None) == snapshot
    payload = encode_head(head)
    decode_head(payload)  # what peers would refuse is never signed
    return encode_signed(sign(payload)), state.frontier.size, raws


def _encoded(entries: Sequence[Entry], clock: int) -> list[bytes]:
    raws = []
    for entry in entries:
        assert entry.clock > clock, "clocks rise along a log"
        clock = entry.clock
        raw = encode_entry(entry)
        try:
            decode_entry(raw)
        except MalformedRecordError as error:
            raise UsageError(f"an entry breaks the rules of the log: {error}") from error
        raws.append(raw)
    return raws
