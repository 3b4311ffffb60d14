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
_READ_BYTES: Final = 64 << 10


class FrameError(PeerError):
    """The peer sent what the protocol does not allow."""


async def write_frame(stream: Stream, value: object) -> None:
    body: bytes = msgpack.packb(value)
    await stream.write(_LENGTH.pack(len(body)) + body)


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
    gathered = bytearray()
    while len(gathered) < length:
        part = await stream.read(min(length - len(gathered), _READ_BYTES))
        if not part:
            raise StreamBrokenError(f"the stream ended {length - len(gathered)} bytes too early")
        gathered += part
    return bytes(gathered)
