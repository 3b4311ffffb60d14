"""Collections as people ask for them: which there are, and what their documents say."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Iterator
from typing import Any

import trio

from meshnode.control import Message
from meshnode.core.catalogue import Catalogue as HeldCatalogue
from meshnode.core.identifiers import CatalogueId, catalogue_text, object_text
from meshnode.errors import UsageError
from meshnode.runtime.datasets.collection import DOCUMENT_BYTES_MAX, CollectionDocument, understood
from meshnode.runtime.holdings import Holdings
from meshnode.runtime.operator.arguments import Action, Arguments, Catalogue
from meshnode.runtime.peer import Peer

CollectionName = tuple[CatalogueId, str]


class Collections(Arguments):
    """Of these catalogues, or of all; `words` must all stand in id, titles, text or keywords."""

    catalogues: tuple[Catalogue, ...] = ()
    words: tuple[str, ...] = ()


class Document(Arguments):
    """Which collection's document; `catalogue` where several have one of that name."""

    collection: str
    catalogue: Catalogue | None = None


async def collections(peer: Peer, arguments: Collections) -> AsyncGenerator[Message, None]:
    """Return each collection with what its document says, ordered by catalogue and name."""
    counts = await trio.to_thread.run_sync(peer.index.counts)
    said = await trio.to_thread.run_sync(described, peer, arguments.catalogues)
    yield {
        "result": {
            "collections": [
                {**each, "items": counts.get(name, 0)}
                for name, each in said
                if all(word.casefold() in _searched(each) for word in arguments.words)
            ]
        }
    }


async def collection(peer: Peer, arguments: Document) -> AsyncGenerator[Message, None]:
    """Return the STAC Collection document in force, as text, and what a reader takes from it."""
    wanted = arguments.collection
    found = [
        held
        for held in followed(peer, () if arguments.catalogue is None else (arguments.catalogue,))
        if wanted in held.contents.collections
    ]
    if not found:
        raise UsageError(
            f"no catalogue has a collection {wanted!r}", hint="meshnode collection list"
        )
    if len(found) > 1:
        raise UsageError(f"several catalogues have a collection {wanted!r}", hint="--catalogue ID")
    [held] = found
    _, ref = held.contents.collections[wanted]
    raw = await trio.to_thread.run_sync(peer.read_object, ref.digest)
    if raw is None:
        raise UsageError("the collection's document is not here yet", hint="try again in a moment")
    document = understood(raw, wanted)
    yield {"result": {**_said(held, wanted, document), "document": raw.decode(errors="replace")}}


def followed(peer: Holdings, catalogues: Iterable[CatalogueId] = ()) -> Iterator[HeldCatalogue]:
    """Yield the followed catalogues, of these if any are named."""
    named = dict.fromkeys(catalogues)
    for held in list(peer.node.catalogues.values()):
        if held.followed and (not named or held.id in named):
            yield held


def document_of(peer: Holdings, held: HeldCatalogue, collection: str) -> CollectionDocument:
    """Return what a collection's document says; nothing while it is not here, or is too large.

    Reads the disk: use a worker thread.
    """
    found = held.contents.collections.get(collection)
    if found is None or found[1].size_bytes > DOCUMENT_BYTES_MAX:
        return understood(b"", collection)
    return understood(peer.read_object(found[1].digest) or b"", collection)


def title_of(held: HeldCatalogue) -> str:
    """Return how the institution calls its catalogue."""
    return str(held.chain.current.meta.get("title", "")) if held.chain else ""


def described(
    peer: Holdings, catalogues: Iterable[CatalogueId]
) -> list[tuple[CollectionName, Message]]:
    """Return what the documents of all collections say, by catalogue and name.

    Reads the disk: use a worker thread.
    """
    return [
        ((held.id, name), _said(held, name, document_of(peer, held, name)))
        for held in sorted(followed(peer, catalogues), key=lambda held: held.id)
        for name in sorted(held.contents.collections)
    ]


def _said(held: HeldCatalogue, name: str, document: CollectionDocument) -> dict[str, Any]:
    return {
        "catalogue": catalogue_text(held.id),
        "catalogue_title": title_of(held),
        "collection": name,
        "object": object_text(held.contents.collections[name][1].digest),
        "titles": document.titles,
        "description": document.description,
        "licence": document.licence,
        "licence_url": document.licence_url,
        "providers": [
            {"name": each.name, "roles": list(each.roles)} for each in document.providers
        ],
        "keywords": list(document.keywords),
        "bbox": list(document.bbox),
        "interval": list(document.interval),
    }


def _searched(said: Message) -> str:
    texts = [said["collection"], *said["titles"].values(), said["description"], *said["keywords"]]
    return "\n".join(texts).casefold()


ACTIONS: dict[str, Action] = {
    "collections": (Collections, collections),
    "collection": (Document, collection),
}
