"""Frames on a sync stream: four bytes of length, big-endian, then one msgpack value.

Implements the framing of protocol/05-sync.md. The length is checked before anything of the frame
is read; what the value must look like is checked by whoever asked for it, with `expect_*`.
"""

from __future__ import annotations

import struct
from typing import Final

import msgpack

from meshnode.errors import PeerError
from meshnode.runtime.network.streams import Stream, StreamBrokenError

REQUEST_BYTES_MAX: Final = 64 << 10  # the largest, `heads`, names 1,024 catalogues
ANSWER_BYTES_MAX: Final = 2 << 20  # a store answers with 1 MiB of records; the rest is framing
CHUNK_BYTES: Final = 256 << 10  # of an object; larger writes gained no speed

_LENGTH: Final = struct.Struct(">I")
# msgpack's headers of bytes: their first byte, by how long they are with the number of bytes.
_BIN_HEADERS: Final = {2: 0xC4, 3: 0xC5, 5: 0xC6}
_READ_BYTES: Final = 256 << 10
_PARTS_MAX: Final = 64


class FrameError(PeerError):
    """The peer sent what the protocol does not allow."""


def frame(value: object) -> bytes:
    body: bytes = msgpack.packb(value)
    return _LENGTH.pack(len(body)) + body


async def write_frame(stream: Stream, value: object) -> None:
    await stream.write(frame(value))


async def read_frame(stream: Stream, bytes_max: int) -> object:
    """Read one value of at most `bytes_max` bytes.

    Raises:
        FrameError: longer than that, or not msgpack.
        StreamBrokenError: the stream ended within the frame.
    """
    (length,) = _LENGTH.unpack(await _read_exactly(stream, _LENGTH.size))
    if length > bytes_max:
        raise FrameError(f"a frame of {length} bytes where at most {bytes_max} are allowed")
    try:
        return msgpack.unpackb(await _read_exactly(stream, length))
    except (ValueError, msgpack.UnpackException) as error:
        raise FrameError(f"a frame is not msgpack: {error}") from error


async def write_chunk(stream: Stream, chunk: bytes | memoryview, before: bytes = b"") -> None:
    """Write bytes of an object as one frame; they are copied once, into what is sent.

    `before` is a frame that goes first, in the same piece.
    """
    header = bytes((_BIN_HEADERS[5],)) + _LENGTH.pack(len(chunk))
    await stream.write(b"".join((before, _LENGTH.pack(len(header) + len(chunk)), header, chunk)))


async def read_chunk(stream: Stream, due: int) -> list[bytes]:
    """Read a frame of exactly `due` bytes of an object; return them in the parts that came.

    Raises:
        FrameError: a frame of anything else.
        StreamBrokenError: the stream ended within the frame.
    """
    (length,) = _LENGTH.unpack(await _read_exactly(stream, _LENGTH.size))
    if length - due not in _BIN_HEADERS:
        raise FrameError(f"a frame of {length} bytes where {due} bytes of an object are due")
    kind, *number = await _read_exactly(stream, length - due)
    if kind != _BIN_HEADERS[length - due] or int.from_bytes(number, "big") != due:
        raise FrameError(f"a frame that is not {due} bytes of an object")
    return await _read_parts(stream, due)


def expect_list(value: object, length_max: int) -> list[object]:
    if not isinstance(value, list) or len(value) > length_max:
        raise FrameError(f"expected a list of at most {length_max}")
    return value


def expect_bytes(value: object, length: int | None = None) -> bytes:
    if not isinstance(value, bytes) or length not in (None, len(value)):
        raise FrameError("expected bytes" if length is None else f"expected {length} bytes")
    return value


def expect_int(value: object, least: int, most: int) -> int:
    # `type` and not `isinstance`: msgpack's true is not a number.
    if type(value) is not int or not least <= value <= most:
        raise FrameError(f"expected a whole number from {least} to {most}")
    return value


def expect_text(value: object, length_max: int) -> str:
    if not isinstance(value, str) or len(value) > length_max:
        raise FrameError(f"expected a text of at most {length_max} characters")
    return value


async def _read_exactly(stream: Stream, length: int) -> bytes:
    """Gather `length` bytes; memory grows with what arrives, not with what was announced."""
    parts = await _read_parts(stream, length)
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def _read_parts(stream: Stream, length: int) -> list[bytes]:
    parts: list[bytes] = []
    left = length
    while left:
        part = await stream.read(min(left, _READ_BYTES))
        if not part:
            raise StreamBrokenError(f"the stream ended {left} bytes too early")
        parts.append(part)
        left -= len(part)
        if len(parts) == _PARTS_MAX:
            parts = [b"".join(parts)]  # bytes that come one by one take no room for many objects
    return parts
