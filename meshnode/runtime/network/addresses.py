"""Multiaddrs as the operator writes them, as this machine has them, and as peers tell them."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass

from libp2p.peer.id import ID
from libp2p.utils.address_validation import get_available_interfaces
from multiaddr import Multiaddr

from meshnode.core.identifiers import PeerId
from meshnode.errors import ConfigError, UsageError


@dataclass(frozen=True, slots=True)
class PeerAddress:
    """Where a peer can be dialled: a TCP multiaddr that ends in /p2p/<peer id>."""

    text: str
    peer: PeerId

    @property
    def id(self) -> ID:
        return ID.from_string(self.peer)


def parse_peer_address(text: str) -> PeerAddress:
    """Read a multiaddr such as /ip4/192.0.2.1/tcp/4001/p2p/12D3Koo….

    Raises:
        UsageError: it is none, or names no peer, or not TCP.
    """
    try:
        address = Multiaddr(text)
        peer = address.value_for_protocol("p2p")
        address.value_for_protocol("tcp")
        return PeerAddress(text, PeerId(str(ID.from_string(str(peer)))))
    except Exception as error:  # the library has no common error of its own
        raise UsageError(
            f"{text!r} is not the address of a peer",
            hint="it looks like /ip4/192.0.2.1/tcp/4001/p2p/12D3Koo…",
        ) from error


def parse_listen_address(text: str) -> tuple[str, int]:
    """Return host and port of a listening multiaddr; raises ConfigError."""
    try:
        address = Multiaddr(text)
        return _ip(address), int(str(address.value_for_protocol("tcp")))
    except Exception as error:
        raise ConfigError(
            f"{text!r} is not an address to listen on", hint="it looks like /ip4/0.0.0.0/tcp/4001"
        ) from error


def require_free(texts: Iterable[str]) -> None:
    """Check that the ports are free: the library shares them silently with another process.

    Raises:
        ConfigError: one is in use, or may not be bound.
    """
    for text in texts:
        host, port = parse_listen_address(text)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
                probe.listen(1)
            except OSError as error:
                raise ConfigError(
                    f"cannot listen on {text}: {error.strerror}",
                    hint="stop what uses the port, or set another in [network] listen",
                ) from error


def own_addresses(listening: str) -> list[str]:
    """Return the addresses of this machine behind one that it listens on."""
    host, port = parse_listen_address(listening)
    if host not in ("0.0.0.0", "::"):  # noqa: S104 - only compared
        return [listening]
    family = "/ip6/" if ":" in host else "/ip4/"
    own = [str(address) for address in get_available_interfaces(port)]
    return [address for address in own if address.startswith(family)]


def ip_of(text: str) -> str:
    """Return the IP of a multiaddr, empty if it names a host or is none."""
    try:
        return _ip(Multiaddr(text))
    except Exception:  # whatever is wrong with it, it has no IP
        return ""


def port_of(text: str) -> int:
    """Return the TCP port of a multiaddr that has one."""
    return int(str(Multiaddr(text).value_for_protocol("tcp")))


def reaches_no_further_in(address: str, teller: str) -> bool:
    """Say whether a peer at `teller` may send us to `address` (both multiaddrs with an IP).

    Loopback and private addresses mean something else to everybody: they are taken only from a
    peer that lives there itself, so that nobody is sent to knock at doors behind a firewall.
    """
    ours, theirs = _scope(ip_of(address)), _scope(ip_of(teller))
    return ours is not None and theirs is not None and ours >= theirs


def _scope(ip: str) -> int | None:
    try:
        parsed = ipaddress.ip_address(ip)
    except ValueError:
        return None
    if parsed.is_multicast or parsed.is_unspecified:
        return None
    if parsed.is_loopback:
        return 0
    return 2 if parsed.is_global else 1


def _ip(address: Multiaddr) -> str:
    first = next(iter(address.protocols())).name
    if first not in ("ip4", "ip6"):
        raise ValueError(f"{address} begins with {first}")
    return str(address.value_for_protocol(first))
