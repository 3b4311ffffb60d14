"""The static mirrors that this peer reads: polled politely, told to the node as peers.

A mirror is known to the node by its address. While it can be read it is connected; when it has
something new, the node hears of its heads as if it had asked.
"""

from __future__ import annotations

import math
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import structlog
import trio

from meshnode.core.effects import AskHeads, Request
from meshnode.core.events import (
    AnnouncementReceived,
    Event,
    PeerConnected,
    PeerDisconnected,
    RequestFailed,
)
from meshnode.core.identifiers import CatalogueId, PeerId, catalogue_text
from meshnode.core.verdicts import Check
from meshnode.errors import PeerError, UsageError
from meshnode.runtime.clock import unix_now
from meshnode.runtime.network.streams import OpenStream, Stream, StreamBrokenError
from meshnode.runtime.static_mirror.answering import MirrorStream
from meshnode.runtime.static_mirror.mirror import Mirror
from meshnode.runtime.static_mirror.shelves import (
    Shelf,
    UnreachableError,
    WrongFileError,
    folder_url,
)

MIRRORS_MAX: Final = 32  # as many as a seed list names
POLL_SECONDS: Final = 60.0
LOOK_SECONDS_MAX: Final = 600.0  # for the pointer and the indices: 16 MiB at 30 kB/s
PAUSE_SECONDS_MAX: Final = 3600.0  # between attempts at a mirror that fails

_log = structlog.get_logger()

Tell = Callable[[Event], Awaitable[None]]
Perform = Callable[[Request], Awaitable[Event]]
Followed = Callable[[], Sequence[CatalogueId]]


class WebMirror(Shelf, Protocol):
    """A mirror with connections of its own."""

    async def aclose(self) -> None: ...


# Takes the URL of a folder, and whether it may be inside this machine's own network.
OpenShelf = Callable[[str, bool], WebMirror]


def open_web(url: str, allow_local: bool) -> WebMirror:
    """Return what reads a mirror on the web."""
    # Here, since a command that works offline has no need of an HTTP client.
    from meshnode.runtime.static_mirror.web import WebShelf

    return WebShelf(url, allow_local=allow_local)


@dataclass(slots=True)
class Watched:
    """A mirror and how it has been lately; times in unix seconds, 0: never."""

    name: PeerId
    mirror: Mirror
    is_connected: bool = False
    checked: int = 0  # when it last answered
    failing_since: int = 0
    reason: str = ""  # why it fails, or what is odd about it
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)


Started = tuple[Watched, WebMirror]


@dataclass(slots=True)
class Mirrors:
    """Invariant: the node counts a mirror as connected exactly while it is `is_connected`.

    `perform` asks a mirror by the code that asks peers; `open_stream` is what it asks through.
    """

    tell: Tell
    followed: Followed
    rng: random.Random
    poll_seconds: float = POLL_SECONDS
    allow_local: bool = False
    open_shelf: OpenShelf = open_web
    _watched: dict[PeerId, Watched] = field(default_factory=dict)
    _perform: Perform | None = None
    _started: trio.MemorySendChannel[Started] = field(init=False)
    _starting: trio.MemoryReceiveChannel[Started] = field(init=False)

    def __post_init__(self) -> None:
        # Unbounded: no more than MIRRORS_MAX are watched.
        self._started, self._starting = trio.open_memory_channel[Started](math.inf)

    def all(self) -> tuple[Watched, ...]:
        return tuple(self._watched.values())

    def asked_through(self, perform: Perform) -> None:
        """Ask mirrors by this from now on."""
        self._perform = perform

    def routed(self, to_peers: OpenStream) -> OpenStream:
        """Return what opens streams to mirrors, and to peers by `to_peers`."""

        async def open_stream(name: PeerId) -> Stream:
            watched = self._watched.get(name)
            return MirrorStream(watched.mirror) if watched else await to_peers(name)

        return open_stream

    async def run(self, urls: Sequence[str], task_status: trio.TaskStatus[None]) -> None:
        """Watch these mirrors, and those that are added, until cancelled."""
        async with trio.open_nursery() as nursery:
            for url in urls:
                self.add(url)
            task_status.started()
            async for watched, shelf in self._starting:
                nursery.start_soon(self._watch, watched, shelf)

    def add(self, url: str) -> PeerId:
        """Watch a mirror on the web from now on; one that is watched stays so.

        Raises:
            UsageError: no such address can be, there are too many, or it is being dropped.
        """
        name = PeerId(folder_url(url))
        if name in self._watched:
            if self._watched[name].scope.cancel_called:
                raise UsageError(f"{name} is being dropped", hint="try again in a moment")
            return name
        if len(self._watched) >= MIRRORS_MAX:
            raise UsageError(f"{MIRRORS_MAX} mirrors are read already", hint="unfollow one of them")
        shelf = self.open_shelf(url, self.allow_local)
        watched = self._watched[name] = Watched(name, Mirror(shelf))
        self._started.send_nowait((watched, shelf))
        return name

    def drop(self, url: str) -> bool:
        """Watch a mirror no longer; say whether it was watched."""
        watched = self._watched.get(PeerId(folder_url(url)))
        if watched is None:
            return False
        watched.scope.cancel()
        return True

    async def attach(self, name: PeerId, shelf: Shelf) -> Watched:
        """Read a mirror that is no web server once; end it with `detach`.

        Raises:
            PeerError: it cannot be read.
        """
        watched = Watched(name, Mirror(shelf))
        await watched.mirror.refresh()
        self._watched[name] = watched
        await self._connect(watched)
        await self._spread(watched)
        return watched

    async def detach(self, watched: Watched) -> None:
        await self._disconnect(watched)
        self._watched.pop(watched.name, None)

    async def _watch(self, watched: Watched, shelf: WebMirror) -> None:
        try:
            with watched.scope:
                pause = 0.0
                while True:
                    pause = await self._poll(watched, pause)
                    await trio.sleep(pause * self.rng.uniform(0.75, 1.25))
        finally:
            with trio.move_on_after(1.0, shield=True):
                await self.detach(watched)
                await shelf.aclose()

    async def _poll(self, watched: Watched, pause: float) -> float:
        """Look at a mirror once; return how many seconds to wait."""
        try:
            with trio.fail_after(LOOK_SECONDS_MAX):
                is_new = await watched.mirror.refresh()
                if is_new or not watched.is_connected:
                    await self._look_through(watched)
                    await self._connect(watched)
                    await self._spread(watched)
        except trio.TooSlowError:
            slow = UnreachableError(f"it did not give its indices within {LOOK_SECONDS_MAX:g} s")
            return await self._failed(watched, slow, pause)
        except WrongFileError as error:
            asked = AskHeads(watched.name, ())
            await self.tell(RequestFailed(asked, str(error), Check.CONTENT_HASH))
            return await self._failed(watched, error, pause)
        except PeerError as error:
            return await self._failed(watched, error, pause)
        except Exception as error:  # one mirror costs itself, never the peer
            _log.exception("a mirror failed", mirror=watched.name)
            return await self._failed(watched, UnreachableError(repr(error)), pause)
        watched.checked, watched.failing_since = unix_now(), 0
        return self.poll_seconds

    async def _look_through(self, watched: Watched) -> None:
        """Read the indices of what is followed, which may take longer than a question may."""
        watched.reason = ""
        for catalogue in self.followed():
            index = await watched.mirror.index(catalogue)
            regress = watched.mirror.regress(index) if index else None
            if regress is not None:
                watched.reason = (
                    f"it went back in time: head {regress.seq} of {catalogue_text(catalogue)},"
                    f" where it told of head {regress.before} before"
                )

    async def _spread(self, watched: Watched) -> None:
        """Tell the node what the mirror has, as an answer that it had asked for."""
        assert self._perform is not None
        catalogues = tuple(c for c in self.followed() if c in watched.mirror.catalogues)
        if not catalogues:
            return
        await self.tell(await self._perform(AskHeads(watched.name, catalogues)))
        for catalogue in catalogues:
            index = await watched.mirror.index(catalogue)
            for raw in index.forks if index else ():
                await self.tell(AnnouncementReceived(watched.name, raw))

    async def _failed(self, watched: Watched, error: PeerError, pause: float) -> float:
        if not watched.failing_since:
            watched.failing_since = unix_now()
            _log.warning("a mirror cannot be read", mirror=watched.name, reason=str(error))
        watched.reason = str(error)
        await self._disconnect(watched)
        asked = error.seconds if isinstance(error, UnreachableError) else 0.0
        longer = max(self.poll_seconds, min(2 * pause, PAUSE_SECONDS_MAX))
        return max(longer, min(asked, PAUSE_SECONDS_MAX))

    async def _connect(self, watched: Watched) -> None:
        if not watched.is_connected:
            watched.is_connected = True
            await self.tell(PeerConnected(watched.name))

    async def _disconnect(self, watched: Watched) -> None:
        if watched.is_connected:
            watched.is_connected = False
            await self.tell(PeerDisconnected(watched.name))


async def no_peers(name: PeerId) -> Stream:
    """Open no stream: there are no peers but mirrors."""
    raise StreamBrokenError(f"{name} is not connected")
