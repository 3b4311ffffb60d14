"""Connections to web servers, none of which leads into the operator's own network.

Each address is checked in the moment of connecting to it, whatever led there: a URL, a redirect, a
name that resolves differently the second time (protocol/06-payloads.md, P-31).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import httpcore
import trio

from meshnode.core.addresses import is_forbidden
from meshnode.errors import PeerError

RESOLVE_SECONDS_MAX = 10.0


class ForbiddenAddressError(PeerError):
    """A name leads to an address inside this machine's own network."""


class VettedNetwork(httpcore.AsyncNetworkBackend):
    """Resolves names by itself and connects to addresses that are allowed."""

    def __init__(self, *, allow_local: bool) -> None:
        self._allow_local = allow_local
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
                    hint="set [static_mirrors] allow_local_addresses = true if this is meant",
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
