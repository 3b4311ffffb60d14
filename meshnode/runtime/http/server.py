"""The one HTTP server of a peer: applications by the beginning of their path, a guard before them.

It listens on this machine alone unless the operator says otherwise. A server that cannot listen
says so in the log and in `status`: the peer works without it.
"""

from __future__ import annotations

import socket as sockets
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import structlog
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState

from meshnode.runtime.http.asgi import App, Message, Receive, Scope, Send, answer, refuse
from meshnode.runtime.http.guard import Guard

CONNECTIONS_MAX: Final = 256  # a browser opens six; more wait for their turn
KEEP_ALIVE_SECONDS: Final = 30
UNREAD_SECONDS_MAX: Final = 60  # a client that takes no byte for so long is hung up on
_LISTEN_QUEUE: Final = 128

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Mount:
    app: App
    guard: Guard


class HttpServer:
    """Serves what is mounted until cancelled, at `listen`, address:port; None: it does not.

    `url` ends without a slash; it is None while nothing is served, `failure` says why.
    `refusals` says of prefixes why nothing is served there.
    """

    def __init__(self, listen: str | None, guard: Guard) -> None:
        self._listen_at = listen
        self._guard = guard
        self._mounts: dict[str, _Mount] = {}
        self._streams: set[trio.SocketStream] = set()
        self._limit = trio.CapacityLimiter(CONNECTIONS_MAX)
        self._config = Config()
        self._config.errorlog = None  # what goes wrong is logged here
        self._config.keep_alive_timeout = KEEP_ALIVE_SECONDS
        self._config.include_server_header = False
        self.url: str | None = None
        self.failure = ""
        self.refusals: dict[str, str] = {}

    def mount(self, prefix: str, app: App, guard: Guard | None = None) -> None:
        """Give requests whose path begins with `prefix` to an ASGI application.

        A prefix without a slash at its end is a whole step of the path. `guard` says who may ask
        this application, where others may than may ask the server.
        """
        self._mounts[prefix] = _Mount(app, guard or self._guard)

    def close(self, prefix: str, reason: str, guard: Guard | None = None) -> None:
        """Answer requests whose path begins with `prefix` with why nothing is served there."""

        async def refused(_scope: Scope, _receive: Receive, send: Send) -> None:
            await refuse(send, 403, reason)

        self.mount(prefix, refused, guard)
        self.refusals[prefix] = reason

    def url_of(self, prefix: str) -> str | None:
        """Return the address of what is mounted there; None while nothing is."""
        return f"{self.url}{prefix}" if self.url and prefix in self._mounts else None

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; it listens, or cannot, when the task has started."""
        listener = self._listen(self._listen_at) if self._listen_at else None
        task_status.started()
        if listener is None:
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._hang_up_at_the_end)
            await trio.serve_listeners(self._serve, [listener])

    def _listen(self, address: str) -> trio.SocketListener | None:
        host, _, port = address.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        raw = sockets.socket(sockets.AF_INET6 if ":" in host else sockets.AF_INET)
        try:
            raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_REUSEADDR, 1)
            raw.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_NODELAY, 1)
            unread = UNREAD_SECONDS_MAX * 1000
            raw.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_USER_TIMEOUT, unread)
            raw.bind((host, int(port)))
            raw.listen(_LISTEN_QUEUE)
            raw.setblocking(False)
        except OSError as error:
            raw.close()
            self.failure = f"cannot listen on {address}: {error.strerror}"
            hint = "set another address in [http] listen; payloads cannot be read in place"
            _log.error("no HTTP server", reason=self.failure, hint=hint)
            return None
        self.url = _url(raw)
        return trio.SocketListener(trio.socket.from_stdlib_socket(raw))

    async def _serve(self, stream: trio.SocketStream) -> None:
        async with self._limit:
            self._streams.add(stream)
            try:
                app: Any = self._answer  # our types of messages are wider than hypercorn's
                context, state = WorkerContext(None), ConnectionState({})
                server: Any = TCPServer
                await server(ASGIWrapper(app), self._config, context, state, stream)
            except Exception:
                _log.exception("an HTTP connection failed")
            finally:
                self._streams.discard(stream)
                await trio.aclose_forcefully(stream)

    async def _hang_up_at_the_end(self) -> None:
        """End the connections when the server ends: hypercorn does not leave a blocked send."""
        try:
            await trio.sleep_forever()
        finally:
            for stream in self._streams:
                with suppress(OSError):
                    stream.socket.shutdown(sockets.SHUT_RDWR)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        mount = self._mount_of(scope["path"])
        guard = mount.guard if mount else self._guard
        permission = guard.permission(scope)

        async def send_permitted(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *permission]}
            await send(message)

        try:
            if (objection := guard.objection(scope)) is not None:
                await refuse(send_permitted, 403, objection)
            elif scope["method"] == "OPTIONS" and permission:
                await answer(send_permitted, 200)
            elif mount is None:
                await refuse(send_permitted, 404, "nothing is served here")
            else:
                await mount.app(scope, receive, send_permitted)
        except trio.BrokenResourceError:
            pass  # the client went away
        except Exception:
            _log.exception("an HTTP request failed", path=scope["path"])
            raise

    def _mount_of(self, path: str) -> _Mount | None:
        """Return what serves a path: of several the one whose prefix is the longest."""
        found = (
            prefix
            for prefix in self._mounts
            if path == prefix or path.startswith(prefix if prefix.endswith("/") else f"{prefix}/")
        )
        longest = max(found, key=len, default=None)
        return None if longest is None else self._mounts[longest]


def _url(listening: sockets.socket) -> str:
    """Return the address to call: of all addresses of the machine, the one that stays on it."""
    host, port = listening.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
