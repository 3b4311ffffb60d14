"""The index itself: what it holds, whether it is sound, and that all of it is there again."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import asdict

import trio

from meshnode.control import Message
from meshnode.runtime.operator.arguments import Action, Nothing
from meshnode.runtime.operator.searching import rebuilding
from meshnode.runtime.peer import Peer


async def stats(peer: Peer, arguments: Nothing) -> AsyncGenerator[Message, None]:
    """Return what the index holds and takes; offline, when all of it is there.

    Yields {"to_index": segments} while the index is being made again.
    """
    async with aclosing(rebuilding(peer)) as steps:
        async for step in steps:
            yield step
    found = await trio.to_thread.run_sync(peer.index.stats, limiter=peer.searches)
    yield {"result": {**asdict(found), "to_index": peer.node.replica.unindexed}}


async def check(peer: Peer, arguments: Nothing) -> AsyncGenerator[Message, None]:
    """Check the tables, then every row; yields {"checked": n, "segments": of} and {"problems"}."""
    async with aclosing(rebuilding(peer)) as steps:
        async for step in steps:
            yield step
    number = 0
    problems = await trio.to_thread.run_sync(peer.index.check_file, limiter=peer.searches)
    segments = await trio.to_thread.run_sync(peer.index.live_segments, limiter=peer.searches)
    for done in range(len(segments) + 1):
        if problems:
            number += len(problems)
            yield {"event": {"problems": problems}}
        yield {"event": {"checked": done, "segments": len(segments)}}
        if done < len(segments):
            problems = await trio.to_thread.run_sync(
                peer.index.check_segment, segments[done], limiter=peer.searches
            )
    yield {"result": {"segments": len(segments), "problems": number}}


ACTIONS: dict[str, Action] = {
    "index_stats": (Nothing, stats),
    "index_check": (Nothing, check),
}
