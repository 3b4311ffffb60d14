"""Multiaddrs of seed lists: binary in the record, text for people and for the mesh.

The libraries are imported where they are needed: that takes longer than a short command.
"""

from __future__ import annotations

from typing import Final

from meshnode.core.addresses import is_forbidden
from meshnode.core.limits import SEED_ADDRESS_BYTES_MAX
from meshnode.core.seeds import Seeds
from meshnode.errors import UsageError

_HOSTS: Final = ("ip4", "ip6", "dns", "dns4", "dns6")


def binary_address(text: str) -> bytes:
    """Return the binary multiaddr of /…/tcp/…/p2p/<peer id>.

    Raises:
        UsageError: it is none.
    """
    from multiaddr import Multiaddr

    try:
        address = Multiaddr(text)
        raw: bytes = address.to_bytes()
        names = [protocol.name for protocol in address.protocols()]
    except Exception as error:  # the library has no common error of its own
        raise _no_address(text) from error
    if names[1:] != ["tcp", "p2p"] or names[0] not in _HOSTS or len(raw) > SEED_ADDRESS_BYTES_MAX:
        raise _no_address(text)
    return raw


def address_texts(seeds: Seeds) -> tuple[str, ...]:
    """Return the first contacts that this version can dial; others are passed over."""
    texts = (_text(raw) for raw in seeds.peers)
    return tuple(text for text in texts if text is not None)


def is_private(text: str) -> bool:
    """Say whether an address names an IP inside somebody's own network; a host name does not."""
    _, protocol, host, *_ = text.split("/")
    return protocol in ("ip4", "ip6") and is_forbidden(host)


def _text(raw: bytes) -> str | None:
    from multiaddr import Multiaddr

    try:
        text = str(Multiaddr(raw))
        binary_address(text)
    except Exception:  # what a later version, or a liar, wrote there is nothing to dial
        return None
    return text


def _no_address(text: str) -> UsageError:
    return UsageError(
        f"{text!r} is not the address of a peer",
        hint="it looks like /dns4/mesh.example.org/tcp/4001/p2p/12D3Koo…",
    )
