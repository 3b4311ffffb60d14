"""The relay between two ends of real TCP connections."""

from __future__ import annotations

import socket
from functools import partial

import pytest
import trio

from meshnode.demo.relay import Relay, Way


@pytest.fixture
async def relay(nursery: trio.Nursery) -> Relay:
    """Return a relay to a server that says everything twice."""
    listeners: list[trio.SocketListener] = await nursery.start(
        partial(trio.serve_tcp, twice, 0, host="127.0.0.1")
    )
    relay = Relay(("127.0.0.1", listeners[0].socket.getsockname()[1]))
    await nursery.start(relay.run)
    return relay


async def twice(stream: trio.SocketStream) -> None:
    try:
        async for part in stream:
            await stream.send_all(part * 2)
    except trio.BrokenResourceError:
        return


async def dial(relay: Relay) -> trio.SocketStream:
    return await trio.open_tcp_stream("127.0.0.1", relay.port)


async def is_dropped(stream: trio.SocketStream) -> bool:
    with trio.fail_after(10):
        try:
            return await stream.receive_some() == b""
        except trio.BrokenResourceError:
            return True


async def test_bytes_go_through_both_ways_and_so_does_the_end(relay: Relay) -> None:
    async with await dial(relay) as stream:
        await stream.send_all(b"ab")
        await stream.send_eof()
        assert b"".join([part async for part in stream]) == b"abab"


async def test_bytes_on_a_long_way_arrive_whole_and_are_counted_each_way(relay: Relay) -> None:
    relay.forth.latency_seconds, relay.back.latency_seconds = 0.02, 0.01
    async with await dial(relay) as stream:
        await stream.send_all(b"ab")
        await stream.send_eof()
        assert b"".join([part async for part in stream]) == b"abab"
    assert (relay.forth.sent_bytes, relay.back.sent_bytes) == (2, 4)


async def test_a_narrow_way_carries_one_part_after_the_other(autojump_clock):
    way = Way(latency_seconds=0.5, bytes_per_second=1_000)
    assert [way.send(2_000), way.send(1_000)] == [2.5, 3.5]
    await trio.sleep(10)
    assert way.send(1_000) == 11.5
    assert way.sent_bytes == 4_000


async def test_a_cut_drops_what_is_connected_and_what_comes(relay: Relay) -> None:
    async with await dial(relay) as before:
        await before.send_all(b"x")
        assert await before.receive_some() == b"xx"
        relay.cut()
        assert await is_dropped(before)
    async with await dial(relay) as during:
        assert await is_dropped(during)
    relay.heal()
    async with await dial(relay) as after:
        await after.send_all(b"y")
        assert await after.receive_some() == b"yy"


async def test_an_absent_target_drops_the_connection_and_nothing_else(
    nursery: trio.Nursery,
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        relay = Relay(unused.getsockname())
    await nursery.start(relay.run)
    for _ in range(2):
        async with await dial(relay) as stream:
            assert await is_dropped(stream)
