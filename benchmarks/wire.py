"""What the engine of the mesh adds to what is said: bytes of gossip, requests, pings, connections.

`python -m benchmarks.wire` prints them, each way. The simulator's constants come from here. Two
meshes with the settings of a peer meet through a relay that counts; it takes two minutes.
"""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import trio

from meshnode.core.events import Event, PeerConnected
from meshnode.core.identifiers import PeerId
from meshnode.core.verdicts import Verdict
from meshnode.demo.relay import Relay
from meshnode.runtime.network.mesh import Mesh, MeshSettings
from meshnode.runtime.network.streams import Stream

COUNT: Final = 40  # messages, and questions
MESSAGE_BYTES: Final = 350
QUESTION_BYTES: Final = 50
ANSWER_BYTES: Final = 300
PACE_SECONDS: Final = 0.25
IDLE_SECONDS: Final = 40.0
MEET_SECONDS_MAX: Final = 60.0

Bytes = tuple[float, float]  # from who dials, asks or speaks, and back


@dataclass(slots=True)
class Pair:
    """Two meshes; `relay` carries what they say to each other."""

    dialler: Mesh
    other: Mesh
    relay: Relay

    def carried(self) -> Bytes:
        return self.relay.forth.sent_bytes, self.relay.back.sent_bytes


async def measure() -> dict[str, Bytes]:
    """Return bytes each way: of a ping by name, else of one message, request or connection."""
    async with trio.open_nursery() as nursery:
        relay = Relay(("127.0.0.1", 0))
        await nursery.start(relay.run)
        other = Mesh(_settings(), secrets.token_bytes(32), _accept, _ignore, _answer)
        await nursery.start(other.run)
        port = int(other.addresses()[0].split("/")[4])
        relay.target = ("127.0.0.1", port)
        seed = f"/ip4/127.0.0.1/tcp/{relay.port}/p2p/{other.peer_id}"
        met = trio.Event()

        async def tell(event: Event) -> None:
            if isinstance(event, PeerConnected):
                met.set()

        dialler = Mesh(_settings(seed), secrets.token_bytes(32), _accept, tell, _answer)
        await nursery.start(dialler.run)
        pair = Pair(dialler, other, relay)
        with trio.fail_after(MEET_SECONDS_MAX):
            await met.wait()
            await dialler.until_heard_by(other.peer_id)
        figures = await _measure(pair)
        nursery.cancel_scope.cancel()
    return figures


async def _measure(pair: Pair) -> dict[str, Bytes]:
    connection = pair.carried()
    began = trio.current_time()
    await trio.sleep(IDLE_SECONDS)
    idle = _less(pair.carried(), connection)
    a_second = _each(idle, trio.current_time() - began)
    message = await _several(pair, a_second, _publish)
    request = await _several(pair, a_second, _ask)
    return {
        "connection": connection,
        "idle_second": a_second,
        "message_beside_data": (message[0] - MESSAGE_BYTES, message[1]),
        "request_beside_data": (request[0] - QUESTION_BYTES, request[1] - ANSWER_BYTES),
    }


async def _several(pair: Pair, a_second: Bytes, do: Callable[[Pair], Awaitable[None]]) -> Bytes:
    before, began = pair.carried(), trio.current_time()
    for _ in range(COUNT):
        await do(pair)
        await trio.sleep(PACE_SECONDS)
    await trio.sleep(1.0)
    seconds = trio.current_time() - began
    idle = (a_second[0] * seconds, a_second[1] * seconds)
    return _each(_less(_less(pair.carried(), before), idle), COUNT)


async def _publish(pair: Pair) -> None:
    await pair.dialler.publish(secrets.token_bytes(MESSAGE_BYTES))


async def _ask(pair: Pair) -> None:
    stream = await pair.dialler.open_stream(pair.other.peer_id)
    await stream.write(bytes(QUESTION_BYTES))
    while await stream.read(1 << 16):
        pass
    await stream.close()


async def _answer(_: PeerId, stream: Stream) -> None:
    await stream.read(1 << 16)
    await stream.write(bytes(ANSWER_BYTES))
    await stream.close()


def _accept(_: bytes) -> Verdict:
    return Verdict.ACCEPT


async def _ignore(_: Event) -> None:
    """What is heard is counted by the relay."""


def _settings(*seeds: str) -> MeshSettings:
    return MeshSettings(("/ip4/127.0.0.1/tcp/0",), seeds)


def _less(a: Bytes, b: Bytes) -> Bytes:
    return a[0] - b[0], a[1] - b[1]


def _each(a: Bytes, count: float) -> Bytes:
    return a[0] / count, a[1] / count


if __name__ == "__main__":
    json.dump(trio.run(measure), sys.stdout, indent=2)
    sys.stdout.write("\n")
