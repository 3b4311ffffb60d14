"""A buffered connection gives what is asked for, of what the socket had."""

from __future__ import annotations

from typing import cast

import pytest
from libp2p.io.abc import ReadWriteCloser

from meshnode.runtime.network.sockets import BufferedConnection


class Parts:
    """A socket whose bytes come in these parts."""

    def __init__(self, *parts: bytes) -> None:
        self._parts = list(parts)
        self.reads = 0

    async def read(self, _bytes_max: int | None) -> bytes:
        self.reads += 1
        return self._parts.pop(0) if self._parts else b""


def connection(socket: Parts) -> BufferedConnection:
    return BufferedConnection(cast(ReadWriteCloser, socket), initiator=True)


@pytest.mark.parametrize("size", [1, 2, 3, 100])
async def test_no_byte_is_lost_or_comes_twice(size: int) -> None:
    buffered = connection(Parts(b"one", b"two", b"three"))
    gathered = b""
    while part := await buffered.read(size):
        assert len(part) <= size
        gathered += part
    assert gathered == b"onetwothree"


async def test_the_socket_is_asked_once_for_what_it_has() -> None:
    socket = Parts(b"\x00\x05hello")
    buffered = connection(socket)
    assert [await buffered.read(2), await buffered.read(5)] == [b"\x00\x05", b"hello"]
    assert socket.reads == 1


async def test_without_a_size_all_that_is_kept_is_given() -> None:
    buffered = connection(Parts(b"hello", b"world"))
    assert await buffered.read(1) == b"h"
    assert await buffered.read() == b"ello"
    assert await buffered.read() == b"world"
    assert await buffered.read() == b""
