"""Whether a mirror's URL may be fetched from, and what the engine must not connect to.

One list of networks (`meshnode.core.addresses`) serves both the check of the URL and the engine's
filter, which also sees redirects and names that resolve differently the second time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Final
from urllib.parse import urlsplit

import trio

from meshnode.core import addresses
from meshnode.errors import PeerError

URL_BYTES_MAX: Final = 1024  # protocol/04-log-and-trust.md, limits
_RESOLVE_SECONDS_MAX: Final = 10
_PORTS: Final = {"http": 80, "https": 443}

Endpoint = tuple[str, int]  # IP address as text, TCP port


@dataclass(frozen=True, slots=True)
class Mirror:
    """A URL that may be fetched from, and where its host was found."""

    url: str
    endpoints: tuple[Endpoint, ...]


def forbidden_ranges() -> Iterator[tuple[str, str]]:
    """Yield first and last address of each forbidden network."""
    for network in addresses.FORBIDDEN:
        yield _text(network, 0), _text(network, -1)


async def vet_mirror(url: str, *, allow_local: bool) -> Mirror:
    """Check a mirror's URL and resolve its host; one forbidden address refuses it.

    Raises:
        PeerError: not a plain http or https URL, a host that is not found, or a forbidden one.
    """
    host, port = _host_and_port(url)
    endpoints = await _resolve(url, host, port)
    for address, _ in endpoints:
        if not allow_local and addresses.is_forbidden(address):
            raise PeerError(
                f"mirror {url} is at {address}, inside this machine's own network",
                hint="set [payload] allow_local_addresses = true if this is meant",
            )
    return Mirror(url, endpoints)


def _host_and_port(url: str) -> Endpoint:
    refused = PeerError(f"mirror {url[:200]!r} is not a plain http or https URL")
    if len(url.encode()) > URL_BYTES_MAX or not url.isascii() or not url.isprintable():
        raise refused
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or _PORTS[parts.scheme]
    except (ValueError, KeyError) as error:
        raise refused from error
    if not host or "@" in parts.netloc or parts.fragment or " " in url or "\\" in url:
        raise refused
    return host, port


async def _resolve(url: str, host: str, port: int) -> tuple[Endpoint, ...]:
    found = []
    with trio.move_on_after(_RESOLVE_SECONDS_MAX):
        try:
            found = await trio.socket.getaddrinfo(host, port, type=trio.socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise PeerError(f"mirror {url}: {host} is not found ({error})") from error
    if not found:
        raise PeerError(f"mirror {url}: {host} is not found within {_RESOLVE_SECONDS_MAX} s")
    return tuple((str(entry[4][0]), port) for entry in found)


def _text(network: IPv4Network | IPv6Network, index: int) -> str:
    return str(network[index])
