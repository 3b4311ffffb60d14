"""Being called back: only where the question came from, seldom, and only the very peer counts."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio
import trio.testing

from meshnode.core.identifiers import PeerId
from meshnode.core.reachability import Reach
from meshnode.errors import PeerError
from meshnode.runtime.network import mesh
from meshnode.runtime.network.dialback import (
    BUSY_SECONDS,
    CALL_SECONDS_MIN,
    CALLS_MAX,
    REMEMBERED_MAX,
    Callback,
    Doorbell,
)
from meshnode.runtime.network.requests import Requests
from meshnode.runtime.network.serving import Serving
from tests.runtime.meshes import Peer
from tests.runtime.peers import ANSWERER, ASKER, Folder, Line, Shelf, no_peers, no_provider

HERE = "/ip4/8.8.4.1/tcp/50000"


@dataclass
class Phone:
    """Whom a peer called, and who answers; a call may last."""

    answers: bool = True
    seconds: float = 0.0
    called: list[tuple[PeerId, str]] = field(default_factory=list)

    async def knock(self, peer: PeerId, address: str) -> bool:
        self.called.append((peer, address))
        await trio.sleep(self.seconds)
        return self.answers


def seen_here(_peer: PeerId) -> Sequence[str]:
    return [HERE]


async def test_n_65_only_the_address_that_the_question_came_from_is_called():
    phone = Phone()
    assert await Callback(seen_here, phone.knock).answer(ASKER, 4001) == ("8.8.4.1", True)
    assert phone.called == [(ASKER, "/ip4/8.8.4.1/tcp/4001")]


async def test_n_65_who_is_not_connected_is_not_called():
    phone = Phone()
    assert await Callback(lambda _: [], phone.knock).answer(ASKER, 4001) is None
    assert phone.called == []


async def test_an_address_of_ipv6_is_called_as_such():
    phone = Phone(answers=False)
    callback = Callback(lambda _: ["/ip6/2600::1/tcp/9"], phone.knock)
    assert await callback.answer(ASKER, 4001) == ("2600::1", False)
    assert phone.called == [(ASKER, "/ip6/2600::1/tcp/4001")]


async def test_n_65_a_peer_is_called_once_a_minute(autojump_clock):
    phone = Phone()
    callback = Callback(seen_here, phone.knock)
    assert await callback.answer(ASKER, 4001)
    for port in range(1, 100):
        assert await callback.answer(ASKER, port) is None
    await trio.sleep(CALL_SECONDS_MIN)
    assert await callback.answer(ASKER, 4001)
    assert len(phone.called) == 2


async def test_few_calls_are_made_at_a_time(autojump_clock):
    phone = Phone(seconds=5.0)
    callback = Callback(seen_here, phone.knock)
    async with trio.open_nursery() as nursery:
        for number in range(50):
            nursery.start_soon(callback.answer, PeerId(f"peer {number}"), 4001)
    assert len(phone.called) == CALLS_MAX


async def test_who_was_called_is_remembered_within_a_bound():
    callback = Callback(seen_here, Phone().knock)
    for number in range(REMEMBERED_MAX + 10):
        await callback.answer(PeerId(f"peer {number}"), 4001)
    assert len(callback._next) == REMEMBERED_MAX


@pytest.mark.parametrize("question", [["dialback", 0], ["dialback", 65536], ["dialback", "22"]])
async def test_a_port_that_is_none_is_refused(nursery: trio.Nursery, tmp_path: Path, question):
    from meshnode.runtime.network.frames import read_frame, write_frame

    line = Line(nursery)
    line.answerers[ANSWERER] = Serving(Shelf(), no_peers, no_provider)
    stream = await line.open_stream(ANSWERER)
    await write_frame(stream, question)
    assert await read_frame(stream, 100) == ["refused"]


async def test_what_the_caller_says_comes_back(nursery: trio.Nursery, tmp_path: Path):
    line = Line(nursery)
    callback = Callback(seen_here, Phone().knock)
    line.answerers[ANSWERER] = Serving(Shelf(), no_peers, no_provider, calls_back=callback.answer)
    requests = Requests(line.open_stream, Folder(tmp_path), list)
    assert await requests.ask_dialback(ANSWERER, 4001) == ("8.8.4.1", True)
    with pytest.raises(PeerError, match="busy"):
        await requests.ask_dialback(ANSWERER, 4001)


@pytest.mark.parametrize("answer", [["not an ip", True], ["8.8.4.1", 1], ["8.8.4.1"]])
async def test_an_answer_of_another_shape_is_a_fault(
    nursery: trio.Nursery, tmp_path: Path, answer: list[object]
):
    line = Line(nursery)

    async def calls(_asker: PeerId, _port: int) -> tuple[str, bool]:
        return tuple(answer)  # type: ignore[return-value]

    line.answerers[ANSWERER] = Serving(Shelf(), no_peers, no_provider, calls_back=calls)
    requests = Requests(line.open_stream, Folder(tmp_path), list)
    with pytest.raises(PeerError):
        await requests.ask_dialback(ANSWERER, 4001)


@dataclass(frozen=True)
class Connection:
    peer: PeerId
    address: str
    outbound: bool = False


@dataclass
class Town:
    """Peers of several networks, and what they say of their calls."""

    networks: tuple[str, ...]
    through: bool = False
    error: Exception | None = None
    asked: list[PeerId] = field(default_factory=list)

    def connections(self) -> list[Connection]:
        return [Connection(PeerId(ip), f"/ip4/{ip}/tcp/50000") for ip in self.networks]

    def ports(self) -> list[int]:
        return [4001]

    async def ask_dialback(self, peer: PeerId, port: int) -> tuple[str, bool]:
        self.asked.append(peer)
        if self.error is not None:
            raise self.error
        return "9.9.9.9", self.through


async def live(town: Town, seconds: float) -> Doorbell:
    doorbell = Doorbell(town, town, random.Random(1))
    with trio.move_on_after(seconds):
        await doorbell.run()
    return doorbell


async def test_each_network_is_asked_once_in_a_while(autojump_clock):
    town = Town(("8.8.4.1", "8.8.4.2", "7.7.7.7"))
    doorbell = await live(town, 600)
    assert len(town.asked) == 2
    assert doorbell.reach() is Reach.NOT_REACHABLE
    assert doorbell.seen_at() == ("9.9.9.9",)
    assert doorbell.confirmed() == []
    again = Town(("8.8.4.1", "8.8.4.2", "7.7.7.7"))
    await live(again, 3 * 3600)
    assert 8 <= len(again.asked) <= 14


async def test_where_a_call_came_through_is_an_address_of_ours(autojump_clock):
    doorbell = await live(Town(("8.8.4.1",), through=True), 60)
    assert doorbell.reach() is Reach.REACHABLE
    assert doorbell.confirmed() == ["/ip4/9.9.9.9/tcp/4001"]


@pytest.mark.parametrize("error", [PeerError("busy"), trio.TooSlowError()])
async def test_a_peer_that_does_not_say_is_asked_again_soon(autojump_clock, error: Exception):
    town = Town(("8.8.4.1",), error=error)
    doorbell = await live(town, 10 * BUSY_SECONDS)
    assert len(town.asked) > 3
    assert doorbell.reach() is Reach.UNKNOWN


# --- Real calls -----------------------------------------------------------------------------------
@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes calls and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.slow
async def test_a_real_peer_is_called_back_and_only_that_very_peer_counts(
    nursery: trio.Nursery, silent_port: int, monkeypatch: pytest.MonkeyPatch
):
    caller, called, other = Peer("caller"), Peer("called"), Peer("other")
    for peer in (caller, called, other):
        await peer.start(nursery)
    port, wrong = (peer.mesh.ports()[0] for peer in (called, other))
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        closed = unused.getsockname()[1]
    monkeypatch.setattr(mesh, "DIAL_SECONDS_MAX", 1.0)
    answers = {
        name: await caller.mesh.knock(called.id, f"/ip4/127.0.0.1/tcp/{at}")
        for name, at in (
            ("its own", port),
            ("another peer's", wrong),
            ("closed", closed),
            ("silent", silent_port),
        )
    }
    assert answers == {"its own": True, "another peer's": False, "closed": False, "silent": False}
    assert caller.mesh.connections() == ()
    assert called.events == []
