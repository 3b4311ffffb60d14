"""Places for those who call: by network, with room left for others. No sockets."""

from __future__ import annotations

import pytest

from meshnode.runtime.network.inbound import (
    HANDSHAKES_MAX,
    HANDSHAKES_PER_NETWORK_MAX,
    IDLE_SECONDS_MAX,
    KNOWN_MAX,
    TROUBLES_MAX,
    Handshake,
    Inbound,
    origin_of,
)

ATTACKER, HONEST = "203.0.113.7", "198.51.100.1"


class Callers:
    """Begins handshakes, and keeps which of them had to give up."""

    def __init__(self, inbound: Inbound) -> None:
        self.inbound = inbound
        self.given_up: list[int] = []
        self._count = 0

    def call(self, ip: str, now: float = 0.0) -> Handshake | None:
        number = self._count
        self._count += 1
        return self.inbound.begin(ip, now, lambda: self.given_up.append(number))

    def call_often(self, ip: str, times: int, now: float = 0.0) -> list[Handshake]:
        begun = [self.call(ip, now) for _ in range(times)]
        return [handshake for handshake in begun if handshake is not None]


@pytest.mark.parametrize(
    ("ip", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("no address", ""),
    ],
)
def test_an_ipv6_network_counts_as_one_caller(ip: str, network: str) -> None:
    assert origin_of(ip) == network


def test_a_network_has_so_many_unfinished_handshakes_and_others_have_theirs() -> None:
    callers = Callers(Inbound())
    begun = callers.call_often(ATTACKER, 1_000)
    assert len(begun) == HANDSHAKES_PER_NETWORK_MAX
    assert callers.call(HONEST) is not None
    assert callers.inbound.counts.handshakes_refused == 1_000 - HANDSHAKES_PER_NETWORK_MAX


def test_addresses_of_one_ipv6_network_share_its_places() -> None:
    callers = Callers(Inbound())
    begun = [callers.call(f"2001:db8::{number:x}") for number in range(1, 100)]
    assert sum(each is not None for each in begun) == HANDSHAKES_PER_NETWORK_MAX
    assert callers.call("2001:db8:0:1::1") is not None


def test_many_networks_together_leave_room_for_one_more() -> None:
    callers = Callers(Inbound())
    for number in range(64):
        callers.call_often(f"203.0.113.{number}", HANDSHAKES_PER_NETWORK_MAX)
    assert callers.inbound.describe()["handshakes"] == HANDSHAKES_MAX
    for number in range(8):
        assert callers.call(f"198.51.100.{number}") is not None
    assert callers.inbound.describe()["handshakes"] == HANDSHAKES_MAX


def test_a_silent_handshake_gives_way_to_a_newcomer_from_the_same_network() -> None:
    callers = Callers(Inbound())
    first, *others = callers.call_often(ATTACKER, HANDSHAKES_PER_NETWORK_MAX, now=0.0)
    assert callers.call(ATTACKER, now=IDLE_SECONDS_MAX / 2) is None
    for other in others:
        other.heard_at = IDLE_SECONDS_MAX
    assert callers.call(ATTACKER, now=IDLE_SECONDS_MAX) is not None
    assert callers.given_up == [0]
    callers.inbound.failed(first)  # its own end comes later, and counts no further time
    assert callers.inbound.counts.displaced == 1
    assert callers.inbound.counts.unfinished == 0


def test_a_handshake_that_goes_on_does_not_give_way() -> None:
    callers = Callers(Inbound())
    for handshake in callers.call_often(ATTACKER, HANDSHAKES_PER_NETWORK_MAX, now=0.0):
        handshake.heard_at = 10.0
    assert callers.call(ATTACKER, now=10.0 + IDLE_SECONDS_MAX / 2) is None
    assert callers.given_up == []


def test_strangers_take_no_place_of_a_network_that_was_reached_before() -> None:
    callers = Callers(Inbound())
    callers.inbound.know(HONEST)
    for number in range(HANDSHAKES_MAX):
        assert callers.call(f"203.0.{number}.1") is not None
    assert callers.call("203.0.200.1") is None  # nobody has more than one, and none is silent
    assert callers.call(HONEST) is not None


def test_connections_of_a_network_have_a_limit_of_their_own() -> None:
    callers = Callers(Inbound(connections_per_network_max=3))
    connected = []
    for _ in range(3):
        [handshake] = callers.call_often(ATTACKER, 1)
        callers.inbound.connected(handshake)
        connected.append(handshake)
    assert callers.call(ATTACKER) is None
    assert callers.call(HONEST) is not None
    callers.inbound.ended(connected[0])
    assert callers.call(ATTACKER) is not None
    assert callers.inbound.counts.connections_refused == 1


def test_what_is_remembered_of_callers_has_a_bound() -> None:
    callers = Callers(Inbound())
    for number in range(2 * max(KNOWN_MAX, TROUBLES_MAX)):
        ip = f"10.0.{number >> 8}.{number & 255}"
        callers.inbound.know(ip)
        handshake = callers.call(ip)
        assert handshake is not None
        callers.inbound.failed(handshake)
    assert len(callers.inbound._known) == KNOWN_MAX
    assert len(callers.inbound._troubles) == TROUBLES_MAX
    assert callers.inbound._handshakes == {}


def test_who_was_turned_away_most_often_is_named_first() -> None:
    callers = Callers(Inbound())
    callers.call_often(ATTACKER, 100)
    callers.call_often(HONEST, HANDSHAKES_PER_NETWORK_MAX + 1)
    assert callers.inbound.describe()["most_turned_away"] == [
        {"network": ATTACKER, "times": 100 - HANDSHAKES_PER_NETWORK_MAX},
        {"network": HONEST, "times": 1},
    ]
