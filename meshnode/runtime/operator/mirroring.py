"""What a static mirror is made from: `mirrored`, `mirrored_way`, `withheld`.

Says what this peer would serve to others, and nothing of what it would not. The files are made by
the command that asks, as the user who started it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any, Final

import trio

from meshnode.control import Message
from meshnode.core.catalogue import Catalogue as HeldCatalogue
from meshnode.core.heads import SNAPSHOT_SEQ, decode_signed_head
from meshnode.core.identifiers import Digest, Kid
from meshnode.core.names import HeadName, LogId, Stretch
from meshnode.core.trust import RootChain
from meshnode.errors import UsageError
from meshnode.runtime.operator.arguments import Action, Arguments, Catalogue, Hex, HexDigest
from meshnode.runtime.operator.payload_listing import require_followed
from meshnode.runtime.peer import Peer

PAGE_OBJECTS: Final = 1000  # in one message


class Mirrored(Arguments):
    """A catalogue that this peer follows."""

    catalogue: Catalogue


class MirroredWay(Arguments):
    """The way to a head, from another on it if one is given."""

    catalogue: Catalogue
    writer: Hex
    wanted: tuple[int, HexDigest]
    known: tuple[int, HexDigest] | None = None


class Withheld(Arguments):
    """Objects and catalogues by their digests."""

    names: tuple[HexDigest, ...]


async def mirrored(peer: Peer, arguments: Mirrored) -> AsyncGenerator[Message, None]:
    """Yield the objects that are here and served to everybody; return roots, forks and heads.

    `missing` counts those that are not here yet, `withheld` those that are served to nobody.
    """
    held = require_followed(peer, arguments.catalogue)
    if held.chain is None:
        raise UsageError("the catalogue's root is not here yet", hint="meshnode status")
    # All of one moment, and in an order that every peer has.
    told, wanted = _told(held, held.chain), sorted(_objects(held).items())
    sealed = await trio.to_thread.run_sync(_sealed, peer, [digest for digest, _ in wanted])
    served = [(d, n) for d, n in wanted if d not in sealed and not peer.node.denials.withholds(d)]
    here = [(digest, size) for digest, size in served if digest in peer.node.replica.objects]
    told |= {"missing": len(served) - len(here), "withheld": len(wanted) - len(served)}
    for start in range(0, len(here), PAGE_OBJECTS):
        page = here[start : start + PAGE_OBJECTS]
        yield {"event": {"objects": [_placed(peer, digest, size) for digest, size in page]}}
    yield {"result": told}


async def mirrored_way(peer: Peer, arguments: MirroredWay) -> AsyncGenerator[Message, None]:
    """Return heads and entries of the way, about 1 MiB at most; the asker asks on.

    Where this peer holds no first head, the way begins with that of a snapshot. It begins anew if
    the known head is not on it.
    """
    log = LogId(arguments.catalogue, Kid(arguments.writer))
    held = require_followed(peer, arguments.catalogue)
    wanted = HeadName(*arguments.wanted)
    stretches = _stretches(held, log.writer, wanted, arguments.known)
    if not stretches:
        raise UsageError(f"this peer does not hold head {wanted.seq} of this log")
    heads, entries = await trio.to_thread.run_sync(peer.store.log, log, stretches)
    yield {
        "result": {
            "heads": [raw.hex() for raw in heads],
            "first": stretches[0].first,
            "entries": [raw.hex() for raw in entries],
        }
    }


async def withheld(peer: Peer, arguments: Withheld) -> AsyncGenerator[Message, None]:
    """Return which of these are served to nobody."""
    names = arguments.names
    sealed = await trio.to_thread.run_sync(_sealed, peer, names)
    found = []
    for name in names:
        await trio.lowlevel.checkpoint()  # each walks through the segments of a catalogue
        if name in sealed or peer.node.withholds(name):
            found.append(name.hex())
    yield {"result": {"withheld": found}}


def _told(held: HeldCatalogue, chain: RootChain) -> dict[str, Any]:
    roots = [*(root.raw for root in chain.held), *(purge.raw for purge in chain.purges)]
    return {
        "roots": [raw.hex() for raw in roots],
        "names": [[version, digest.hex()] for version, digest in chain.newest],
        "forks": sorted(found.raw.hex() for found in held.forks.values()),
        "ways": [
            {"writer": kid.hex(), "newest": newest}
            for kid, log in sorted(held.logs.items())
            for newest in sorted(b.raw_at(b.seq).hex() for b in log.branches if b.keeps(b.seq))
        ],
    }


def _objects(held: HeldCatalogue) -> dict[Digest, int]:
    """Return each object that the catalogue counts, with its size; newest snapshots too."""
    found: dict[Digest, int] = {}
    for name in held.contents.segments:
        if (segment := held.segment(name)) is not None:
            found[segment.digest] = segment.size_bytes
    found |= {ref.digest: ref.size_bytes for ref in held.objects()}
    for log in held.logs.values():
        for branch in log.branches:
            head = decode_signed_head(branch.raw_at(branch.seq)) if branch.head else None
            if head and (ref := head.head.snapshot) and ref.object not in held.purged:
                found[ref.object] = ref.size_bytes
    return found


def _stretches(
    held: HeldCatalogue, writer: Kid, wanted: HeadName, known: tuple[int, Digest] | None
) -> Sequence[Stretch]:
    log = held.logs.get(writer)
    branch = log.find(wanted) if log else None
    if log is None or branch is None:
        return ()
    names = [HeadName(*known)] if known else []
    while branch.base is not None:
        branch = branch.base
    if branch.begin_seq:  # the first branch begins with the first of its snapshots
        names.append(HeadName(SNAPSHOT_SEQ, branch.snapshots[0].ref.object))
    return log.stretches(wanted, names)


def _sealed(peer: Peer, names: Sequence[Digest]) -> dict[Digest, None]:
    return {name: None for name in names if peer.index.is_sealed(name)}


def _placed(peer: Peer, digest: Digest, size_bytes: int) -> list[Any]:
    return [digest.hex(), size_bytes, str(peer.store.object_path(digest))]


ACTIONS: dict[str, Action] = {
    "mirrored": (Mirrored, mirrored),
    "mirrored_way": (MirroredWay, mirrored_way),
    "withheld": (Withheld, withheld),
}
