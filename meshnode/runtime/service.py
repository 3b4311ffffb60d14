"""One running peer: opens the adapters, connects them to the node, keeps them alive.

Owns lifetimes. The adapters restart what fails inside them; an error of the pump ends the process,
since it means a broken invariant.
"""

from __future__ import annotations

import random
import signal
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import ExitStack, aclosing, asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path

import structlog
import trio

from meshnode.config import Config
from meshnode.control import Message
from meshnode.core.node import Node
from meshnode.runtime import operator
from meshnode.runtime.addresses import peer_id_of
from meshnode.runtime.clock import unix_now
from meshnode.runtime.control_server import ControlServer
from meshnode.runtime.discovery import discover
from meshnode.runtime.effects import Effects, Offline
from meshnode.runtime.home import Home, HomeLock
from meshnode.runtime.index import Index
from meshnode.runtime.indexing import Indexing
from meshnode.runtime.journal import Journal
from meshnode.runtime.keys import load_or_create_key
from meshnode.runtime.logs import configure_logs
from meshnode.runtime.network import build_network
from meshnode.runtime.peer import Peer
from meshnode.runtime.pump import Pump
from meshnode.runtime.segment_checker import SegmentChecker
from meshnode.runtime.store import Store
from meshnode.runtime.tickets import Tickets

_log = structlog.get_logger()


async def serve(
    root: Path, config: Config, task_status: trio.TaskStatus[Peer] | None = None
) -> None:
    """Run a peer until SIGINT, SIGTERM or cancellation.

    Raises:
        StorageError, ConfigError, UsageError: it cannot start.
    """
    configure_logs(config.log)
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with running(root, config, online=True) as peer:
            if task_status is not None:
                task_status.started(peer)
            async for number in signals:
                _log.info("stopping", signal=signal.Signals(number).name)
                return


@asynccontextmanager
async def offline(root: Path) -> AsyncIterator[Peer]:
    """Run the same node without a network, for one command."""
    configure_logs(Config().log.model_copy(update={"level": "warning"}))
    async with running(root, Config(), online=False) as peer:
        yield peer


@asynccontextmanager
async def running(root: Path, config: Config, *, online: bool) -> AsyncIterator[Peer]:
    """Run a peer while the block runs."""
    home = Home(root)
    home.check()
    with ExitStack() as stack:
        stack.enter_context(HomeLock(home))
        store = stack.enter_context(closing(Store(home)))
        store.drop_stale_partials(unix_now())
        index = stack.enter_context(closing(Index.open(home.index)))
        async with SegmentChecker() as checker, trio.open_nursery() as nursery:
            peer = await _start(home, config, store, index, checker, nursery, online=online)
            async with trio.open_nursery() as asking:
                await asking.start(_control_server(peer).run)
                yield peer
                asking.cancel_scope.cancel()  # requests end while all that they use still runs
            nursery.cancel_scope.cancel()


async def _start(
    home: Home,
    config: Config,
    store: Store,
    index: Index,
    checker: SegmentChecker,
    nursery: trio.Nursery,
    *,
    online: bool,
) -> Peer:
    """Connect the parts and start them."""
    rng = random.Random()  # noqa: S311 - jitter and choice of peers, no secrets
    node = Node(rng)
    journal, tickets = Journal(), Tickets()
    pump = Pump(node, store.commit, lambda effect: effects.start(effect), journal.observe)
    identity = load_or_create_key(home.identity).private_bytes_raw()
    network = build_network(home, config, identity, node, store, pump.tell) if online else None
    indexing = Indexing(index, checker, store.object_path, pump.tell)
    effects = Effects(network or Offline(), indexing, tickets, pump.tell)
    peer = Peer(
        peer_id_of(identity),
        home,
        node,
        store,
        index,
        journal,
        tickets,
        pump.tell,
        started=unix_now(),
        network=network,
    )
    restored = await trio.to_thread.run_sync(store.restored)
    indexed = await trio.to_thread.run_sync(index.indexed)
    if network is not None:
        await nursery.start(network.mesh.run)
        await nursery.start(network.torrents.run)
        if config.network.discover:
            nursery.start_soon(discover, network.mesh, network.requests, rng)
    nursery.start_soon(effects.run)
    nursery.start_soon(pump.run, replace(restored, indexed=indexed))
    return peer


def _control_server(peer: Peer) -> ControlServer:
    async def answer(action: str, said: Message) -> AsyncGenerator[Message, None]:
        async with aclosing(operator.answer(peer, action, said)) as messages:
            async for message in messages:
                yield message

    return ControlServer(peer.home.control, answer)
