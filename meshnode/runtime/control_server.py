"""The other end of `meshnode.control`: a Unix socket that answers one request a connection."""

from __future__ import annotations

import os
import socket as sockets
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from pathlib import Path

import structlog
import trio

from meshnode.control import (
    Message,
    encode_error,
    encode_line,
    reachable_path,
    read_lines,
)
from meshnode.errors import MeshnodeError, StorageError, UsageError

CONNECTIONS_MAX = 64  # one operator's commands; more wait for their turn
LISTEN_QUEUE = 1024  # a full one fails a connect at once on Linux, instead of having it wait

# Yields {"event": …} messages and ends with a {"result": …}.
Answer = Callable[[str, Message], AsyncGenerator[Message, None]]

_log = structlog.get_logger()


class ControlServer:
    """Listens on the socket until cancelled. Each request is answered by `answer`."""

    def __init__(self, socket: Path, answer: Answer) -> None:
        self._socket = socket
        self._answer = answer
        self._limit = trio.CapacityLimiter(CONNECTIONS_MAX)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        listener = self._listen()
        try:
            async with trio.open_nursery() as nursery:
                task_status.started()
                await trio.serve_listeners(self._serve, [listener], handler_nursery=nursery)
        finally:
            self._socket.unlink(missing_ok=True)

    def _listen(self) -> trio.SocketListener:
        self._socket.unlink(missing_ok=True)  # left by a killed process; ours is the home's lock
        raw = sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM)
        try:
            with reachable_path(self._socket) as path:
                before = os.umask(0o177)
                try:
                    raw.bind(path)
                finally:
                    os.umask(before)
            raw.listen(LISTEN_QUEUE)
        except OSError as error:
            raw.close()
            raise StorageError(f"cannot listen on {self._socket}: {error.strerror}") from error
        raw.setblocking(False)
        return trio.SocketListener(trio.socket.from_stdlib_socket(raw))

    async def _serve(self, stream: trio.SocketStream) -> None:
        async with self._limit, stream:
            await self._converse(stream)

    async def _converse(self, stream: trio.SocketStream) -> None:
        async with aclosing(read_lines(stream)) as lines:
            try:
                request = await anext(lines, None)
            except MeshnodeError as error:
                await _send_error(stream, error)
                return
            if request is None:
                return
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_cancel_when_gone, stream, nursery.cancel_scope)
                await self._reply(stream, request)
                nursery.cancel_scope.cancel()

    async def _reply(self, stream: trio.SocketStream, request: Message) -> None:
        action, arguments = request.get("do"), request.get("with", {})
        try:
            if not isinstance(action, str) or not isinstance(arguments, dict):
                raise UsageError("a request names what to do and with what")
            async with aclosing(self._answer(action, arguments)) as messages:
                async for message in messages:
                    await stream.send_all(encode_line(message))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the asker went away
        except MeshnodeError as error:
            await _send_error(stream, error)
        except Exception:
            _log.exception("control request failed", action=action)
            await _send_error(stream, StorageError("this peer failed", hint="look at its log"))


async def _send_error(stream: trio.SocketStream, error: MeshnodeError) -> None:
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        await stream.send_all(encode_line({"error": encode_error(error)}))


async def _cancel_when_gone(stream: trio.SocketStream, scope: trio.CancelScope) -> None:
    """End the work when the asker closes its side; what it sends after the request is ignored."""
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        while await stream.receive_some():
            pass
    scope.cancel()
