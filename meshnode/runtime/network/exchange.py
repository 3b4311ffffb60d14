"""One question and its answer on one stream, with a deadline on every wait."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Final

import trio

from meshnode.core.identifiers import PeerId
from meshnode.errors import PeerError
from meshnode.runtime.network.frames import (
    ANSWER_BYTES_MAX,
    FrameError,
    expect_list,
    read_frame,
    write_frame,
)
from meshnode.runtime.network.streams import OpenStream, Stream

RESET_SECONDS_MAX: Final = 2.0  # telling the other side that we gave up is a courtesy


class NotGivenError(PeerError):
    """The peer does not have it, is busy, or would not say: no fault of its own."""


class RefusedError(NotGivenError):
    """The peer does not know the question."""


@asynccontextmanager
async def opened(open_stream: OpenStream, peer: PeerId, seconds: float) -> AsyncIterator[Stream]:
    """Open a stream, and close it after the block; after an exception it is reset.

    Raises:
        PeerError: no stream to this peer, or it broke.
        trio.TooSlowError: opening or closing took longer than `seconds`.
    """
    with trio.fail_after(seconds):
        stream = await open_stream(peer)
    try:
        yield stream
        with trio.fail_after(seconds):
            await stream.close()
    except BaseException:
        await give_up(stream)
        raise


async def give_up(stream: Stream) -> None:
    """Reset a stream; it may be gone already."""
    with trio.move_on_after(RESET_SECONDS_MAX, shield=True), suppress(PeerError):
        await stream.reset()


async def exchange(stream: Stream, question: list[object], kind: str, fields: int) -> list[object]:
    """Ask one question and return the fields of its answer, as `read_answer` does."""
    _, values = await exchange_any(stream, question, {kind: fields})
    return values


async def exchange_any(
    stream: Stream, question: list[object], kinds: Mapping[str, int]
) -> tuple[str, list[object]]:
    """Ask one question; return which of `kinds` the answer is, and as many fields as that has."""
    await write_frame(stream, question)
    return await _read_any(stream, kinds)


async def read_answer(stream: Stream, kind: str, fields: int) -> list[object]:
    """Return the fields of an answer of this kind.

    Raises:
        NotGivenError: the peer has none, is busy or refuses.
        FrameError: it is no such answer.
        StreamBrokenError: the stream ended.
    """
    _, values = await _read_any(stream, {kind: fields})
    return values


async def _read_any(stream: Stream, kinds: Mapping[str, int]) -> tuple[str, list[object]]:
    answer = expect_list(await read_frame(stream, ANSWER_BYTES_MAX), 1 + max(kinds.values()))
    match answer:
        case [str(said), *values] if kinds.get(said) == len(values):
            return said, values
        case ["none"]:
            raise NotGivenError("the peer does not have it")
        case ["busy"]:
            raise NotGivenError("the peer is busy")
        case ["refused"]:
            raise RefusedError("the peer refused the question")
        case _:
            raise FrameError(f"the answer is not {' or '.join(map(repr, kinds))}")
