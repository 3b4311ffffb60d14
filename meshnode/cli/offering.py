"""What is signed of a payload: its entry, or the same again with other bindings and mirrors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from meshnode.cli.search import found_by
from meshnode.cli.signing import Session
from meshnode.control import Control, Message
from meshnode.errors import UsageError

if TYPE_CHECKING:
    from meshnode.core.filelist import FileList
    from meshnode.runtime.maintainer.binding import Bound
    from meshnode.runtime.payloads.creation import PayloadFiles


@dataclass(frozen=True, slots=True)
class Offer:
    """A payload as it is to be published."""

    collection: str
    described: PayloadFiles
    bound: Sequence[Bound]
    mirrors: Sequence[str]
    risk: int


async def require_assets(
    control: Control, catalogue: str, collection: str, bound: Sequence[Bound]
) -> None:
    """Refuse to bind a file to an item or an asset that is not published.

    Raises:
        UsageError: one is not.
    """
    for each in bound:
        where = {"catalogues": [catalogue], "collections": [collection], "ids": [each.item]}
        found = [each async for each in found_by(control, "search", **where, limit=1)]
        if not found or found[0]["collection"] != collection:  # a search takes titles too
            raise UsageError(
                f"no item {each.item!r} is published in collection {collection!r}",
                hint="publish the item first, or look up its id with: meshnode search",
            )
        assets = json.loads(found[0]["item"]).get("assets", {})
        if each.asset not in assets:
            known = ", ".join(assets) or "none"
            raise UsageError(
                f"item {each.item!r} has no asset {each.asset!r}", hint=f"its assets are: {known}"
            )


async def publish(session: Session, offer: Offer) -> Message:
    """Sign and submit the payload's entry, unless all of it is said already."""
    from meshnode.runtime.maintainer.binding import bind as bound_to
    from meshnode.runtime.maintainer.binding import encoded, payload_draft
    from meshnode.runtime.maintainer.staging import stage

    state, described = await session.state(), offer.described
    for found in await session.payloads(offer.collection):
        if found["key"] == described.key.hex():
            return await rebind(session, state, found, offer.bound, mirrors=offer.mirrors)
    files = bound_to(described.files, offer.bound)
    described = replace(described, files=files, file_list=encoded(files))
    draft = payload_draft(described, offer.collection, offer.mirrors, offer.risk)
    signs = not session.signing.dry_run
    if signs:
        staging = session.publisher.staging
        staged = [stage(staging, each) for each in (described.file_list, described.torrent)]
        await session.publish(state, [draft], staged)
    return _done(described.key.hex(), files, offer.mirrors, is_new=True, published=signs)


async def rebind(
    session: Session,
    state: Message,
    found: Message,
    bound: Sequence[Bound],
    *,
    mirrors: Sequence[str] = (),
    drop: bool = False,
) -> Message:
    """Sign a published payload again with other bindings or more mirrors, if there are any."""
    from meshnode.core.entries import PayloadAdded, decode_entry
    from meshnode.core.filelist import decode_file_list
    from meshnode.runtime.maintainer.binding import bind as bound_to
    from meshnode.runtime.maintainer.binding import encoded, rebound_draft
    from meshnode.runtime.maintainer.staging import stage

    entry = decode_entry(bytes.fromhex(found["entry"]))
    assert isinstance(entry, PayloadAdded)
    raw = session.publisher.object(entry.files.digest.hex())
    if raw is None:
        raise UsageError("the payload's file list is not here yet", hint="try again in a moment")
    files = bound_to(decode_file_list(raw), bound, drop=drop)
    file_list, more = encoded(files), [url for url in mirrors if url not in found["mirrors"]]
    is_new = file_list != raw or bool(more)
    signs = is_new and not session.signing.dry_run
    if signs:
        staged = [stage(session.publisher.staging, file_list)]
        await session.publish(state, [rebound_draft(entry, file_list, more)], staged)
    return _done(found["key"], files, more, is_new=is_new, published=signs)


def _done(
    key: str, files: FileList, mirrors: Sequence[str], *, is_new: bool, published: bool
) -> Message:
    return {
        "payload": key,
        "is_new": is_new,
        "published": published,
        "size_bytes": files.size_bytes,
        "files": len(files.files),
        "bindings": sum(len(file.bindings) for file in files.files),
        "mirrors": list(mirrors),
    }
