"""Segments on their way from the object store into the index, one after the other.

Owns the order of changes to the index. What a segment may contain is checked in another process.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import assert_never

import trio

from meshnode.core import events as ev
from meshnode.core.identifiers import Digest
from meshnode.core.rows import CheckedRow
from meshnode.errors import StorageError
from meshnode.runtime.index import Index
from meshnode.runtime.segment_checker import CheckEndedError, SegmentChecker, SegmentRefusedError

CHECKS_MAX = 3  # a hostile segment costs this many times the limits of a check

IndexEffect = ev.IndexSegment | ev.DropSegment | ev.HideItems | ev.ForgetCatalogue


class Indexing:
    """Performs the effects that change the index, in the order in which the node gave them."""

    def __init__(
        self,
        index: Index,
        checker: SegmentChecker,
        object_path: Callable[[Digest], Path],
        tell: Callable[[ev.Event], Awaitable[None]],
    ) -> None:
        self._index = index
        self._checker = checker
        self._object_path = object_path
        self._tell = tell
        # Unbounded: the node has at most two segments in work, and hides what a log names.
        self._send, self._receive = trio.open_memory_channel[IndexEffect](math.inf)

    def queue(self, effect: IndexEffect) -> None:
        self._send.send_nowait(effect)

    async def run(self) -> None:
        async for effect in self._receive:
            try:
                await self._perform(effect)
            except StorageError as error:
                await self._tell(ev.StorageFailed(str(error)))

    async def _perform(self, effect: IndexEffect) -> None:
        match effect:
            case ev.IndexSegment(ref):
                await self._tell(await self._index_segment(ref))
            case ev.DropSegment(key):
                await trio.to_thread.run_sync(self._index.drop, key)
            case ev.HideItems(catalogue, collection, ids, clock):
                await trio.to_thread.run_sync(self._index.hide, catalogue, collection, ids, clock)
            case ev.ForgetCatalogue(catalogue):
                await trio.to_thread.run_sync(self._index.forget, catalogue)
            case _:
                assert_never(effect)

    async def _index_segment(self, ref: ev.SegmentRef) -> ev.SegmentIndexed | ev.SegmentRefused:
        """Refuse a segment whose check ends early only when it does so each time."""
        refusal: SegmentRefusedError | None = None
        for _ in range(CHECKS_MAX):
            try:
                await self._check_and_add(ref)
            except CheckEndedError as error:
                refusal = error
            except SegmentRefusedError as error:
                refusal = error
                break
            else:
                return ev.SegmentIndexed(ref)
        return ev.SegmentRefused(ref, str(refusal))

    async def _check_and_add(self, ref: ev.SegmentRef) -> None:
        """Add the rows in one worker thread, as the other process hands them over."""
        async with aclosing(self._checker.check(self._object_path(ref.digest), ref)) as checked:
            await trio.to_thread.run_sync(self._add, ref, checked)

    def _add(self, ref: ev.SegmentRef, checked: AsyncGenerator[list[CheckedRow], None]) -> None:
        async def next_rows() -> list[CheckedRow]:
            return await anext(checked, [])

        with self._index.adding(ref) as adding:
            while rows := trio.from_thread.run(next_rows):
                adding.add(rows)
