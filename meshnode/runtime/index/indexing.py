"""Segments on their way from the object store into the index, one after the other.

Owns the order of changes to the index. What a segment may contain is checked in another process.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Protocol, assert_never

import structlog
import trio

from meshnode.core.effects import (
    DropSegment,
    ForgetCatalogue,
    HideItems,
    IndexSegment,
    IndexWork,
    PurgeItems,
    PurgeObject,
    SetHidden,
)
from meshnode.core.events import (
    Event,
    ObjectLost,
    ObjectsPurged,
    SegmentIndexed,
    SegmentRefused,
    StorageFailed,
)
from meshnode.core.identifiers import Digest
from meshnode.core.names import SegmentRef
from meshnode.core.rows import CheckedRow
from meshnode.errors import StorageError
from meshnode.runtime.index.index import Index
from meshnode.runtime.segments.checker import CheckEndedError, SegmentChecker, SegmentRefusedError

CHECKS_MAX = 3  # a hostile segment costs this many times the limits of a check

_log = structlog.get_logger()


class Objects(Protocol):
    """Where segments lie. Called in worker threads; may raise StorageError."""

    def object_path(self, digest: Digest) -> Path: ...

    def is_intact(self, digest: Digest) -> bool:
        """Say whether the bytes are here and hash to their name; damaged ones are removed."""
        ...

    def erase(self, digest: Digest) -> None:
        """Remove an object, also one that is still on its way."""
        ...


class Indexing:
    """Performs the effects that change the index, in the order in which the node gave them."""

    def __init__(
        self,
        index: Index,
        checker: SegmentChecker,
        objects: Objects,
        tell: Callable[[Event], Awaitable[None]],
    ) -> None:
        self._index = index
        self._checker = checker
        self._objects = objects
        self._tell = tell
        # Unbounded: the node has at most two segments in work, and hides what a log names.
        self._send, self._receive = trio.open_memory_channel[IndexWork | trio.Event](math.inf)

    def queue(self, effect: IndexWork | trio.Event) -> None:
        """Queue a change; an event is set when all that was queued before it is done."""
        self._send.send_nowait(effect)

    async def run(self) -> None:
        async for effect in self._receive:
            try:
                if isinstance(effect, trio.Event):
                    effect.set()
                else:
                    await self._perform(effect)
            except StorageError as error:
                await self._tell(StorageFailed(str(error)))

    async def _perform(self, effect: IndexWork) -> None:
        match effect:
            case IndexSegment(ref):
                await self._index_segment(ref)
            case DropSegment(key):
                await trio.to_thread.run_sync(self._index.drop, key)
            case HideItems(catalogue, collection, ids, clock, erases):
                await trio.to_thread.run_sync(
                    self._index.hide, catalogue, collection, ids, clock, erases
                )
            case SetHidden(catalogue, withdrawals):
                await trio.to_thread.run_sync(self._index.set_hidden, catalogue, withdrawals)
            case ForgetCatalogue(catalogue):
                await trio.to_thread.run_sync(self._index.forget, catalogue)
            case PurgeObject(digest):
                await trio.to_thread.run_sync(self._objects.erase, digest)
                await trio.to_thread.run_sync(self._index.forget_deleted)
            case PurgeItems():
                erased = await trio.to_thread.run_sync(self._erase, effect)
                await self._tell(ObjectsPurged(erased))
            case _:
                assert_never(effect)

    async def _index_segment(self, ref: SegmentRef) -> None:
        refusal = await self._refusal(ref)
        if refusal is None:
            await self._tell(SegmentIndexed(ref))
        elif await trio.to_thread.run_sync(self._objects.is_intact, ref.digest):
            await self._tell(SegmentRefused(ref, refusal))
        else:
            damaged = "this disk damaged the segment's file: it is fetched again"
            await self._tell(SegmentRefused(ref, damaged))
            await self._tell(ObjectLost(ref.digest))

    async def _refusal(self, ref: SegmentRef) -> str | None:
        """Index a segment; return why that cannot be, after CHECKS_MAX checks that ended early."""
        reason: str | None = None
        for _ in range(CHECKS_MAX):
            try:
                await self._check_and_add(ref)
            except CheckEndedError as error:
                reason = str(error)
            except SegmentRefusedError as error:
                return str(error)
            except StorageError:
                raise
            except Exception as error:  # a stranger's segment must not end the process
                _log.exception("a segment cannot be indexed", segment=ref.digest.hex())
                return f"this peer cannot index it: {error!r}"
            else:
                return None
        return reason

    async def _check_and_add(self, ref: SegmentRef) -> None:
        """Add the rows in one worker thread, as the other process hands them over."""
        path = self._objects.object_path(ref.digest)
        async with aclosing(self._checker.check(path, ref)) as checked:
            await trio.to_thread.run_sync(self._add, ref, checked)

    def _erase(self, effect: PurgeItems) -> tuple[Digest, ...]:
        """Erase the objects first: a crash between leaves rows that say which they were."""
        items = (effect.catalogue, effect.collection, effect.ids, effect.clock)
        digests = self._index.segments_with(*items)
        for digest in digests:
            self._objects.erase(digest)
        self._index.erase(*items)
        return digests

    def _add(self, ref: SegmentRef, checked: AsyncGenerator[list[CheckedRow], None]) -> None:
        async def next_rows() -> list[CheckedRow]:
            return await anext(checked, [])

        with self._index.adding(ref) as adding:
            while rows := trio.from_thread.run(next_rows):
                adding.add(rows)
