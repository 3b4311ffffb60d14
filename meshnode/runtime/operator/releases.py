"""Releases as people ask for them: by DOI, version, name or item; and for who makes another."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Iterator
from itertools import islice
from typing import Any, Final

import trio

from meshnode.control import Message
from meshnode.core.catalogue import Catalogue as HeldCatalogue
from meshnode.core.entries import encode_entry
from meshnode.core.identifiers import Digest, Kid, catalogue_text, object_text
from meshnode.core.releases import Release, Releases
from meshnode.runtime.offers import file_list_of
from meshnode.runtime.operator.arguments import Action, Arguments, Catalogue, HexDigest
from meshnode.runtime.operator.collections import document_of, followed, title_of
from meshnode.runtime.operator.history import issued_times
from meshnode.runtime.operator.payload_listing import described, require_followed
from meshnode.runtime.peer import Peer

NAMED_MAX: Final = 20  # successors and rivals of one release; a stranger may sign thousands
PAGE_ITEMS: Final = 1000  # ids in one message


class Wanted(Arguments):
    """Releases for which all that is given holds; `item` is bound to a file of them."""

    catalogues: tuple[Catalogue, ...] = ()
    collection: str | None = None
    version: str | None = None
    doi: str | None = None
    name: HexDigest | None = None
    item: str | None = None


class Named(Arguments):
    catalogue: Catalogue


class Released(Arguments):
    """Of these catalogues, or of all."""

    catalogues: tuple[Catalogue, ...] = ()


async def releases(peer: Peer, arguments: Wanted) -> AsyncGenerator[Message, None]:
    """Return the releases found, by catalogue and in the order in which they were made."""
    yield {"result": {"releases": await trio.to_thread.run_sync(_found, peer, arguments)}}


async def release_entries(peer: Peer, arguments: Named) -> AsyncGenerator[Message, None]:
    """Return every `release+` of a catalogue that counts, with its writer, as hexadecimal."""
    held = require_followed(peer, arguments.catalogue)
    said = [
        (writer.hex(), encode_entry(entry).hex())
        for (_, writer, _), entry in sorted(held.contents.releases.items())
    ]
    yield {"result": {"entries": said}}


async def released_items(peer: Peer, arguments: Released) -> AsyncGenerator[Message, None]:
    """Yield {"release": …, "items": [ids]}: those with a file in a release that is in no conflict.

    A later event counts more: releases that are superseded come first, then in the order in which
    they were made.
    """
    number = 0
    for release, items in await trio.to_thread.run_sync(_bound, peer, arguments):
        number += len(items)
        for start in range(0, len(items), PAGE_ITEMS):
            yield {"event": {"release": release, "items": items[start : start + PAGE_ITEMS]}}
    yield {"result": {"items": number}}


def _bound(peer: Peer, arguments: Released) -> list[tuple[Message, list[str]]]:
    found = []
    for held in followed(peer, arguments.catalogues):
        known = Releases.of(held.contents.releases)
        for release in known.all:
            if not known.is_in_conflict(release):
                said = _said(peer, held, known, release, None)
                found.append((said, sorted(_items(peer, held, release))))
    return sorted(found, key=lambda each: each[0]["is_newest"])  # stable: else as they were made


def _items(peer: Peer, held: HeldCatalogue, release: Release) -> set[str]:
    """Return the ids of the items that a file of a release's payloads is bound to."""
    live, entry = held.contents.live_payloads(), release.entry
    payloads = (live.get((entry.collection, key)) for key in entry.payloads)
    lists = (file_list_of(peer, payload) for payload in payloads if payload is not None)
    files = (file for files in lists if files is not None for file in files.files)
    return {item for file in files for item, _ in file.bindings}


def _found(peer: Peer, arguments: Wanted) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = []
    for held in sorted(followed(peer, arguments.catalogues), key=lambda held: held.id):
        known = Releases.of(held.contents.releases)
        candidates = known.all
        if arguments.doi is not None:
            candidates = known.with_doi(arguments.doi)
        found = [each for each in candidates if _is_meant(peer, held, each, arguments)]
        times = _times(peer, held, found)
        said += [_said(peer, held, known, each, times.get(each.name)) for each in found]
    return said


def _is_meant(peer: Peer, held: HeldCatalogue, release: Release, arguments: Wanted) -> bool:
    entry = release.entry
    return (
        arguments.collection in (None, entry.collection)
        and arguments.version in (None, entry.version)
        and (arguments.name is None or arguments.name in release.names)
        and (arguments.item is None or arguments.item in _items(peer, held, release))
    )


def _times(peer: Peer, held: HeldCatalogue, found: Iterable[Release]) -> dict[Digest, int]:
    by_writer: dict[Kid, set[Digest]] = {}
    for release in found:
        by_writer.setdefault(release.writer, set()).add(release.name)
    times: dict[Digest, int] = {}
    for writer, names in by_writer.items():
        times |= issued_times(peer.store, held, writer, names)
    return times


def _said(
    peer: Peer, held: HeldCatalogue, known: Releases, release: Release, issued: int | None
) -> dict[str, Any]:
    entry, writer = release.entry, release.writer
    grant = held.chain.writer(writer) if held.chain else None
    former = known.predecessor(release)
    return {
        "catalogue": catalogue_text(held.id),
        "catalogue_title": title_of(held),
        "collection": entry.collection,
        "collection_titles": dict(document_of(peer, held, entry.collection).titles),
        **_short(release),
        "issued": issued,
        "writer": grant.label if grant else writer.hex(),
        "clock": entry.clock,
        "supersedes": object_text(entry.supersedes) if entry.supersedes else None,
        "predecessor": _short(former) if former else None,
        "successors": [_short(each) for each in islice(known.successors(release), NAMED_MAX)],
        "is_newest": known.is_newest(release),
        "conflicts": [_short(each) for each in islice(known.rivals(release), NAMED_MAX)],
        "payloads": list(_payloads(peer, held, release)),
        "blueprint": _blueprint(release),
    }


def _short(release: Release) -> dict[str, Any]:
    entry = release.entry
    return {"release": object_text(release.name), "version": entry.version, "doi": entry.doi}


def _payloads(peer: Peer, held: HeldCatalogue, release: Release) -> Iterator[dict[str, Any]]:
    """Yield what is known of each payload; of one that is withdrawn or not here yet its key."""
    live = held.contents.live_payloads()
    for key in sorted(release.entry.payloads):
        payload = live.get((release.entry.collection, key))
        yield {"key": key.hex(), "is_live": payload is not None} | (
            described(peer, held, payload) if payload else {}
        )


def _blueprint(release: Release) -> dict[str, str] | None:
    blueprint = release.entry.blueprint
    if blueprint is None:
        return None
    return {
        "manifest": object_text(blueprint.manifest.digest),
        "environment": object_text(blueprint.environment.digest),
        "sources": blueprint.sources.hex(),
    }


ACTIONS: dict[str, Action] = {
    "releases": (Wanted, releases),
    "release_entries": (Named, release_entries),
    "released_items": (Released, released_items),
}
