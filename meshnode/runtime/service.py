"""One running peer: opens the adapters, connects them to the node, keeps them alive.

Owns lifetimes. The adapters restart what fails inside them; an error of the pump ends the process,
since it means a broken invariant.
"""

from __future__ import annotations

import random
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import ExitStack, aclosing, asynccontextmanager, closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog
import trio

from meshnode.config import OFF, Config, load
from meshnode.control import Message
from meshnode.core.identifiers import peer_id
from meshnode.core.node import Node
from meshnode.core.signing import public_key
from meshnode.core.trust import RootChain
from meshnode.runtime import operator, snapshots
from meshnode.runtime.blocklist import Blocklist
from meshnode.runtime.budget_file import budgets_of
from meshnode.runtime.clock import unix_now
from meshnode.runtime.control_server import ControlServer
from meshnode.runtime.effects import Effects, Offline, Tell
from meshnode.runtime.home import Home, HomeLock
from meshnode.runtime.index.index import Index
from meshnode.runtime.index.indexing import Indexing
from meshnode.runtime.joining.contact_addresses import address_texts, is_private
from meshnode.runtime.joining.domain_book import DomainBook
from meshnode.runtime.joining.first_contacts import FirstContacts
from meshnode.runtime.joining.seed_store import SeedStore
from meshnode.runtime.journal import Journal
from meshnode.runtime.keys import load_or_create_key
from meshnode.runtime.logs import configure_logs
from meshnode.runtime.network.requests import Requests
from meshnode.runtime.operator.joining import relearn
from meshnode.runtime.payloads.mirrors.requirements import Requirements
from meshnode.runtime.peer import Peer
from meshnode.runtime.pump import Pump
from meshnode.runtime.quota import Quota
from meshnode.runtime.segments.checker import SegmentChecker
from meshnode.runtime.static_mirror.mirrors import Mirrors, no_peers
from meshnode.runtime.store import Store
from meshnode.runtime.tickets import Tickets

if TYPE_CHECKING:
    from meshnode.runtime.network.network import Network

GRACE_SECONDS: Final = 20.0  # to end in order; a crash is harmless, so no longer than that
SETTLE_SECONDS_MAX: Final = 20.0  # for what a command started offline; the next start goes on

_log = structlog.get_logger()


async def serve(
    root: Path, config: Config, task_status: trio.TaskStatus[Peer] | None = None
) -> None:
    """Run a peer until SIGINT, SIGTERM or cancellation.

    A peer that is told to stop ends within GRACE_SECONDS, whatever holds it up.

    Raises:
        StorageError, ConfigError, UsageError: it cannot start.
    """
    configure_logs(config.log)
    with ExitStack() as stack:
        signals = stack.enter_context(trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM))
        async with running(root, config, online=True) as peer:
            if task_status is not None:
                task_status.started(peer)
            async for number in signals:
                _log.info("stopping", signal=signal.Signals(number).name)
                stack.enter_context(_killed_after(GRACE_SECONDS))
                return


@contextmanager
def _killed_after(seconds: float) -> Iterator[None]:
    """Have the system end this process (SIGALRM) unless the block ends before."""
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


@asynccontextmanager
async def offline(root: Path) -> AsyncIterator[Peer]:
    """Run the same node without a network, for one command.

    Raises:
        StorageError, ConfigError: it cannot start.
    """
    configure_logs(Config().log.model_copy(update={"level": "warning"}))
    async with running(root, load(Home(root).config), online=False) as peer:
        yield peer


@asynccontextmanager
async def running(root: Path, config: Config, *, online: bool) -> AsyncIterator[Peer]:
    """Run a peer while the block runs."""
    home = Home(root)
    home.check()
    with ExitStack() as stack:
        stack.enter_context(HomeLock(home))
        store = stack.enter_context(closing(Store(home)))
        store.drop_stale(unix_now())
        index = stack.enter_context(closing(Index.open(home.index)))
        async with SegmentChecker() as checker, trio.open_nursery() as nursery:
            peer, effects = await _start(
                home, config, store, index, checker, nursery, online=online
            )
            async with trio.open_nursery() as asking:
                if peer.network is not None:
                    await _start_http(peer, config, peer.network, asking)
                    _start_mending(peer, peer.network, asking)
                    _watch_mirrors(peer, peer.network, asking)
                await asking.start(_control_server(peer).run)
                yield peer
                asking.cancel_scope.cancel()  # requests end while all that they use still runs
            if not online:
                with trio.move_on_after(SETTLE_SECONDS_MAX):
                    await effects.settle()
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
) -> tuple[Peer, Effects]:
    """Connect the parts and start them."""
    budgets = await trio.to_thread.run_sync(budgets_of, home.budgets, config.catalogues)
    rng = random.Random()  # noqa: S311 - jitter and choice of peers, no secrets
    node = Node(rng, budgets=budgets)
    journal, tickets = Journal(), Tickets()
    pump = Pump(node, store.commit, lambda effect: effects.start(effect), journal.observe)
    identity = load_or_create_key(home.identity)
    contacts = FirstContacts(await trio.to_thread.run_sync(SeedStore, home.seeds))
    domains = DomainBook(home.domains)
    mirrors = _mirrors(config, node, pump.tell)
    quota = Quota(home.root, config.payload.quota_bytes, config.payload.free_bytes_min)
    blocked = Blocklist(home.blocked)
    network = http = None
    if online:
        # Here, since libp2p takes longer to import than a command works offline.
        from meshnode.runtime.http.guard import Guard
        from meshnode.runtime.http.server import HttpServer
        from meshnode.runtime.network.network import build_https_only, build_network

        listen = None if config.http.listen == OFF else config.http.listen
        http = HttpServer(listen, Guard(config.http.hosts, config.http.origins))
        secret = identity.private_bytes_raw()
        if config.network.https_only:
            network = build_https_only(home, config, node, store, mirrors, quota)
        else:
            pinned = partial(_pinned, contacts)
            network = build_network(
                home,
                config,
                secret,
                node,
                store,
                index,
                mirrors,
                pump.tell,
                pinned,
                quota,
                blocked,
            )
    perform = (
        network.perform if network else Requests(mirrors.routed(no_peers), store, list).perform
    )
    mirrors.asked_through(perform)
    indexing = Indexing(index, checker, store, pump.tell)
    effects = Effects(
        network or Offline(perform), indexing, tickets, pump.tell, partial(snapshots.read, store)
    )
    peer = Peer(
        peer_id(public_key(identity)),
        home,
        node,
        store,
        index,
        blocked,
        contacts,
        domains,
        journal,
        tickets,
        pump.tell,
        started=unix_now(),
        quota=quota,
        required=await trio.to_thread.run_sync(Requirements, home.required_mirrors),
        network=network,
        mirrors=mirrors,
        http=http,
    )
    restored = await trio.to_thread.run_sync(store.restored)
    indexed = await trio.to_thread.run_sync(index.indexed)
    if network is not None:
        await network.start(nursery)
    nursery.start_soon(effects.run)
    await nursery.start(pump.run, replace(restored, indexed=indexed))
    await nursery.start(mirrors.run, config.static_mirrors.urls if online else ())
    if online:
        _ask_the_web(peer, config, nursery)
        _provide(peer, config, nursery)
    return peer, effects


def _pinned(contacts: FirstContacts) -> list[str]:
    """Return the first contacts of the seed lists that are in force."""
    unix = unix_now()
    return [
        address
        for seeds in contacts.lists
        if not seeds.is_expired(unix)
        for address in address_texts(seeds.seeds)
        if contacts.leads_into_own_network(seeds.catalogue) or not is_private(address)
    ]


def _ask_the_web(peer: Peer, config: Config, nursery: trio.Nursery) -> None:
    """Keep seed lists and what sites say of catalogues up to date."""

    def followed() -> list[RootChain]:
        held = (peer.node.catalogues[name] for name in peer.node.followed())
        return [catalogue.chain for catalogue in held if catalogue.chain is not None]

    rng = random.Random()  # noqa: S311 - jitter
    nursery.start_soon(peer.contacts.run, partial(relearn, peer), rng)
    if config.network.ask_domains:
        allow_local = config.payload.allow_local_addresses
        nursery.start_soon(partial(peer.domains.run, followed, rng, allow_local=allow_local))


def _provide(peer: Peer, config: Config, nursery: trio.Nursery) -> None:
    """State what others can get here, if they can call this peer."""
    from meshnode.runtime.providing import Providing

    network = peer.network
    if network is None or (doorbell := network.doorbell) is None or not config.network.provide:
        return
    torrents, announced = network.torrents, config.network.announce
    rng = random.Random()  # noqa: S311 - jitter
    providing = Providing(
        peer,
        lambda: announced or doorbell.confirmed(),
        lambda: torrents.port,
        torrents.holds,
        rng,
    )
    nursery.start_soon(providing.run)


def _mirrors(config: Config, node: Node, tell: Tell) -> Mirrors:
    settings = config.static_mirrors
    return Mirrors(
        tell,
        node.followed,
        random.Random(),  # noqa: S311 - jitter
        float(settings.poll_seconds),
        settings.allow_local_addresses,
    )


async def _start_http(peer: Peer, config: Config, network: Network, nursery: trio.Nursery) -> None:
    from meshnode.runtime.api import mounting as api
    from meshnode.runtime.changes import mounting as changes
    from meshnode.runtime.http.addresses import PREFIX
    from meshnode.runtime.http.gateway import Gateway

    assert peer.http is not None  # a peer that is online has one
    gateway = Gateway(peer, network)
    nursery.start_soon(gateway.run)
    peer.http.mount(PREFIX, gateway)
    api.mount(peer, config)
    changes.mount(peer, config)
    await nursery.start(peer.http.run)


def _start_mending(peer: Peer, network: Network, nursery: trio.Nursery) -> None:
    from meshnode.runtime.mending import Mending

    nursery.start_soon(Mending(peer, network).run)


def _watch_mirrors(peer: Peer, network: Network, nursery: trio.Nursery) -> None:
    from meshnode.runtime.mirror_telling import MirrorTelling
    from meshnode.runtime.mirror_watch import MirrorWatch

    rng = random.Random()  # noqa: S311 - jitter
    nursery.start_soon(MirrorWatch(peer, network, rng).run)
    nursery.start_soon(MirrorTelling(peer, network, rng).run)


def _control_server(peer: Peer) -> ControlServer:
    async def answer(action: str, said: Message) -> AsyncGenerator[Message, None]:
        async with aclosing(operator.answer(peer, action, said)) as messages:
            async for message in messages:
                yield message

    return ControlServer(peer.home.control, answer)
