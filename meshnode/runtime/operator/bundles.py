"""Mirrors that are carried on a disk: `bundle_look`, `bundle_read`.

A bundle, or a static mirror in a folder, is asked like a peer for as long as it has what is missing
here; then it is gone again.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import trio

from meshnode.control import Message
from meshnode.core.effects import Blame, FetchObject
from meshnode.core.events import ObjectStored, RequestFailed
from meshnode.core.identifiers import CatalogueId, Digest, PeerId, catalogue_text
from meshnode.core.names import HeadName, LogId
from meshnode.errors import PeerError, UsageError
from meshnode.runtime.journal import Notice
from meshnode.runtime.operator.arguments import Action, Arguments, Catalogue
from meshnode.runtime.operator.static_mirrors import described_catalogue, meant
from meshnode.runtime.peer import Peer
from meshnode.runtime.static_mirror.bundle import BundleShelf
from meshnode.runtime.static_mirror.directory import DirectoryShelf
from meshnode.runtime.static_mirror.mirror import Mirror
from meshnode.runtime.static_mirror.mirrors import Watched

LOOK_SECONDS: Final = 0.1  # between looks at what is left: each walks through all of it
STALLED_SECONDS: Final = 60.0  # without anything that comes; far more than a pause between attempts


class Carried(Arguments):
    """Where a bundle, or the folder of a static mirror, lies."""

    path: str


class Look(Carried):
    """At these catalogues only, if any are named."""

    only: tuple[Catalogue, ...] = ()


@dataclass(slots=True)
class Reading:
    """What is still to come of a mirror that is read once."""

    peer: Peer
    watched: Watched
    names: frozenset[Digest]
    heads: list[tuple[LogId, HeadName]] = field(default_factory=list)
    stored: int = 0
    faults: list[str] = field(default_factory=list)
    failed: dict[Digest, None] = field(default_factory=dict)

    def choose(self, notice: Notice) -> bool:
        """Take note of what happens to this mirror; say so if anything may have changed."""
        match notice:
            case ObjectStored():
                self.stored += 1
            case RequestFailed(FetchObject(peer, digest)) if peer == self.watched.name:
                self.failed[digest] = None
            case Blame(peer, check, reason) if peer == self.watched.name:
                self.faults.append(f"{check.value}: {reason}")
        return True

    def left(self) -> int:
        """Count what this mirror has, is wanted here, and did not fail."""
        node = self.peer.node
        if self.watched.name not in node.peers.asked():
            return node.replica.unindexed
        wanted = [digest for digest in node.replica.fetches.wanted if digest in self.names]
        objects = sum(digest not in self.failed for digest in wanted)
        logs = sum(
            not node.catalogues[log.catalogue].is_settled(log.writer, name)
            for log, name in self.heads
        )
        return objects + logs + node.replica.unindexed


async def look(_: Peer, arguments: Look) -> AsyncGenerator[Message, None]:
    """Return the catalogues, each with its title and its roots, whose first it proves."""
    async with _opened(Path(arguments.path)) as shelf:
        mirror = Mirror(shelf)
        await _refresh(mirror, arguments.path)
        found = [await described_catalogue(mirror, name) for name in meant(mirror, arguments.only)]
    yield {"result": {"catalogues": found}}


async def read(peer: Peer, arguments: Carried) -> AsyncGenerator[Message, None]:
    """Take all that is missing here of what is followed; yields how much is `left`.

    What came stays, whenever this ends. The result says what was wrong, and what could not be had.
    """
    async with _opened(Path(arguments.path)) as shelf:
        name = PeerId(f"file://{arguments.path}")
        try:
            watched = await peer.mirrors.attach(name, shelf)
        except PeerError as error:
            raise UsageError(f"{arguments.path} cannot be read: {error}") from error
        try:
            names = await trio.to_thread.run_sync(shelf.names)
            reading = Reading(peer, watched, names, await _heads(peer, watched.mirror))
            with peer.journal.notices.watch(reading.choose) as watcher:
                is_stalled, before = False, -1
                while (left := reading.left()) and not is_stalled:
                    if left != before:
                        deadline = trio.current_time() + STALLED_SECONDS
                        yield {"event": {"left": left, "stored": reading.stored}}
                        before = left
                    with trio.move_on_at(deadline) as waiting:
                        await watcher.receive()
                        await trio.sleep(LOOK_SECONDS)
                    is_stalled = waiting.cancelled_caught
                    watcher.skip()
        finally:
            await peer.mirrors.detach(watched)
    yield {
        "result": {
            "stored": reading.stored,
            "faults": reading.faults,
            "left": reading.left() + len(reading.failed),
            "catalogues": [catalogue_text(c) for c in _followed(peer, watched.mirror)],
        }
    }


@asynccontextmanager
async def _opened(path: Path) -> AsyncIterator[BundleShelf | DirectoryShelf]:
    if await trio.to_thread.run_sync(path.is_dir):
        yield DirectoryShelf(path)
        return
    shelf = await trio.to_thread.run_sync(BundleShelf, path)
    try:
        yield shelf
    finally:
        shelf.close()


async def _refresh(mirror: Mirror, path: str) -> None:
    try:
        await mirror.refresh()
    except PeerError as error:
        raise UsageError(f"{path} cannot be read: {error}") from error


async def _heads(peer: Peer, mirror: Mirror) -> list[tuple[LogId, HeadName]]:
    """Return the newest heads that a mirror has of what is followed."""
    indices = [await mirror.index(catalogue) for catalogue in _followed(peer, mirror)]
    return [
        (LogId(index.catalogue, way.writer), way.head.name)
        for index in indices
        if index is not None
        for way in index.ways
    ]


def _followed(peer: Peer, mirror: Mirror) -> Sequence[CatalogueId]:
    followed = peer.node.followed()
    return [name for name in mirror.catalogues if name in followed]


ACTIONS: dict[str, Action] = {"bundle_look": (Look, look), "bundle_read": (Carried, read)}
