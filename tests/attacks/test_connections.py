"""Attacks before anybody has said who he is: places for handshakes and for connections."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest
import trio

from meshnode.core.events import PeerConnected
from meshnode.runtime.network.inbound import HANDSHAKES_MAX, HANDSHAKES_PER_NETWORK_MAX
from tests.attacks.victims import Victims, until
from tests.runtime.meshes import Peer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ATTACKER = "127.0.0.2"
HONEST = "127.0.0.1"
MULTISTREAM = b"\x13/multistream/1.0.0\n"
HALF_HANDSHAKES = 1_000
AGAIN_SECONDS = 4.0  # 250 calls a second in all


async def call(victims: Victims, source: str) -> trio.SocketStream:
    return await trio.open_tcp_stream(HONEST, victims.port, local_address=source)


@asynccontextmanager
async def half_handshakes(victims: Victims, sources: Sequence[str]) -> AsyncIterator[None]:
    """Keep a thousand callers at it who say half of what a handshake needs, and then nothing; who
    is turned away calls again.
    """
    async with trio.open_nursery() as nursery:
        for number in range(HALF_HANDSHAKES):
            await nursery.start(_call_again, victims, sources[number % len(sources)])
        yield
        nursery.cancel_scope.cancel()


async def _call_again(
    victims: Victims, source: str, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    has_started = False
    while True:
        async with await call(victims, source) as stream:
            with suppress(trio.BrokenResourceError):
                await stream.send_all(MULTISTREAM)
            if not has_started:
                has_started = True
                task_status.started()
            await _until_closed(stream)
        await trio.sleep(AGAIN_SECONDS)


async def newcomer_connects(victims: Victims, name: str) -> None:
    """Have a peer that nobody knows connect, within the deadline of the tests."""
    async with trio.open_nursery() as nursery:
        newcomer = Peer(name, [await victims.address()])
        await newcomer.start(nursery)
        reader = (await victims.reader.control.ask("status"))["peer"]
        await newcomer.until(PeerConnected(reader))
        nursery.cancel_scope.cancel()


async def test_a_newcomer_connects_while_a_thousand_handshakes_are_half_done(
    victims: Victims,
) -> None:
    await victims.begin()
    async with half_handshakes(victims, [ATTACKER]):
        await newcomer_connects(victims, "newcomer")
        said = (await victims.peers())["inbound"]
        assert said["handshakes"] <= HANDSHAKES_PER_NETWORK_MAX
        assert said["most_turned_away"][0]["network"] == ATTACKER
        assert said["most_turned_away"][0]["times"] >= HALF_HANDSHAKES - HANDSHAKES_PER_NETWORK_MAX
        await victims.assert_unharmed()


async def test_a_newcomer_connects_though_silent_handshakes_fill_the_places_of_its_address(
    victims: Victims,
) -> None:
    await victims.begin()
    async with AsyncExitStack() as stack:
        for _ in range(HANDSHAKES_PER_NETWORK_MAX):
            stream = await stack.enter_async_context(await call(victims, HONEST))
            await stream.send_all(MULTISTREAM)
            assert await stream.receive_some(1)  # it counts as begun
        await newcomer_connects(victims, "neighbour")
        await victims.assert_unharmed()


async def test_a_newcomer_connects_while_they_come_from_many_addresses(victims: Victims) -> None:
    await victims.begin()
    sources = [f"127.0.1.{number}" for number in range(1, 101)]
    async with half_handshakes(victims, sources):
        await newcomer_connects(victims, "one more")
        assert (await victims.peers())["inbound"]["handshakes"] <= 2 * HANDSHAKES_MAX
        await victims.assert_unharmed()


async def test_garbage_instead_of_a_handshake_ends_the_connection(victims: Victims) -> None:
    await victims.begin()
    before = (await victims.peers())["inbound"]["unfinished"]
    for _ in range(HANDSHAKES_PER_NETWORK_MAX):
        async with await call(victims, "127.0.0.3") as stream:
            await stream.send_all(bytes(range(256)) * 40)
            await _until_closed(stream)
    said = (await victims.peers())["inbound"]
    assert said["unfinished"] == before + HANDSHAKES_PER_NETWORK_MAX
    await victims.assert_unharmed()


async def test_a_handshake_of_a_byte_at_a_time_ends_at_its_deadline(victims: Victims) -> None:
    """Slow loris: it says a little again and again, so that it never counts as silent."""
    await victims.begin()
    before = (await victims.peers())["inbound"]["unfinished"]
    async with await call(victims, "127.0.0.4") as stream, trio.open_nursery() as nursery:
        nursery.start_soon(_drip, stream)
        with trio.fail_after(30):
            await _until_closed(stream)
        nursery.cancel_scope.cancel()

    async def is_counted() -> bool:
        return (await victims.peers())["inbound"]["unfinished"] > before  # type: ignore[no-any-return]

    await until(is_counted)
    await victims.assert_unharmed()


async def _drip(stream: trio.SocketStream) -> None:
    for byte in MULTISTREAM + bytes(1 << 12):
        try:
            await stream.send_all(bytes([byte]))
        except trio.BrokenResourceError:
            return
        await trio.sleep(0.5)


async def _until_closed(stream: trio.SocketStream) -> None:
    try:
        while await stream.receive_some(4096):
            pass
    except trio.BrokenResourceError:
        return
