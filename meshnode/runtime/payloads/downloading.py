"""Fetching pieces of one payload from all sources at once, until each is verified and on disk."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import trio

from meshnode.runtime.payloads.account import Progress, State
from meshnode.runtime.payloads.address_filter import Endpoint
from meshnode.runtime.payloads.mirrors.enrolment import Enrolments
from meshnode.runtime.payloads.patience import Patience
from meshnode.runtime.payloads.transfers import Transfer
from meshnode.runtime.payloads.wants import Want

SAMPLE_SECONDS: Final = 0.2  # an open connection's bytes are counted this often
SAVE_SECONDS: Final = 2.0  # at most so much of a transfer is fetched again after a crash


@dataclass(frozen=True, slots=True)
class Order:
    """What is fetched, why, and from whom. `sizes`: bytes that count of each piece; `files`: those

    whose SHA-256 is compared at the end.
    """

    want: Want
    sizes: Mapping[int, int]
    files: Sequence[int]
    mirrors: Sequence[str] = ()
    peers: Sequence[Endpoint] = ()


async def carry_out(
    transfer: Transfer,
    order: Order,
    enrolments: Enrolments,
    *,
    allow_local: bool,
    stall_seconds: float,
    require_moving: Callable[[], None],
) -> AsyncGenerator[Progress, None]:
    """Fetch; the last Progress is DONE: every byte is on disk and every SHA-256 agrees.

    Leaving earlier keeps what came (use `aclosing`). `require_moving` raises while nothing may be
    fetched.

    Raises:
        PeerError: every source sent corrupt bytes, none sends any, or the torrent is not
            what its file list says.
        StorageError: the disk refused, or the quota, before anything was fetched.
    """
    is_here = all(map(transfer.is_written, order.sizes))
    if not is_here or not set(order.files) <= transfer.verified:
        await transfer.room.cover(order.sizes)
        with transfer.priorities.claiming(order.want, order.sizes):
            transfer.sources.add_peers(order.peers, allow_local=allow_local)
            refused = await enrolments.enrol(transfer, order.mirrors, is_reading=False)
            if refused and len(refused) == len(order.mirrors) and not order.peers and not is_here:
                raise refused[0]
            async with contextlib.aclosing(
                _fetch(transfer, order, stall_seconds, require_moving)
            ) as steps:
                async for progress in steps:
                    yield progress
            yield transfer.progress(order.sizes, State.VERIFYING)
            await transfer.flush()
            verify = transfer.holdings.verify
            await trio.to_thread.run_sync(verify, order.files, abandon_on_cancel=True)
            transfer.sources.note_whole()
    yield transfer.progress(order.sizes, State.DONE)


async def _fetch(
    transfer: Transfer, order: Order, stall_seconds: float, require_moving: Callable[[], None]
) -> AsyncGenerator[Progress, None]:
    """Yield progress until every wanted byte is verified; record the pieces on the way."""
    patience = Patience(transfer.sources, stall_seconds)
    saved_at = trio.current_time()
    while True:
        progress = transfer.progress(order.sizes, State.TRANSFERRING)
        yield progress
        if progress.done_bytes == progress.total_bytes:
            return
        if transfer.failure:
            raise transfer.failure
        require_moving()
        patience.look()
        if trio.current_time() - saved_at >= SAVE_SECONDS:
            await transfer.save()
            saved_at = trio.current_time()
        await transfer.wait(SAMPLE_SECONDS)
