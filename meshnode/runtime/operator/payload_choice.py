"""Which files of which payload are meant, as people name them: by item and asset, or by key."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Final

from meshnode.core.identifiers import CatalogueId, Digest, object_text
from meshnode.core.releases import Releases
from meshnode.errors import UsageError
from meshnode.runtime.offers import Offer, offers
from meshnode.runtime.operator.arguments import Arguments, Catalogue, HexDigest
from meshnode.runtime.peer import Peer

_PATHS_SAID_MAX: Final = 3


class PayloadChoice(Arguments):
    """The files that are assets of an item; no `asset`: all. Or all files of a payload.

    `only`: of these, the files whose path or name matches the pattern (`*`, `?`, `[…]`).
    """

    item: str | None = None
    payload: HexDigest | None = None
    collection: str | None = None
    catalogue: Catalogue | None = None
    asset: str | None = None
    only: str | None = None


def chosen(peer: Peer, arguments: PayloadChoice) -> Offer:
    """Return the one payload that is asked for, and which of its files are.

    Raises:
        UsageError: none is, or payloads of several items of this id.
    """
    found = [
        replace(offer, wanted=wanted)
        for offer in offers(peer)
        if arguments.catalogue in (None, offer.catalogue.id)
        and arguments.collection in (None, offer.payload.collection)
        and (wanted := _wanted(offer, arguments))
    ]
    if arguments.payload is None:
        found = _one_of(found, arguments)
    if not found:
        raise UsageError(
            "this payload is not known here, or its file list is not",
            hint="meshnode payload list says which are",
        )
    require_served(peer, found[0])
    return _narrowed(found[0], arguments.only)


def _narrowed(offer: Offer, only: str | None) -> Offer:
    """Keep the files that match the pattern; raises UsageError if none does."""
    if only is None:
        return offer
    paths = {index: offer.files.files[index].path for index in offer.wanted}
    found = tuple(
        index
        for index, path in paths.items()
        if fnmatchcase(path, only) or fnmatchcase(path.rpartition("/")[2], only)
    )
    if not found:
        some = ", ".join(list(paths.values())[:_PATHS_SAID_MAX])
        raise UsageError(
            f"of {len(paths)} files none is like {only!r}", hint=f"its files are {some}, …"
        )
    return replace(offer, wanted=found)


def _wanted(offer: Offer, arguments: PayloadChoice) -> tuple[int, ...]:
    """Return the indices of the files that are asked for."""
    if arguments.payload is not None:
        number = len(offer.files.files)
        return tuple(range(number)) if offer.payload.key == arguments.payload else ()
    return tuple(
        index
        for index, file in enumerate(offer.files.files)
        if any(_is_meant(binding, arguments) for binding in file.bindings)
    )


def _one_of(candidates: list[Offer], arguments: PayloadChoice) -> list[Offer]:
    found = list(_newest(candidates))
    if len(found) > 1:
        raise UsageError(
            f"item {arguments.item!r} stands in several collections that have a payload",
            hint="name one with --collection or --catalogue",
        )
    if not found:
        raise UsageError(
            f"no payload is known for item {arguments.item!r}"
            + (f", asset {arguments.asset!r}" if arguments.asset else ""),
            hint="`meshnode show` prints the item's own links, which may be plain downloads",
        )
    return found


def require_distinct(offer: Offer) -> None:
    """Refuse files that would get the same name in the folder that they are put into."""
    names = [offer.files.files[index].path.rpartition("/")[2] for index in offer.wanted]
    if len(set(names)) < len(names):
        raise UsageError(
            "files of this payload in different folders have the same name",
            hint="fetch them item by item: meshnode get ITEM --asset ASSET",
        )


def require_served(peer: Peer, offer: Offer) -> None:
    if peer.node.withholds(offer.payload.key):
        text = object_text(offer.payload.key)
        raise UsageError(
            f"the payload {text} is on this peer's deny list", hint=f"meshnode deny check {text}"
        )


def _newest(candidates: Sequence[Offer]) -> Iterable[Offer]:
    """Keep one payload in each collection: the last said of those that no release supersedes, or
    of all if there are none.
    """
    held = {offer.catalogue.id: offer.catalogue for offer in candidates}
    known = {name: Releases.of(each.contents.releases) for name, each in held.items()}

    def standing(offer: Offer) -> tuple[bool, int, Digest]:
        payload = offer.payload
        is_past = known[offer.catalogue.id].is_superseded(payload.collection, payload.key)
        return not is_past, payload.clock, payload.key

    newest: dict[tuple[CatalogueId, str], Offer] = {}
    for offer in sorted(candidates, key=standing):
        newest[offer.catalogue.id, offer.payload.collection] = offer
    return newest.values()


def _is_meant(binding: tuple[str, str], arguments: PayloadChoice) -> bool:
    item, asset = binding
    return item == arguments.item and arguments.asset in (None, asset)
