"""`catch_up`: ask peers for the newest heads and roots of a catalogue, and wait for them.

A publisher does so before he signs (protocol/04-log-and-trust.md, L-36).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from typing import Final

import trio

from meshnode.control import Message
from meshnode.core.catalogue import Catalogue as HeldCatalogue
from meshnode.core.effects import AskHeads
from meshnode.core.encoding import MalformedRecordError
from meshnode.core.events import HeadsReceived
from meshnode.core.heads import decode_signed_head
from meshnode.core.identifiers import CatalogueId, Kid, PeerId
from meshnode.core.names import HeadName
from meshnode.core.signing import verify
from meshnode.errors import UsageError
from meshnode.runtime.clock import unix_now
from meshnode.runtime.operator.arguments import Action, Arguments, Catalogue
from meshnode.runtime.peer import Peer

PEERS_ASKED_MAX: Final = 16
YOUNG_SECONDS: Final = 30  # a peer that runs longer has met those that it can reach
CONNECT_SECONDS: Final = 5.0  # for the first peer of one that has just started
ANSWER_SECONDS: Final = 10.0
ROOTS_SECONDS: Final = 5.0  # a peer can name a root that nobody has signed: wait no longer
FETCH_SECONDS: Final = 60.0  # for what peers know and we do not


class CatchUp(Arguments):
    """A catalogue that this peer follows."""

    catalogue: Catalogue


async def catch_up(peer: Peer, arguments: CatchUp) -> AsyncGenerator[Message, None]:
    """Return how many peers answered, and of which logs they know more than could be fetched."""
    held = peer.node.catalogues.get(arguments.catalogue)
    if held is None or held.chain is None or not held.followed:
        raise UsageError("this peer does not follow the catalogue", hint="meshnode follow …")
    with peer.journal.notices.watch(lambda notice: notice) as watcher:
        with trio.move_on_after(CONNECT_SECONDS):
            while _is_dialling(peer):
                await watcher.receive()
        answers = await _answers(peer, arguments.catalogue)
        known = _known(held, answers)
        for answer in answers:
            await peer.tell(answer)
        with trio.move_on_after(ROOTS_SECONDS):
            while _lacks_roots(held, answers):
                await watcher.receive()
        with trio.move_on_after(FETCH_SECONDS):
            while _behind(held, known):
                await watcher.receive()
    behind = [
        {"writer": kid.hex(), "known": name.seq, "held": held.log(kid).newest_seq}
        for kid, name in _behind(held, known)
    ]
    yield {"result": {"answered": len(answers), "behind": behind}}


def _is_dialling(peer: Peer) -> bool:
    is_alone = peer.network is not None and not _reached(peer)
    return is_alone and unix_now() < peer.started + YOUNG_SECONDS


def _reached(peer: Peer) -> list[PeerId]:
    """Return the peers and static mirrors that can be asked now."""
    connections = peer.network.mesh.connections() if peer.network else ()
    mirrors = [watched.name for watched in peer.mirrors.all() if watched.is_connected]
    return [connection.peer for connection in connections] + mirrors


async def _answers(peer: Peer, catalogue: CatalogueId) -> list[HeadsReceived]:
    """Ask the connected peers at once; those that are slow or fail say nothing."""
    network, answers = peer.network, list[HeadsReceived]()
    if network is None:
        return answers

    async def ask(name: PeerId) -> None:
        answer = await network.perform(AskHeads(name, (catalogue,)))
        if isinstance(answer, HeadsReceived):
            answers.append(answer)

    with trio.move_on_after(ANSWER_SECONDS):
        async with trio.open_nursery() as nursery:
            for name in _reached(peer)[:PEERS_ASKED_MAX]:
                nursery.start_soon(ask, name)
    return answers


def _known(
    held: HeldCatalogue, answers: Iterable[HeadsReceived]
) -> dict[tuple[Kid, HeadName], None]:
    """Return the authentic heads that were told: the newest of each branch that a peer has."""
    assert held.chain is not None
    known: dict[tuple[Kid, HeadName], None] = {}
    for raw in (raw for answer in answers for raw in answer.raws):
        try:
            offered = decode_signed_head(raw)
        except MalformedRecordError:
            continue  # the node blames its sender
        head = offered.head
        if head.catalogue == held.id and not held.chain.head_fault(head, offered.signed, verify):
            known[head.writer, offered.name] = None
    return known


def _lacks_roots(held: HeldCatalogue, answers: Iterable[HeadsReceived]) -> bool:
    assert held.chain is not None
    named = (name for answer in answers for name in answer.roots if name.catalogue == held.id)
    return any(not held.chain.holds(name.digest) for name in named)


def _behind(
    held: HeldCatalogue, known: Iterable[tuple[Kid, HeadName]]
) -> list[tuple[Kid, HeadName]]:
    return [(kid, name) for kid, name in known if not held.is_settled(kid, name)]


ACTIONS: dict[str, Action] = {"catch_up": (CatchUp, catch_up)}
