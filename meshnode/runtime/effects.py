"""Performs what the node asks for. Each effect that does work ends in an event told to the node."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol, assert_never

import structlog
import trio

from meshnode.core import trace
from meshnode.core.effects import (
    Announce,
    Answer,
    AskHeads,
    AskLog,
    AskRoots,
    AskSnapshot,
    Blame,
    CallHolder,
    CheckSnapshot,
    DropSegment,
    FetchObject,
    ForgetCatalogue,
    HideItems,
    IndexSegment,
    PurgeItems,
    PurgeObject,
    PurgePayload,
    RecallEntries,
    Request,
    ServePayload,
    SetHidden,
    Started,
    StopPayload,
)
from meshnode.core.events import Event, HolderCalled, RequestFailed, StorageFailed
from meshnode.core.exchange import AskHello, AskRecon, AskRecords
from meshnode.core.identifiers import Digest
from meshnode.core.verdicts import Topic
from meshnode.errors import StorageError
from meshnode.runtime.index.indexing import Indexing
from meshnode.runtime.tickets import Tickets

Tell = Callable[[Event], Awaitable[None]]

_log = structlog.get_logger()


class Network(Protocol):
    """What effects need of the mesh; a peer that works offline has a silent one."""

    async def publish(self, raw: bytes, topic: Topic) -> None: ...

    async def perform(self, request: Request) -> Event: ...

    async def call_holder(self, call: CallHolder) -> HolderCalled: ...

    async def stop_payload(self, key: Digest, *, erase: bool) -> None:
        """Serve a payload no more; raises StorageError."""
        ...

    async def serve_payload(self, key: Digest) -> None:
        """Serve what is here of a payload again; raises StorageError."""
        ...


class Offline:
    """The network of a peer that has none: nobody hears, and nobody but `perform` answers."""

    def __init__(self, perform: Callable[[Request], Awaitable[Event]]) -> None:
        self._perform = perform

    async def perform(self, request: Request) -> Event:
        return await self._perform(request)

    async def publish(self, raw: bytes, topic: Topic) -> None:
        pass

    async def call_holder(self, call: CallHolder) -> HolderCalled:
        return HolderCalled(call.peer, kept_word=False)

    async def stop_payload(self, key: Digest, *, erase: bool) -> None:
        """Nothing is served; what is due is erased at the next start with a network."""

    async def serve_payload(self, key: Digest) -> None:
        """Nothing is served."""


class Effects:
    """Starts effects in the order given; those that take time run beside each other.

    What the network raises against its word ends in the log and costs one message or request: the
    node is told of the end of each request, and the peer lives on.
    """

    def __init__(
        self,
        network: Network,
        indexing: Indexing,
        tickets: Tickets,
        tell: Tell,
        read: Callable[[CheckSnapshot | RecallEntries], Event],
    ) -> None:
        self._network = network
        self._read = read
        self._reading = trio.CapacityLimiter(1)  # one log is in memory at a time
        self._indexing = indexing
        self._tickets = tickets
        self._tell = tell
        # Unbounded: the node bounds its requests in flight and its announcements follow those.
        self._send, self._receive = trio.open_memory_channel[Started | trio.Event](math.inf)

    def start(self, effect: Started) -> None:
        self._send.send_nowait(effect)

    async def settle(self) -> None:
        """Wait until all that was started so far has changed the index and the object store."""
        settled = trio.Event()
        self._send.send_nowait(settled)
        await settled.wait()

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._indexing.run)
            async for effect in self._receive:
                if isinstance(effect, trio.Event):
                    self._indexing.queue(effect)
                else:
                    self._perform(effect, nursery)

    def _perform(  # noqa: C901 - one branch an effect
        self, effect: Started, nursery: trio.Nursery
    ) -> None:
        match effect:
            case Announce(raw, topic):
                nursery.start_soon(self._publish, raw, topic)
            case (
                AskHeads()
                | AskRoots()
                | AskLog()
                | AskSnapshot()
                | FetchObject()
                | AskHello()
                | AskRecon()
                | AskRecords()
            ):
                nursery.start_soon(self._request, effect)
            case CallHolder():
                nursery.start_soon(self._call, effect)
            case CheckSnapshot() | RecallEntries():
                nursery.start_soon(self._read_log, effect)
            case (
                IndexSegment()
                | DropSegment()
                | HideItems()
                | SetHidden()
                | ForgetCatalogue()
                | PurgeObject()
                | PurgeItems()
            ):
                self._indexing.queue(effect)
            case StopPayload(key):
                change = partial(self._network.stop_payload, key, erase=False)
                nursery.start_soon(self._change_payload, change)
            case PurgePayload(key):
                change = partial(self._network.stop_payload, key, erase=True)
                nursery.start_soon(self._change_payload, change)
            case ServePayload(key):
                nursery.start_soon(self._change_payload, partial(self._network.serve_payload, key))
            case Answer():
                self._tickets.resolve(effect)
            case Blame():
                pass  # counted by the node, shown by the journal
            case _:
                assert_never(effect)

    async def _publish(self, raw: bytes, topic: Topic) -> None:
        try:
            await self._network.publish(raw, topic)
        except Exception:
            _log.exception("an announcement failed")

    async def _change_payload(self, change: Callable[[], Awaitable[None]]) -> None:
        try:
            await change()
        except StorageError as error:
            await self._tell(StorageFailed(str(error)))

    async def _read_log(self, effect: CheckSnapshot | RecallEntries) -> None:
        event: Event
        try:
            event = await trio.to_thread.run_sync(self._read, effect, limiter=self._reading)
        except StorageError as error:
            event = StorageFailed(str(error))
        except Exception:
            _log.exception("a log could not be read", effect=trace.line(effect))
            return
        await self._tell(event)

    async def _call(self, call: CallHolder) -> None:
        try:
            event = await self._network.call_holder(call)
        except Exception:
            _log.exception("a call failed", call=trace.line(call))
            event = HolderCalled(call.peer, kept_word=False)
        await self._tell(event)

    async def _request(self, request: Request) -> None:
        try:
            event = await self._network.perform(request)
        except StorageError as error:
            event = StorageFailed(str(error))
        except Exception as error:
            _log.exception("a request failed", request=trace.line(request))
            event = RequestFailed(request, f"this peer failed: {error!r}")
        await self._tell(event)
