"""The control client: how the command line, the pages and the simulations talk to a running peer.

One connection carries one request. Both directions are JSON lines (RFC 8259, one object a line):

    → {"do": "search", "with": {"bbox": [...]}}
    ← {"event": {...}}          any number, for work that takes time
    ← {"result": {...}}         or {"error": {"kind", "message", "hint"}}

Closing the connection cancels the work. The socket is a Unix socket in the data directory, which
only its owner can open.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager, suppress
from pathlib import Path
from typing import Any

import trio

from meshnode.errors import ConfigError, MeshnodeError, PeerError, StorageError, UsageError

LINE_BYTES_MAX = 64 << 20  # an item of 1.5 MB exists; a published batch of entries is larger
SOCKET_PATH_BYTES_MAX = 100  # sun_path holds 108 on Linux, 104 elsewhere

Message = dict[str, Any]

_KINDS: dict[str, type[MeshnodeError]] = {
    kind.__name__: kind for kind in (PeerError, StorageError, ConfigError, UsageError)
}


class NotRunningError(MeshnodeError):
    """No peer runs on this data directory."""


class Control:
    """Asks the peer whose control socket is at `socket`."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    async def ask(self, action: str, **arguments: Any) -> Message:  # noqa: ANN401 - JSON
        """Return the result of a request, passing over its events.

        Raises:
            NotRunningError: no peer listens.
            MeshnodeError: the peer's own error, of the kind it says.
        """
        async with aclosing(self.follow(action, **arguments)) as messages:
            async for message in messages:
                if "result" in message:
                    return dict(message["result"])
        raise _gone()

    async def follow(
        self,
        action: str,
        **arguments: Any,  # noqa: ANN401 - JSON
    ) -> AsyncGenerator[Message, None]:
        """Yield {"event": …} messages, and {"result": …} as the last one."""
        stream = await self._connect()
        async with stream:
            with suppress(trio.BrokenResourceError):  # it may have said why before it hung up
                await stream.send_all(encode_line({"do": action, "with": arguments}))
            async with aclosing(read_lines(stream)) as lines:
                async for message in lines:
                    if "error" in message:
                        raise decode_error(message["error"])
                    yield message
                    if "result" in message:
                        return
        raise _gone()

    async def _connect(self) -> trio.SocketStream:
        try:
            with reachable_path(self._socket) as path:
                return await trio.open_unix_socket(path)
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise NotRunningError(
                f"no peer runs on {self._socket.parent}",
                hint=f"meshnode run --home {self._socket.parent}",
            ) from error
        except OSError as error:
            raise StorageError(f"cannot reach {self._socket}: {error.strerror}") from error


@contextmanager
def reachable_path(socket: Path) -> Iterator[str]:
    """Give a path short enough for a socket address, through /proc where ours is too long."""
    if len(os.fsencode(socket)) <= SOCKET_PATH_BYTES_MAX:
        yield str(socket)
        return
    directory = os.open(socket.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{socket.name}"
    finally:
        os.close(directory)


def encode_line(message: Message) -> bytes:
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


async def read_lines(stream: trio.abc.ReceiveStream) -> AsyncGenerator[Message, None]:
    """Yield the objects of a stream of JSON lines.

    Raises:
        UsageError: a line is longer than LINE_BYTES_MAX or no JSON object.
    """
    buffer = bytearray()
    searched = 0
    while True:
        end = buffer.find(b"\n", searched)
        if end >= 0:
            line = bytes(buffer[:end])
            del buffer[: end + 1]
            searched = 0
            yield _decode_line(line)
            continue
        searched = len(buffer)
        if searched > LINE_BYTES_MAX:
            raise UsageError(f"a control message has more than {LINE_BYTES_MAX} bytes")
        try:
            data = await stream.receive_some(1 << 16)
        except trio.BrokenResourceError:
            return
        if not data:
            return
        buffer += data


def encode_error(error: MeshnodeError) -> Message:
    """Name an error by the kind that the other side knows: whose fault it is."""
    kinds = (kind.__name__ for kind in type(error).__mro__ if kind.__name__ in _KINDS)
    return {"kind": next(kinds, type(error).__name__), "message": str(error), "hint": error.hint}


def decode_error(said: Message) -> MeshnodeError:
    kind = _KINDS.get(said["kind"], MeshnodeError)
    return kind(said["message"], hint=said["hint"])


def _decode_line(line: bytes) -> Message:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UsageError("a control message is not JSON") from error
    if not isinstance(message, dict):
        raise UsageError("a control message is not a JSON object")
    return message


def _gone() -> MeshnodeError:
    return StorageError("the peer went away before it answered", hint="look at its log")
