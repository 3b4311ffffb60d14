"""The static mirrors that this peer reads: `mirror_look`, `mirror_follow`, `mirror_unfollow`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any, Final

from meshnode.control import Message
from meshnode.core.encoding import MalformedRecordError
from meshnode.core.identifiers import CatalogueId, catalogue_text
from meshnode.core.trust import RootChain, UntrustedError
from meshnode.errors import PeerError, UsageError
from meshnode.runtime.operator.arguments import Action, Arguments, Catalogue
from meshnode.runtime.peer import Peer
from meshnode.runtime.static_mirror.mirror import Mirror
from meshnode.runtime.static_mirror.mirrors import Watched
from meshnode.runtime.static_mirror.shelves import NotThereError, folder_url

LOOKED_AT_MAX: Final = 256  # catalogues: two requests each, and more than a person compares


class Address(Arguments):
    """The address of a static mirror's folder."""

    url: str


class Look(Address):
    """`allow_local`: also at an address inside this machine's own network; `only` these."""

    allow_local: bool = False
    only: tuple[Catalogue, ...] = ()


async def look(peer: Peer, arguments: Look) -> AsyncGenerator[Message, None]:
    """Return the catalogues of a mirror, each with its title and its roots, whose first it proves.

    Raises:
        UsageError: no static mirror is there.
        PeerError: it cannot be read, or is at fault.
    """
    url = folder_url(arguments.url)
    allow_local = peer.mirrors.allow_local or arguments.allow_local
    shelf = peer.mirrors.open_shelf(url, allow_local)
    try:
        mirror = Mirror(shelf)
        try:
            await mirror.refresh()
        except NotThereError as error:
            raise UsageError(
                f"there is no static mirror at {url} ({error})", hint="check the address"
            ) from error
        except PeerError as error:
            raise PeerError(f"{url} cannot be read: {error}", hint=error.hint) from error
        found = [await described_catalogue(mirror, name) for name in meant(mirror, arguments.only)]
    finally:
        await shelf.aclose()
    yield {"result": {"url": url, "catalogues": found}}


async def follow(peer: Peer, arguments: Address) -> AsyncGenerator[Message, None]:
    """Read a mirror from now on, until this peer stops or it is unfollowed."""
    yield {"result": {"url": peer.mirrors.add(arguments.url)}}


async def unfollow(peer: Peer, arguments: Address) -> AsyncGenerator[Message, None]:
    yield {"result": {"was_read": peer.mirrors.drop(arguments.url)}}


def meant(mirror: Mirror, only: Sequence[CatalogueId]) -> list[CatalogueId]:
    """Return the catalogues that are looked at; raises UsageError: too many, or one is missing."""
    for name in only:
        if name not in mirror.catalogues:
            raise UsageError(
                f"this mirror does not have {catalogue_text(name)}", hint="leave --only away to see"
            )
    names = list(only or mirror.catalogues)
    if len(names) > LOOKED_AT_MAX:
        raise UsageError(
            f"this mirror has {len(names)} catalogues", hint="name those you want: --only ID"
        )
    return names


def described(peer: Peer, watched: Watched) -> dict[str, Any]:
    """Return how a mirror stands; times in unix seconds, null: never."""
    return {
        "url": watched.name,
        "connected": watched.is_connected,
        "checked": watched.checked or None,
        "failing_since": watched.failing_since or None,
        "problem": watched.reason,
        "catalogues": [catalogue_text(name) for name in watched.mirror.catalogues],
        "faults": peer.node.peers.faults.get(watched.name, 0),
    }


async def described_catalogue(mirror: Mirror, name: CatalogueId) -> dict[str, Any]:
    """Return what a mirror says of a catalogue. Raises PeerError: it is not what it says."""
    roots = await mirror.roots(name, 0)
    try:
        chain = RootChain.begin(roots[0]).extend(roots[1:])
    except (IndexError, MalformedRecordError, UntrustedError) as error:
        raise PeerError(f"the roots of {catalogue_text(name)} do not hold: {error}") from error
    if chain.catalogue != name:
        raise PeerError(f"the roots of {catalogue_text(name)} are those of another catalogue")
    return {
        "id": catalogue_text(name),
        "title": str(chain.current.meta.get("title", "")),
        "domain": str(chain.current.meta.get("domain", "")),
        "roots": [raw.hex() for raw in roots],
    }


ACTIONS: dict[str, Action] = {
    "mirror_look": (Look, look),
    "mirror_follow": (Address, follow),
    "mirror_unfollow": (Address, unfollow),
}
