"""Real meshes on loopback, and what they heard."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from contextlib import suppress

import trio

from meshnode.core.events import AnnouncementReceived, Event, PeerConnected
from meshnode.core.identifiers import PeerId
from meshnode.core.verdicts import Verdict
from meshnode.runtime.network.inbound import CONNECTIONS_PER_NETWORK_MAX
from meshnode.runtime.network.mesh import Mesh, MeshSettings
from meshnode.runtime.network.streams import Stream, StreamBrokenError

ANYWHERE = "/ip4/127.0.0.1/tcp/0"
HEARD_WITHIN_SECONDS = 20.0  # far more than it takes: only a hang reaches it


def accept(_raw: bytes) -> Verdict:
    return Verdict.ACCEPT


async def echo(_peer: PeerId, stream: Stream) -> None:
    with suppress(StreamBrokenError):
        while part := await stream.read(65536):
            await stream.write(part)
        await stream.close()


class Peer:
    """A mesh, and the events that it told, awaitable."""

    def __init__(
        self,
        name: str,
        seeds: Sequence[str] = (),
        judge: Callable[[bytes], Verdict] = accept,
        listen: str = ANYWHERE,
        connections_per_network_max: int = CONNECTIONS_PER_NETWORK_MAX,
        blocked: Container[PeerId] = (),
    ) -> None:
        settings = MeshSettings(
            (listen,),
            tuple(seeds),
            heartbeat_seconds=0.2,
            redial_seconds=0.3,
            connections_per_network_max=connections_per_network_max,
        )
        self.mesh = Mesh(settings, name.encode().ljust(32), judge, self._tell, self.serve, blocked)
        self.events: list[Event] = []
        self._told = trio.Event()
        self._scope = trio.CancelScope()
        self._ended = trio.Event()

    async def serve(self, peer: PeerId, stream: Stream) -> None:
        await echo(peer, stream)

    async def start(self, nursery: trio.Nursery) -> None:
        await nursery.start(self._run)

    async def stop(self) -> None:
        self._scope.cancel()
        await self._ended.wait()

    @property
    def id(self) -> PeerId:
        return self.mesh.peer_id

    async def until(self, event: Event, count: int = 1) -> None:
        """Wait until the event was told `count` times."""
        with trio.fail_after(HEARD_WITHIN_SECONDS):
            while self.events.count(event) < count:
                await self._told.wait()

    async def until_heard(self, raw: bytes) -> None:
        with trio.fail_after(HEARD_WITHIN_SECONDS):
            while raw not in self.heard():
                await self._told.wait()

    async def until_connected(self, other: Peer, count: int = 1) -> None:
        await self.until(PeerConnected(other.id), count)

    async def hear(self, raw: bytes, speaker: Peer) -> None:
        """Have `speaker` gossip until this peer heard: a mesh of gossip needs a heartbeat or two
        to form, and what is said before reaches nobody. The bytes differ from time to time.
        """
        number = 0
        with trio.fail_after(HEARD_WITHIN_SECONDS):
            while not any(raw in heard for heard in self.heard()):
                await speaker.mesh.publish(raw + b" %d" % number)
                number += 1

    def heard(self) -> list[bytes]:
        return [event.raw for event in self.events if isinstance(event, AnnouncementReceived)]

    async def _run(self, task_status: trio.TaskStatus[None]) -> None:
        try:
            with self._scope:
                await self.mesh.run(task_status)
        finally:
            self._ended.set()

    async def _tell(self, event: Event) -> None:
        self.events.append(event)
        self._told.set()
        self._told = trio.Event()
