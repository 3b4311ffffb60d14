"""First contact: `join`, `seeds_list`, `seeds_refresh`, `seeds_drop`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from meshnode.control import Message
from meshnode.core.catalogue import Catalogue as HeldCatalogue
from meshnode.core.domains import Binding
from meshnode.core.events import Event, Followed
from meshnode.core.identifiers import CatalogueId, catalogue_text
from meshnode.core.names import Ticket
from meshnode.core.seed_files import SeedList
from meshnode.errors import UsageError
from meshnode.runtime.clock import unix_now
from meshnode.runtime.holdings import Holdings
from meshnode.runtime.joining.contact_addresses import address_texts
from meshnode.runtime.joining.domain_book import Domain
from meshnode.runtime.joining.first_contacts import read_seeds
from meshnode.runtime.joining.seed_store import Source
from meshnode.runtime.operator.arguments import Action, Arguments, Catalogue, Hex, Nothing
from meshnode.runtime.operator.refusals import refused
from meshnode.runtime.peer import Peer


class Seen(Arguments):
    """What the command that asks found at the domain of the root."""

    name: str
    binding: Binding
    reason: str


class Join(Arguments):
    """A seed file as bytes, where it came from, and which of its catalogues to follow beside."""

    file: Hex
    url: str | None = None
    domain: Seen | None = None
    follow: tuple[Catalogue, ...] = ()


class Named(Arguments):
    catalogue: Catalogue


async def join(peer: Peer, arguments: Join) -> AsyncGenerator[Message, None]:
    """Pin, keep and follow what a seed file names; all of it is checked again here."""
    offered = read_seeds(arguments.file, arguments.url or "the file")
    if peer.node.denies(offered.catalogue):
        raise UsageError(
            "this institution's catalogue is on this peer's deny list", hint="meshnode deny list"
        )
    seeds = await peer.contacts.join(arguments.file, arguments.url)
    if (seen := arguments.domain) is not None:
        unix = unix_now()
        found = Domain(seen.name, seen.binding, seen.reason, unix, unix)
        await peer.domains.note(seeds.catalogue, found)
    await learn(peer, seeds)
    for catalogue in arguments.follow:
        await _follow(peer, catalogue, ())
    yield {"result": {**said_of(peer, seeds), "online": peer.network is not None}}


async def learn(peer: Peer, seeds: SeedList) -> None:
    """Follow the catalogue of a list, with the roots that came with it; denied ones stay denied.

    Raises:
        UsageError, StorageError: the node refuses.
    """
    await _follow(peer, seeds.catalogue, seeds.chain.raws)


async def lists(peer: Peer, _: Nothing) -> AsyncGenerator[Message, None]:
    yield {"result": {"lists": [said_of(peer, seeds) for seeds in peer.contacts.lists]}}


async def refresh(peer: Peer, _: Nothing) -> AsyncGenerator[Message, None]:
    """Ask all sources now; the result is how the lists stand then."""
    await peer.contacts.refresh(lambda seeds: relearn(peer, seeds))
    yield {"result": {"lists": [said_of(peer, seeds) for seeds in peer.contacts.lists]}}


async def drop(peer: Peer, arguments: Named) -> AsyncGenerator[Message, None]:
    await peer.contacts.drop(arguments.catalogue)
    yield {"result": {}}


async def relearn(peer: Peer, seeds: SeedList) -> None:
    """Take over the roots of a newer list, unless the catalogue is not followed any more."""
    if seeds.catalogue in peer.node.followed():
        await learn(peer, seeds)


def said_of(peer: Peer, seeds: SeedList) -> dict[str, Any]:
    """Return a list for people and programs. Times are unix seconds."""
    said = seeds.seeds
    disagreeing = {source.url: None for source in peer.contacts.disagreements(said.catalogue)}
    return {
        "catalogue": catalogue_text(said.catalogue),
        "title": str(seeds.chain.current.meta.get("title", "")),
        "version": said.version,
        "issued": said.issued,
        "expires": said.expires,
        "expired": seeds.is_expired(unix_now()),
        "peers": list(address_texts(said)),
        "mirrors": list(said.mirrors),
        "catalogues": [
            {"id": catalogue_text(listed.catalogue), "title": listed.title}
            for listed in said.catalogues
        ],
        "sources": [
            {**_source(source), "disagrees": source.url in disagreeing}
            for source in peer.contacts.sources(said.catalogue)
        ],
    }


def domain_said(peer: Holdings, held: HeldCatalogue) -> dict[str, Any]:
    """Return what is known of the domain that a catalogue's root names."""
    root = held.chain.current if held.chain else None
    domain = peer.domains.of(held.id, root)
    return {
        "name": domain.name,
        "binding": domain.binding.value,
        "reason": domain.reason,
        "checked": domain.checked,
    }


def _source(source: Source) -> dict[str, Any]:
    return {
        "url": source.url,
        "state": source.state,
        "version": source.told,
        "reason": source.reason,
        "checked": source.checked,
    }


async def _follow(peer: Peer, catalogue: CatalogueId, roots: tuple[bytes, ...]) -> None:
    def question(ticket: Ticket) -> Event:
        return Followed(ticket, catalogue, roots)

    if refusal := await peer.tickets.ask(peer.tell, question):
        raise refused(peer, refusal)


ACTIONS: dict[str, Action] = {
    "join": (Join, join),
    "seeds_list": (Nothing, lists),
    "seeds_refresh": (Nothing, refresh),
    "seeds_drop": (Named, drop),
}
