"""Messages between a process of ours and its child, on pipes: 4 bytes of length, then msgpack."""

from __future__ import annotations

from typing import IO, Any

import msgpack


def read_frame(stream: IO[bytes]) -> Any:  # noqa: ANN401 - unpacked msgpack
    """Return the next message, or None at the end of the stream, also in the midst of one."""
    head = stream.read(4)
    size_bytes = int.from_bytes(head, "big")
    if len(head) < 4 or len(body := stream.read(size_bytes)) < size_bytes:
        return None
    return msgpack.unpackb(body, max_array_len=size_bytes)


def write_frame(stream: IO[bytes], message: object) -> None:
    """Write a message at once.

    Raises:
        BrokenPipeError: nobody reads it any more.
    """
    body = msgpack.packb(message)
    stream.write(len(body).to_bytes(4, "big") + body)
    stream.flush()
