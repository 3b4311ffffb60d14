"""Multiaddrs as people write them and peers tell them."""

from __future__ import annotations

import pytest

from meshnode.errors import ConfigError, UsageError
from meshnode.runtime.network.addresses import (
    ip_of,
    own_addresses,
    parse_listen_address,
    parse_peer_address,
    reaches_no_further_in,
)

PEER = "12D3KooWMbbPVGsZYh3ChQjue712NHHGNybRRXwnuSpezYjGbCDS"
LOOPBACK, PRIVATE, GLOBAL = (f"/ip4/{ip}/tcp/1" for ip in ("127.0.0.1", "10.1.2.3", "8.8.8.8"))


def test_a_peer_address_names_place_and_peer() -> None:
    address = parse_peer_address(f"/dns4/seed.example.org/tcp/4001/p2p/{PEER}")
    assert address.peer == PEER
    assert str(address.id) == PEER


@pytest.mark.parametrize(
    "text",
    ["", "seed.example.org:4001", "/ip4/192.0.2.1/tcp/4001", f"/ip4/192.0.2.1/p2p/{PEER}"],
)
def test_what_is_no_peer_address_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError) as refusal:
        parse_peer_address(text)
    assert "/p2p/" in refusal.value.hint


def test_a_listen_address_has_an_ip_and_a_tcp_port() -> None:
    assert parse_listen_address("/ip6/::1/tcp/0") == ("::1", 0)
    for text in ("/dns4/localhost/tcp/4001", "/ip4/127.0.0.1/udp/4001", "4001"):
        with pytest.raises(ConfigError):
            parse_listen_address(text)


def test_a_wildcard_stands_for_every_interface_and_nothing_else_is_changed() -> None:
    assert "/ip4/127.0.0.1/tcp/4001" in own_addresses("/ip4/0.0.0.0/tcp/4001")
    assert not [own for own in own_addresses("/ip4/0.0.0.0/tcp/4001") if "0.0.0.0" in own]
    assert own_addresses("/ip4/192.0.2.1/tcp/4001") == ["/ip4/192.0.2.1/tcp/4001"]


def test_only_addresses_with_an_ip_have_one() -> None:
    assert ip_of("/ip4/192.0.2.1/tcp/4001") == "192.0.2.1"
    assert ip_of("/dns4/example.org/tcp/4001") == ""
    assert ip_of("nonsense") == ""


@pytest.mark.parametrize(
    ("address", "teller", "believed"),
    [
        (GLOBAL, GLOBAL, True),
        (GLOBAL, LOOPBACK, True),
        (PRIVATE, PRIVATE, True),
        (PRIVATE, LOOPBACK, True),
        (LOOPBACK, LOOPBACK, True),
        (PRIVATE, GLOBAL, False),
        (LOOPBACK, PRIVATE, False),
        ("/ip6/::1/tcp/1", GLOBAL, False),
        ("/ip4/169.254.169.254/tcp/80", GLOBAL, False),
        ("/ip6/::ffff:127.0.0.1/tcp/1", GLOBAL, False),
        ("/ip4/0.0.0.0/tcp/1", LOOPBACK, False),
        ("/dns4/localhost/tcp/1", GLOBAL, False),
    ],
)
def test_nobody_is_sent_to_doors_behind_a_firewall(
    address: str, teller: str, *, believed: bool
) -> None:
    assert reaches_no_further_in(address, teller) is believed
