"""How the peer stands: `ping`, `status`, `watch`, `peers`, `follow`, `unfollow`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING, Any

import trio
from pydantic import Field

from meshnode import __version__
from meshnode.control import Message
from meshnode.core.catalogue import Catalogue as HeldCatalogue
from meshnode.core.events import BudgetsChanged, Event, Followed, Unfollowed
from meshnode.core.freshness import Freshness
from meshnode.core.identifiers import CatalogueId, catalogue_text, object_text
from meshnode.core.limits import INTEGER_MAX
from meshnode.core.names import Ticket
from meshnode.core.overview import describe
from meshnode.core.reachability import Reach
from meshnode.core.releases import Releases
from meshnode.core.snapshot_checks import lying_since
from meshnode.runtime.api.addresses import PREFIX as API_PREFIX
from meshnode.runtime.budget_file import write_budgets
from meshnode.runtime.clock import unix_now
from meshnode.runtime.operator.arguments import Action, Arguments, Catalogue, Hex, Nothing
from meshnode.runtime.operator.collections import title_of
from meshnode.runtime.operator.joining import domain_said, said_of
from meshnode.runtime.operator.payload_traffic import traffic_said
from meshnode.runtime.operator.refusals import refused
from meshnode.runtime.operator.static_mirrors import described
from meshnode.runtime.peer import Peer

if TYPE_CHECKING:
    from meshnode.runtime.http.server import HttpServer

CONFLICTS_SAID_MAX = 20  # of one catalogue: `versions` names the others
BROKEN_WORDS_SAID_MAX = 20  # peers; they are called later than others, and forgotten
MEASURED = ("free_bytes", "quota")  # change all the time, without an event
WATCH_SECONDS_MIN = 0.1  # a burst of events is shown as one change


class Follow(Arguments):
    """`roots`: signed roots that the operator already has, from version 1.

    `budget_bytes`: how much of the catalogue is held at most; 0: what the settings say.
    """

    catalogue: Catalogue
    roots: tuple[Hex, ...] = ()
    budget_bytes: int | None = Field(default=None, ge=0, le=INTEGER_MAX)


class Unfollow(Arguments):
    catalogue: Catalogue


async def ping(peer: Peer, _: Nothing) -> AsyncGenerator[Message, None]:
    yield {"result": {"online": peer.network is not None}}


async def status(peer: Peer, _: Nothing) -> AsyncGenerator[Message, None]:
    await peer.quota.measure()
    yield {"result": await _status(peer)}


async def watch(peer: Peer, _: Nothing) -> AsyncGenerator[Message, None]:
    """Yield the status now and after each change, until the asker goes away."""
    await peer.quota.measure()
    with peer.journal.notices.watch(lambda _: True) as watcher:
        said: dict[str, Any] = {}
        while True:
            stands = await _status(peer)
            changed = {key: value for key, value in stands.items() if key not in MEASURED}
            if changed != said:
                yield {"event": stands}
                said = changed
            await watcher.receive()
            await trio.sleep(WATCH_SECONDS_MIN)
            watcher.skip()


async def peers(peer: Peer, _: Nothing) -> AsyncGenerator[Message, None]:
    faults = peer.node.peers.faults
    connections = peer.network.mesh.connections() if peer.network else ()
    heard = peer.network.mesh.heard if peer.network else None
    inbound = peer.network.mesh.inbound if peer.network else None
    yield {
        "result": {
            "reach": reach_said(peer),
            "blocked": list(peer.blocked.peers),
            "gossip": None if heard is None else asdict(heard),
            "broken_words": [
                {"peer": name, "times": times}
                for name, times in peer.node.holders.account()[:BROKEN_WORDS_SAID_MAX]
            ],
            "inbound": None if inbound is None else inbound.describe(),
            "peers": [
                {
                    "peer": connection.peer,
                    "address": connection.address,
                    "outbound": connection.outbound,
                    "since": connection.since_unix,
                    "faults": faults.get(connection.peer, 0),
                }
                for connection in connections
            ],
            "blames": [
                {
                    "time": blame.time,
                    "peer": blame.peer,
                    "check": blame.check.value,
                    "reason": blame.reason,
                }
                for blame in peer.journal.blames
            ],
        }
    }


def reach_said(peer: Peer) -> dict[str, Any]:
    """Return whether others can call this peer, as far as they say, and where they see it."""
    doorbell = peer.network.doorbell if peer.network else None
    if doorbell is None:
        return {"state": Reach.UNKNOWN.value, "seen_at": [], "ports": []}
    return {
        "state": doorbell.reach().value,
        "seen_at": list(doorbell.seen_at()),
        "ports": list(doorbell.ports()),
    }


async def follow(peer: Peer, arguments: Follow) -> AsyncGenerator[Message, None]:
    def question(ticket: Ticket) -> Event:
        return Followed(ticket, arguments.catalogue, arguments.roots)

    if arguments.budget_bytes is not None:
        await _set_budget(peer, arguments.catalogue, arguments.budget_bytes)
    yield await _done(peer, question)


async def _set_budget(peer: Peer, catalogue: CatalogueId, size_bytes: int) -> None:
    """Keep a catalogue's budget, then put it in force."""
    budgets = peer.node.budgets
    own = {name: limit for name, limit in budgets.own.items() if name != catalogue}
    own |= {catalogue: size_bytes} if size_bytes else {}
    await trio.to_thread.run_sync(write_budgets, peer.home.budgets, own)

    def question(ticket: Ticket) -> Event:
        each, total = budgets.each_bytes_max, budgets.total_bytes_max
        return BudgetsChanged(ticket, each, total, tuple(own.items()))

    await _done(peer, question)


async def unfollow(peer: Peer, arguments: Unfollow) -> AsyncGenerator[Message, None]:
    yield await _done(peer, lambda ticket: Unfollowed(ticket, arguments.catalogue))


async def _done(peer: Peer, question: Callable[[Ticket], Event]) -> Message:
    if refusal := await peer.tickets.ask(peer.tell, question):
        raise refused(peer, refusal)
    return {"result": {}}


async def _status(peer: Peer) -> dict[str, Any]:
    counts = await trio.to_thread.run_sync(peer.index.counts, abandon_on_cancel=True)
    followed = [held for held in peer.node.catalogues.values() if held.followed]
    # A stranger's catalogue may have as many releases as a log holds: not in the loop.
    conflicts = await trio.to_thread.run_sync(lambda: [_conflicts(held) for held in followed])
    items: dict[CatalogueId, int] = {}
    for (catalogue, _), number in counts.items():
        items[catalogue] = items.get(catalogue, 0) + number
    mesh = peer.network.mesh if peer.network else None
    node = peer.node
    return {
        "peer": peer.id,
        "online": mesh is not None,
        "version": __version__,
        "home": str(peer.home.root),
        "started": peer.started,
        "addresses": list(mesh.addresses()) if mesh else [],
        "http": None
        if peer.http is None
        else {"url": peer.http.url, "failure": peer.http.failure or None, "api": _api(peer.http)},
        "connections": len(mesh.connections()) if mesh else 0,
        "reach": reach_said(peer),
        "read_only": node.read_only,
        "mirrors": [described(peer, watched) for watched in peer.mirrors.all()],
        "backlog": node.replica.backlog,
        "free_bytes": peer.store.free_bytes(),
        "quota": asdict(peer.quota.known()),
        "traffic": traffic_said(peer) if peer.network else None,
        "catalogues": [
            {
                **_catalogue(held, items.get(held.id, 0)),
                **_budget(peer, held.id),
                "domain": domain_said(peer, held),
                "conflicts": contradicted,
            }
            for held, contradicted in zip(followed, conflicts, strict=True)
        ],
        "bytes": node.budgets.total,
        "budget_bytes": node.budgets.total_bytes_max,
        "seed_lists": [said_of(peer, seeds) for seeds in peer.contacts.lists],
        "denied": [catalogue_text(name) for name in node.denials.suspended],
        "mirror_alarms": await _alarms(peer),
        "refused": [
            {
                "catalogue": catalogue_text(key.catalogue),
                "segment": object_text(key.digest),
                "reason": refused.reason,
            }
            for key, refused in node.replica.refused.items()
        ],
    }


def _api(http: HttpServer) -> dict[str, Any]:
    """Return where the STAC API is, or why it is not."""
    refused = http.refusals.get(API_PREFIX)
    return {"url": None if refused else http.url_of(API_PREFIX), "failure": refused}


async def _alarms(peer: Peer) -> list[dict[str, Any]]:
    """Return the required mirrors that are not as they should be."""
    if peer.network is None or not peer.required.all():
        return []
    from meshnode.runtime.mirror_watch import judged, offers_by_key

    known = await trio.to_thread.run_sync(offers_by_key, peer)
    return [each for each in judged(peer, known) if not each["met"]]


def _budget(peer: Peer, catalogue: CatalogueId) -> dict[str, Any]:
    """Return what a catalogue may have, has, and what was refused for it; None is no limit."""
    budgets = peer.node.budgets
    over = [each for name, each in peer.node.replica.over_budget.items() if name[0] == catalogue]
    return {
        "bytes": budgets.spent(catalogue),
        "budget_bytes": budgets.limit(catalogue),
        "over_budget": {
            "objects": len(over),
            "bytes": sum(over),
            "reason": budgets.reason(catalogue) if over else "",
        },
    }


def currency(held: HeldCatalogue) -> dict[str, Any]:
    """Return what is overdue in a catalogue, since when (unix seconds), and rival roots."""
    overview, now = describe(held), unix_now()
    found = overview.freshness(now)
    next_bys = [log.next_by for log in overview.logs if log.next_by is not None]
    chain = held.chain
    return {
        "freshness": [each.value for each in found],
        "stale_since": chain.current.review_by if chain and Freshness.STALE in found else None,
        "frozen_since": min(next_bys) if Freshness.FROZEN in found else None,
        "rivals": [root.digest.hex() for root in chain.rivals] if chain else [],
        "excess_segments": held.contents.excess_segments,
    }


def _conflicts(held: HeldCatalogue) -> list[dict[str, str]]:
    """Return collection and version of releases that others contradict, each once."""
    found = islice(Releases.of(held.contents.releases).conflicts(), CONFLICTS_SAID_MAX)
    names = dict.fromkeys((each.entry.collection, each.entry.version) for each in found)
    return [{"collection": collection, "version": version} for collection, version in names]


def _catalogue(held: HeldCatalogue, items: int) -> dict[str, Any]:
    chain = held.chain
    live = [name for name in held.contents.segments if held.contents.live_segment(name)]
    return {
        "id": catalogue_text(held.id),
        "title": title_of(held),
        "delegated": list(held.delegated),
        "root_version": chain.current.version if chain else 0,
        "items": items,
        "segments": len(live),
        "payloads": len(held.contents.live_payloads()),
        "collections": sorted(held.contents.collections),
        "clock": held.contents.clock,
        **currency(held),
        "logs": [
            {
                "writer": kid.hex(),
                "label": writer.label if chain and (writer := chain.writer(kid)) else "",
                "seq": log.seq,
                "size": log.size,
                "disputed": kid in held.disputed,
                "disputed_since": held.disputed.get(kid),
                "branches": len(log.branches),
                "snapshot_lies_since": lying_since(log),
            }
            for kid, log in held.logs.items()
        ],
    }


ACTIONS: dict[str, Action] = {
    "ping": (Nothing, ping),
    "status": (Nothing, status),
    "watch": (Nothing, watch),
    "peers": (Nothing, peers),
    "follow": (Follow, follow),
    "unfollow": (Unfollow, unfollow),
}
