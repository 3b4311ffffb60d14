"""What a simulated peer answers, from its node and its synced disk, and how many bytes carry it.

Nothing is decided here: honest answers are those of the runtime's adapters. What adversaries say in
their place is in `adversaries`.
"""

from __future__ import annotations

from typing import assert_never

from meshnode.core.effects import (
    AskHeads,
    AskLog,
    AskRoots,
    AskSnapshot,
    Comparing,
    FetchObject,
    Request,
)
from meshnode.core.encoding import MalformedRecordError
from meshnode.core.events import (
    Event,
    HeadsReceived,
    LogReceived,
    ObjectStored,
    RequestFailed,
    RootsReceived,
    SnapshotReceived,
)
from meshnode.core.exchange import (
    AskHello,
    AskRecon,
    AskRecords,
    HelloReceived,
    ReconReceived,
    RecordsReceived,
)
from meshnode.core.hello import Greeting
from meshnode.core.identifiers import Digest
from meshnode.core.snapshots import begin
from meshnode.core.verdicts import Check
from simulations.machine import Machine

NAME_BYTES = 34  # of a catalogue or record, in a frame
ROOT_NAME_BYTES = 72  # catalogue, version, digest


def said_bytes(request: Request) -> int:
    """Return what a question says beyond a few ids."""
    match request:
        case AskRecon(chosen=chosen, message=message):
            return len(chosen or b"") + len(message)
        case AskRecords(names=names):
            return len(names) * NAME_BYTES
        case _:
            return 0


def answer_from(holder: Machine, request: Request) -> tuple[Event, int]:
    """Return the event that the asker will get, and the bytes that carry it."""
    disk = holder.disk
    match request:
        case AskHeads(_, catalogues):
            raws = disk.newest_heads(catalogues)
            roots = holder.node.newest_roots(catalogues)
            size = sum(map(len, raws)) + len(roots) * ROOT_NAME_BYTES
            return HeadsReceived(holder.name, raws, roots), size
        case AskRoots(_, catalogue, after):
            raws = disk.chain(catalogue, after)
            return RootsReceived(holder.name, catalogue, raws), sum(map(len, raws))
        case AskLog(_, log, wanted, known):
            stretches = holder.node.stretches(log, wanted, known)
            if not stretches:
                return RequestFailed(request, "not held"), 0
            heads, entries = disk.read(log, stretches)
            size = sum(map(len, heads)) + sum(map(len, entries))
            return LogReceived(holder.name, log, heads, stretches[0].first, entries), size
        case AskSnapshot():
            return _snapshot_from(holder, request)
        case AskHello() | AskRecon() | AskRecords():
            return _told_by(holder, request)
        case FetchObject(_, digest, size_bytes):
            withheld = digest in holder.index.sealed or holder.node.withholds(digest)
            held_bytes = None if withheld else disk.objects.get(digest)
            if digest in disk.rotten:
                reason = "the object has another hash"
                return RequestFailed(request, reason, Check.CONTENT_HASH), size_bytes
            return _object_from(held_bytes, request, digest, size_bytes)
        case _:
            assert_never(request)


def _told_by(holder: Machine, request: Comparing) -> tuple[Event, int]:
    """Return what a peer answers that is asked who it is and what it holds."""
    peer, attempt, disclosure = holder.name, request.attempt, holder.node.disclosure
    match request:
        case AskHello() if holder.version < 2:
            return HelloReceived(peer, attempt, None), 0
        case AskHello(_, known):
            greeting = disclosure.greet(known)
            return HelloReceived(peer, attempt, greeting), _greeting_bytes(greeting)
        case AskRecon(_, admitted, chosen, message):
            try:
                answer = disclosure.reconcile(admitted, chosen, message)
            except MalformedRecordError:
                return RequestFailed(request, "refused"), 0
            if isinstance(answer, Greeting):
                return HelloReceived(peer, attempt, answer), _greeting_bytes(answer)
            return ReconReceived(peer, attempt, answer), len(answer)
        case AskRecords(_, names):
            raws = disclosure.records(names)
            return RecordsReceived(peer, attempt, raws), sum(map(len, raws))
        case _:
            assert_never(request)


def _greeting_bytes(greeting: Greeting) -> int:
    return (len(greeting.added) + len(greeting.removed)) * NAME_BYTES


def _snapshot_from(holder: Machine, request: AskSnapshot) -> tuple[Event, int]:
    """Return the object as the asker checks it; what fails a check is no peer's fault."""
    ref, disk = request.ref, holder.disk
    if ref.object not in disk.objects or holder.node.withholds(ref.object):
        return RequestFailed(request, "not held"), 0
    if ref.object in disk.rotten:
        reason = "the object has another hash"
        return RequestFailed(request, reason, Check.CONTENT_HASH), ref.size_bytes
    try:
        beginning = begin(request.log, ref, disk.shared.snapshots[ref.object])
    except MalformedRecordError as error:
        return RequestFailed(request, str(error)), ref.size_bytes
    return SnapshotReceived(holder.name, request.log, beginning), ref.size_bytes


def _object_from(
    held_bytes: int | None, request: FetchObject, digest: Digest, size_bytes: int
) -> tuple[Event, int]:
    """A holder's bytes that are not as many as the log declares are cut off by the asker."""
    if held_bytes is None:
        return RequestFailed(request, "not held"), 0
    if held_bytes != size_bytes:
        fault = RequestFailed(request, "the object has another size", Check.CONTENT_HASH)
        return fault, min(held_bytes, size_bytes)
    return ObjectStored(digest), size_bytes
