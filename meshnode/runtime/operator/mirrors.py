"""The mirrors of payloads: `mirrors`, `mirrors_check`, `mirrors_require`, `mirrors_required`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import urlsplit

import trio
from pydantic import Field

from meshnode.control import Message
from meshnode.core.identifiers import object_text, peer_id, sha256
from meshnode.core.limits import URL_BYTES_MAX
from meshnode.core.mirror_choice import cost_ms
from meshnode.core.mirror_health import NO_WORD, Word, words
from meshnode.errors import MeshnodeError, UsageError
from meshnode.runtime.clock import unix_now
from meshnode.runtime.mirror_watch import judged, look, offers_by_key
from meshnode.runtime.offers import Offer
from meshnode.runtime.operator.arguments import Action, Arguments, HexDigest, Nothing
from meshnode.runtime.operator.payloads import network_of
from meshnode.runtime.payloads.mirror_record import MirrorHealth
from meshnode.runtime.payloads.mirrors.requirements import DAYS_MAX, Requirement
from meshnode.runtime.payloads.mirrors.standings import standing_of
from meshnode.runtime.peer import Peer

if TYPE_CHECKING:
    from meshnode.runtime.network.network import Network

CHECKED_MAX: Final = 200  # mirrors in one go, each asked for a piece
AT_ONCE: Final = 4  # of different hosts

MirrorPrefix = Annotated[str, Field(pattern=r"^https?://[!-~]+$", max_length=URL_BYTES_MAX)]


class Check(Arguments):
    """The mirrors of these payloads; of all that are known here if none is named."""

    payloads: tuple[HexDigest, ...] = ()


class Require(Arguments):
    """These payloads are at a mirror whose URL begins so; `drop`: they need not be any more."""

    payloads: tuple[HexDigest, ...] = Field(min_length=1)
    label: str = Field(max_length=300)
    mirror: MirrorPrefix
    days: int = Field(default=7, ge=1, le=DAYS_MAX)
    drop: bool = False


async def mirrors(peer: Peer, _: Nothing) -> AsyncGenerator[Message, None]:
    """Return what this peer saw of each mirror, the best one first; those that rest come last."""
    network, now = network_of(peer), unix_now()
    told = words(
        (each for each in peer.node.claims if peer_id(each.statement.issuer) != peer.id), None, now
    )
    known = [
        _said(network, each, now, told.get(sha256(each.url.encode()), NO_WORD))
        for each in network.torrents.mirrors.known()
    ]
    known.sort(key=lambda each: (each["rests_until"] > now, each["cost_ms"], each["url"]))
    yield {"result": {"mirrors": known, "now": now}}


async def check(peer: Peer, asked: Check) -> AsyncGenerator[Message, None]:
    """Yield {"checked": …, "done", "total"} for each mirror; the result counts and judges."""
    network = network_of(peer)
    known = await trio.to_thread.run_sync(offers_by_key, peer)
    if unknown := [key for key in asked.payloads if key not in known]:
        raise UsageError(
            f"payload {unknown[0].hex()[:16]}… is not known here, or its file list is not",
            hint="meshnode payload list says which are",
        )
    chosen = [known[key] for key in asked.payloads] if asked.payloads else list(known.values())
    todo = {url: offer for offer in chosen for url in offer.mirrors}
    total = min(len(todo), CHECKED_MAX)
    done = faults = 0
    send, receive = trio.open_memory_channel[Message](0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_look_at_all, peer, network, dict(list(todo.items())[:total]), send)
        async for found in receive:
            done, faults = done + 1, faults + (not found["right"])
            yield {"event": {"checked": found, "done": done, "total": total}}
    required = judged(peer, known)
    wanted = {key.hex() for key in asked.payloads}
    yield {
        "result": {
            "checked": done,
            "left_out": len(todo) - total,
            "faults": faults,
            "required": [each for each in required if not wanted or each["key"] in wanted],
        }
    }


async def require(peer: Peer, asked: Require) -> AsyncGenerator[Message, None]:
    """Return how many requirements changed."""
    keys = [key.hex() for key in asked.payloads]
    if asked.drop:
        count = await trio.to_thread.run_sync(peer.required.drop, keys, asked.mirror)
    else:
        new = [Requirement(key, asked.label, asked.mirror, asked.days) for key in keys]
        await trio.to_thread.run_sync(peer.required.add, new)
        count = len(new)
    yield {"result": {"changed": count}}


async def required(peer: Peer, _: Nothing) -> AsyncGenerator[Message, None]:
    """Return each requirement and whether it is met."""
    network_of(peer)
    known = await trio.to_thread.run_sync(offers_by_key, peer)
    yield {"result": {"required": judged(peer, known), "now": unix_now()}}


async def _look_at_all(
    peer: Peer, network: Network, todo: dict[str, Offer], send: trio.MemorySendChannel[Message]
) -> None:
    """Look at mirrors of different hosts at once, at those of one host one after another."""
    hosts: dict[str, list[str]] = {}
    for url in todo:
        hosts.setdefault(urlsplit(url).netloc, []).append(url)
    limit = trio.CapacityLimiter(AT_ONCE)

    async def visit(urls: list[str]) -> None:
        async with limit:
            for url in urls:
                await send.send(await _looked(peer, network, todo[url], url))

    async with send, trio.open_nursery() as nursery:
        for urls in hosts.values():
            nursery.start_soon(visit, urls)


async def _looked(peer: Peer, network: Network, offer: Offer, url: str) -> Message:
    try:
        found = await look(peer, network, offer, url)
        right, reason = found.fault is None, found.reason
        count, delay = found.count, found.delay_ms
    except MeshnodeError as error:
        right, reason, count, delay = False, str(error), 0, 0
    key = object_text(offer.payload.key)
    return {
        "url": url,
        "payload": key,
        "right": right,
        "reason": reason,
        "bytes": count,
        "delay_ms": delay,
    }


def _said(network: Network, health: MirrorHealth, now: int, word: Word) -> dict[str, Any]:
    near = network.torrents.near_mirrors
    standing = replace(standing_of(health, now, near, word=word), is_resting=False)
    return {
        **asdict(health),
        "tier": standing.tier.name.lower(),
        "cost_ms": cost_ms(standing),
        "others": asdict(word),
    }


ACTIONS: dict[str, Action] = {
    "mirrors": (Nothing, mirrors),
    "mirrors_check": (Check, check),
    "mirrors_require": (Require, require),
    "mirrors_required": (Nothing, required),
}
