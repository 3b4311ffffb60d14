"""Being called back: peers ask each other whether their port can be reached from outside.

Implements N-65 of protocol/05-sync.md, both sides. Whoever is asked calls the very address that the
question came from, once a minute a peer, and hangs up: nobody is sent to a third party, and a
question costs its asker as much as the call costs us.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

import structlog
import trio

from meshnode.core.identifiers import PeerId
from meshnode.core.peer_book import network_of
from meshnode.core.reachability import Reach, Reachability, call_of
from meshnode.errors import MeshnodeError
from meshnode.runtime.clock import unix_now
from meshnode.runtime.network.addresses import ip_of
from meshnode.runtime.network.outreach import Connection

CALL_SECONDS_MIN: Final = 60.0  # between two calls to one peer
CALLS_MAX: Final = 4  # at a time, to all peers together
REMEMBERED_MAX: Final = 1024  # peers that were called
ASK_SECONDS: Final = 20.0  # until it is known whether this peer can be reached
BUSY_SECONDS: Final = 120.0  # until a network is asked again whose peer did not say
ASK_AGAIN_SECONDS: Final = 1800.0  # then: a forwarded port may go

# Calls a peer at a multiaddr, and hangs up; says whether that very peer answered.
Knock = Callable[[PeerId, str], Awaitable[bool]]
SeenAt = Callable[[PeerId], Sequence[str]]

_log = structlog.get_logger()


class Callback:
    """Calls back whoever asks. Bounded in rate, in number, and in memory."""

    def __init__(self, seen_at: SeenAt, knock: Knock) -> None:
        self._seen_at = seen_at
        self._knock = knock
        self._next: dict[PeerId, float] = {}  # when a peer may ask again, oldest first
        self._calls = trio.CapacityLimiter(CALLS_MAX)

    async def answer(self, asker: PeerId, port: int) -> tuple[str, bool] | None:
        """Return the IP that the asker is seen at, and whether it answers at the port there.

        None if it asks too often, or too many others ask.
        """
        here = [ip for ip in map(ip_of, self._seen_at(asker)) if ip]
        now = trio.current_time()
        if not here or self._next.get(asker, 0.0) > now:
            return None
        try:
            self._calls.acquire_on_behalf_of_nowait(asker)
        except (trio.WouldBlock, RuntimeError):  # all are taken, or by this very peer
            return None
        try:
            self._remember(asker, now + CALL_SECONDS_MIN)
            family = "ip6" if ":" in here[0] else "ip4"
            return here[0], await self._knock(asker, f"/{family}/{here[0]}/tcp/{port}")
        finally:
            self._calls.release_on_behalf_of(asker)

    def _remember(self, asker: PeerId, until: float) -> None:
        self._next.pop(asker, None)
        self._next[asker] = until
        if len(self._next) > REMEMBERED_MAX:
            del self._next[next(iter(self._next))]


class Connected(Protocol):
    """What asking needs of the mesh."""

    def connections(self) -> Sequence[Connection]: ...

    def ports(self) -> Sequence[int]:
        """Return the TCP ports at which this peer says it can be called."""
        ...


class Asking(Protocol):
    """What asking needs of the requests."""

    async def ask_dialback(self, peer: PeerId, port: int) -> tuple[str, bool]:
        """Return the IP that a peer sees us at, and whether its call came through.

        Raises:
            PeerError, trio.TooSlowError: it did not say.
        """
        ...


class Doorbell:
    """Has peers of different networks call this one, and knows what they said."""

    def __init__(self, mesh: Connected, requests: Asking, rng: random.Random) -> None:
        self._mesh = mesh
        self._requests = requests
        self._rng = rng
        self._calls = Reachability()
        self._asked: dict[str, float] = {}  # by network, when it was asked last

    def reach(self) -> Reach:
        return self._calls.judge(unix_now())

    def seen_at(self) -> tuple[str, ...]:
        """Return the IPs that others see this peer at."""
        return self._calls.seen_at(unix_now())

    def ports(self) -> Sequence[int]:
        """Return the TCP ports at which this peer says it can be called."""
        return self._mesh.ports()

    def confirmed(self) -> list[str]:
        """Return the addresses at which calls came through, as multiaddrs."""
        found = self._calls.confirmed(unix_now())
        return [f"/{'ip6' if ':' in ip else 'ip4'}/{ip}/tcp/{port}" for ip, port in found]

    async def run(self) -> None:
        """Ask until cancelled: often while nothing is known, seldom afterwards."""
        while True:
            await trio.sleep(ASK_SECONDS * self._rng.uniform(0.75, 1.25))
            if (connection := self._next_teller()) is not None:
                await self._ask(connection)

    def _next_teller(self) -> Connection | None:
        """Return a peer of a network that was not asked for the longest time, if it is due."""
        due = trio.current_time() - ASK_AGAIN_SECONDS
        waiting = [
            each
            for each in self._mesh.connections()
            if self._asked.get(network_of(each.address), due) <= due
        ]
        return self._rng.choice(waiting) if waiting else None

    async def _ask(self, teller: Connection) -> None:
        network = network_of(teller.address)
        self._asked.pop(network, None)
        self._asked[network] = trio.current_time()
        if len(self._asked) > REMEMBERED_MAX:
            del self._asked[next(iter(self._asked))]
        for port in self._mesh.ports()[:1]:  # one question a minute is answered
            try:
                ip, came_through = await self._requests.ask_dialback(teller.peer, port)
            except (MeshnodeError, trio.TooSlowError) as error:
                _log.debug("nobody called back", reason=str(error))
                self._asked[network] -= ASK_AGAIN_SECONDS - BUSY_SECONDS
                continue
            self._calls.note(
                call_of(teller.address, ip, port, unix_now(), came_through=came_through)
            )
