"""Which addresses a signed entry or another peer may send us to (protocol/07-threats.md, H-16).

Owns the list of networks. How a name is resolved, and what connects, is the runtime's.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Final

# IANA special-purpose registries (RFC 6890 and its updates), with multicast, the metadata service
# of one cloud at a public address, and every IPv6 form that carries an IPv4 address.
FORBIDDEN: Final = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/96",
        "::ffff:0:0/96",
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "100::/64",
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",
        "fc00::/7",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
    )
)


def is_forbidden(address: str) -> bool:
    """Say whether an IP address leads into this machine or its own network; no IP: it does."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return True
    return any(parsed in network for network in FORBIDDEN)
