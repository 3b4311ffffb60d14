"""What was signed, for people who want to see it: `roots`, `history`, `evidence`.

Answers with the signed bytes themselves where the asker is to check them.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Iterator, Sequence
from typing import Any

import trio

from meshnode.control import Message
from meshnode.core import amendments
from meshnode.core.catalogue import Catalogue as HeldCatalogue
from meshnode.core.entries import Entry, SegmentAdded, UnknownEntry, decode_entry
from meshnode.core.heads import Head, SignedHead, decode_signed_head
from meshnode.core.history import sentence
from meshnode.core.identifiers import Digest, Kid, object_text, sha256
from meshnode.core.merkle import inclusion_proof, leaf_hash
from meshnode.core.names import LogId, Stretch
from meshnode.core.roots import Writer
from meshnode.core.trust import RootChain
from meshnode.errors import UsageError
from meshnode.runtime.index.query import Found
from meshnode.runtime.operator.arguments import Action, Arguments, Catalogue, Hex
from meshnode.runtime.peer import Peer
from meshnode.runtime.store import Store


class Named(Arguments):
    """A catalogue that this peer holds."""

    catalogue: Catalogue


class Heads(Arguments):
    catalogue: Catalogue
    writer: Hex


class History(Arguments):
    """The newest `limit` steps, of one collection if it is named."""

    catalogue: Catalogue
    limit: int
    collection: str | None = None


class Evidence(Arguments):
    catalogue: Catalogue
    collection: str
    item: str


async def roots(peer: Peer, arguments: Named) -> AsyncGenerator[Message, None]:
    """Return the signed roots in force, and those after them that void each other."""
    _, chain = _held(peer, arguments.catalogue)
    yield {
        "result": {
            "roots": [raw.hex() for raw in chain.raws],
            "rivals": [root.raw.hex() for root in chain.rivals],
        }
    }


async def heads(peer: Peer, arguments: Heads) -> AsyncGenerator[Message, None]:
    """Return seq and digest of every head held of one writer."""
    held, _ = _held(peer, arguments.catalogue)
    names = [
        branch.name_at(seq)
        for branch in held.log(Kid(arguments.writer)).branches
        for seq in range(branch.base_seq + 1, branch.seq + 1)
    ]
    yield {"result": {"heads": [(name.seq, name.digest.hex()) for name in names]}}


async def history(peer: Peer, arguments: History) -> AsyncGenerator[Message, None]:
    """Yield {"step": …}, newest first: heads with what their entries change, and roots."""
    held, chain = _held(peer, arguments.catalogue)
    steps = await trio.to_thread.run_sync(_steps, peer.store, held, arguments.collection)
    steps += [] if arguments.collection else list(_root_steps(chain))
    steps.sort(key=lambda step: (step["time"], step["seq"]), reverse=True)
    for step in steps[: arguments.limit]:
        yield {"event": {"step": step}}
    yield {"result": {"steps": len(steps), "snapshots": list(_beginnings(held, chain))}}


async def evidence(peer: Peer, arguments: Evidence) -> AsyncGenerator[Message, None]:
    """Return the item as this peer shows it, and the signed bytes that lead to the root."""
    held, chain = _held(peer, arguments.catalogue)
    wanted = arguments.catalogue, arguments.collection, arguments.item
    found = await trio.to_thread.run_sync(peer.index.item, *wanted)
    if not found:
        raise UsageError(
            f"no item {arguments.item!r} of {arguments.collection!r} is shown here",
            hint="it may be withdrawn: meshnode log CATALOGUE --collection COLLECTION",
        )
    yield {"result": await trio.to_thread.run_sync(evidence_of, peer.store, held, chain, found[0])}


def evidence_of(
    store: Store, held: HeldCatalogue, chain: RootChain, found: Found
) -> dict[str, Any]:
    """Return an item and the signed bytes that lead from it to the root of its catalogue.

    Reads the disk: use a worker thread.

    Raises:
        UsageError: this peer does not hold the way.
    """
    return {
        "item": found.item.decode(),
        "segment": object_text(found.segment),
        "path": str(store.object_path(found.segment)),
        "roots": [raw.hex() for raw in chain.raws],
        **_proof(store, held, found),
    }


def issued_times(
    store: Store, held: HeldCatalogue, writer: Kid, entries: Collection[Digest]
) -> dict[Digest, int]:
    """Return when the heads were issued that added these entries of a writer, in unix seconds.

    Of an entry on two branches it is the earlier. Reads the writer's log: use a worker thread.
    """
    times: dict[Digest, int] = {}
    for branch in held.log(writer).branches:
        own = list(branch.stretches(branch.base_seq, branch.seq))
        heads, raws = _read(store, LogId(held.id, writer), own)
        first = branch.base_size
        for offered in heads:
            head = offered.head
            for raw in raws[first - branch.base_size : head.size - branch.base_size]:
                if (digest := sha256(raw)) in entries:
                    times[digest] = min(head.issued, times.get(digest, head.issued))
            first = head.size
    return times


def _held(peer: Peer, catalogue: Catalogue) -> tuple[HeldCatalogue, RootChain]:
    held = peer.node.catalogues.get(catalogue)
    if held is None or held.chain is None:
        raise UsageError("this peer does not hold the catalogue", hint="meshnode follow CATALOGUE")
    return held, held.chain


def _beginnings(held: HeldCatalogue, chain: RootChain) -> Iterator[dict[str, Any]]:
    """Yield with which snapshots this peer began logs, whose steps before it does not hold."""
    for kid, log in held.logs.items():
        if log.main.begin_seq and log.main.base is None:
            grant = chain.writer(kid)
            yield {
                "writer": kid.hex(),
                "label": grant.label if grant else "",
                "entries": log.main.base_size,
                "listed": len(log.main.listed),
            }


def _steps(store: Store, held: HeldCatalogue, collection: str | None) -> list[dict[str, Any]]:
    return [
        step
        for kid in held.logs
        for step in _log_steps(store, held, kid)
        if collection is None or any(c["collection"] == collection for c in step["changes"])
    ]


def _log_steps(store: Store, held: HeldCatalogue, kid: Kid) -> Iterator[dict[str, Any]]:
    assert held.chain is not None
    grant = held.chain.writer(kid)
    for branch in held.log(kid).branches:
        own = list(branch.stretches(branch.base_seq, branch.seq))
        heads, raws = _read(store, LogId(held.id, kid), own)
        yield from _branch_steps(held, grant, heads, raws, branch.base_size)


def _branch_steps(
    held: HeldCatalogue,
    grant: Writer | None,
    heads: Sequence[SignedHead],
    raws: Sequence[bytes],
    start: int,
) -> Iterator[dict[str, Any]]:
    """Yield the steps of one branch; `raws` are its entries from index `start`."""
    first = start
    for offered in heads:
        head, kid = offered.head, offered.head.writer
        entries = [decode_entry(raw) for raw in raws[first - start : head.size - start]]
        is_void = held.is_void(kid, offered.name)
        yield {
            "kind": "head",
            "time": head.issued,
            "next_by": head.next_by,
            "seq": head.seq,
            "writer": kid.hex(),
            "label": grant.label if grant else "",
            "root_version": head.root_version,
            "head": offered.signed.digest.hex(),
            "snapshot": _begun_at(head, first),
            "disputed": head.seq >= held.disputed.get(kid, head.seq + 1),
            "changes": [
                {
                    "index": index,
                    "collection": "" if isinstance(entry, UnknownEntry) else entry.collection,
                    "clock": entry.clock,
                    "counts": not is_void and _is_admitted(held, kid, entry),
                    "says": sentence(entry),
                }
                for index, entry in enumerate(entries, first)
            ],
        }
        first = head.size


def _begun_at(head: Head, size_before: int) -> int | None:
    """Return the index of the snapshot that a head begins, the tree of the one before given."""
    ref = head.snapshot
    return ref.index if ref and ref.index == size_before else None


def _is_admitted(held: HeldCatalogue, kid: Kid, entry: Entry) -> bool:
    assert held.chain is not None
    grant = held.chain.writer(kid)
    if grant is None or isinstance(entry, UnknownEntry):
        return grant is not None
    return held.chain.admits(grant, entry.collection)


def _root_steps(chain: RootChain) -> Iterator[dict[str, Any]]:
    before = None
    for signed in chain.in_force:
        yield {
            "kind": "root",
            "time": signed.root.issued,
            "seq": signed.root.version,
            "changes": [{"says": line} for line in amendments.differences(before, signed.root)],
        }
        before = signed.root


def _proof(store: Store, held: HeldCatalogue, found: Found) -> dict[str, Any]:
    """Find the entry that counts for the segment, and its way up to the newest head that counts."""
    live = held.contents.live_segment((found.collection, found.segment))
    if live is None:
        raise UsageError("the log has changed meanwhile", hint="ask again")
    writer, counted = live
    log, last = held.log(writer), held.last_good(writer)
    whole = [branch for branch in log.branches if not branch.begin_seq]
    if len(whole) < len(log.branches):
        raise UsageError(
            f"this peer began the log with a snapshot of its first {log.main.base_size} entries: "
            "it cannot show the way from this item's entry to the head",
            hint="ask a peer that holds the whole log, as that of the writer does",
        )
    for branch in whole:
        end = last if last and log.holds(last) else branch.name_at(branch.seq)
        heads, raws = _read(store, LogId(held.id, writer), log.stretches(end, ()))
        index = _index_of(raws, counted)
        if index is not None:
            break
    else:
        raise AssertionError("the entry that counts is in the log")
    offered = heads[-1]
    leaves = [leaf_hash(raw) for raw in raws[: offered.head.size]]
    return {
        "entry": raws[index].hex(),
        "index": index,
        "proof": [node.hex() for node in inclusion_proof(leaves, index)],
        "head": offered.raw.hex(),
    }


def _index_of(raws: Sequence[bytes], counted: SegmentAdded) -> int | None:
    return next((n for n, raw in enumerate(raws) if decode_entry(raw) == counted), None)


def _read(
    store: Store, log: LogId, stretches: Sequence[Stretch]
) -> tuple[list[SignedHead], list[bytes]]:
    heads, entries = store.whole(log, stretches)
    return [decode_signed_head(raw) for raw in heads], entries


ACTIONS: dict[str, Action] = {
    "roots": (Named, roots),
    "heads": (Heads, heads),
    "history": (History, history),
    "evidence": (Evidence, evidence),
}
