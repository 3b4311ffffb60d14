"""Connections to web servers, none of which leads into the operator's own network.

Each address is checked in the moment of connecting to it, whatever led there: a URL, a redirect, a
name that resolves differently the second time (protocol/06-payloads.md, P-31).
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

import httpcore
import trio

from meshnode.core.addresses import is_forbidden
from meshnode.errors import PeerError

RESOLVE_SECONDS_MAX: Final = 10.0
CONNECTIONS_MAX: Final = 4  # to one mirror at a time
IDLE_SECONDS_MAX: Final = 20.0


class ForbiddenAddressError(PeerError):
    """A name leads to an address inside this machine's own network."""


def open_pool(url: str, *, allow_local: bool, hint: str) -> httpcore.AsyncConnectionPool:
    """Return what connects to a mirror, through the proxy that the environment names for it.

    `hint` says how the operator allows addresses of his own network. Behind a proxy (HTTPS_PROXY,
    HTTP_PROXY, NO_PROXY) it is the proxy that resolves names and connects: which addresses it
    reaches for whom is its operator's to say.
    """
    shared: dict[str, Any] = {
        "ssl_context": ssl.create_default_context(),
        "max_connections": CONNECTIONS_MAX,
        "keepalive_expiry": IDLE_SECONDS_MAX,
    }
    proxy = _proxy_of(url)
    if proxy is None:
        network = VettedNetwork(allow_local=allow_local, hint=hint)
        return httpcore.AsyncConnectionPool(network_backend=network, **shared)
    parts = urlsplit(proxy)
    address = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], "", "", ""))
    user = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    return httpcore.AsyncHTTPProxy(address, proxy_auth=user, **shared)


class VettedNetwork(httpcore.AsyncNetworkBackend):
    """Resolves names by itself and connects to addresses that are allowed."""

    def __init__(self, *, allow_local: bool, hint: str) -> None:
        self._allow_local = allow_local
        self._hint = hint
        self._network = httpcore.TrioBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the signature of httpcore
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        refused: Exception = httpcore.ConnectError(f"{host} is not found")
        for address in await _resolved(host, port):
            if not self._allow_local and is_forbidden(address):
                raise ForbiddenAddressError(
                    f"{host} is at {address}, inside this machine's own network",
                    hint=self._hint,
                )
            try:
                return await self._network.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except httpcore.ConnectError as error:
                refused = error
        raise refused

    async def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:  # noqa: ANN401
        raise httpcore.UnsupportedProtocol("no mirror is at a Unix socket")

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)


async def _resolved(host: str, port: int) -> list[str]:
    with trio.move_on_after(RESOLVE_SECONDS_MAX):
        try:
            found = await trio.socket.getaddrinfo(host, port, type=trio.socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"{host} is not found") from error
        return [str(entry[4][0]) for entry in found]
    raise httpcore.ConnectTimeout(f"{host} is not found within {RESOLVE_SECONDS_MAX:g} s")


def _proxy_of(url: str) -> str | None:
    """Return the HTTP proxy that the environment names for this URL."""
    parts = urlsplit(url)
    if proxy_bypass(parts.netloc):
        return None
    proxy = getproxies().get(parts.scheme)
    return proxy if proxy and proxy.startswith(("http://", "https://")) else None
