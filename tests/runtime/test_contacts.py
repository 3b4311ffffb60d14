"""Signed contacts: nobody is sent to a door in the name of somebody who does not live there."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.keys import KeyPair
from libp2p.crypto.rsa import create_new_key_pair as create_rsa_key_pair
from libp2p.peer.envelope import seal_record
from libp2p.peer.id import ID
from libp2p.peer.peer_record import PeerRecord as Libp2pRecord
from multiaddr import Multiaddr

from meshnode.core.identifiers import PeerId
from meshnode.errors import PeerError
from meshnode.runtime.clock import unix_now
from meshnode.runtime.network.contacts import Contacts
from meshnode.runtime.network.peer_records import (
    AHEAD_SECONDS_MAX,
    LASTING_SECONDS,
    read_record,
    seal,
)
from meshnode.runtime.network.requests import OWN_RECORDS_MAX, TOLD_RECORDS_MAX

NOW = unix_now()
NANOSECONDS = 1_000_000_000


def keys_of(name: str) -> KeyPair:
    return create_new_key_pair(name.encode().ljust(32))


def id_of(name: str) -> PeerId:
    return PeerId(str(ID.from_pubkey(keys_of(name).public_key)))


def address(ip: str, port: int = 4001) -> str:
    return f"/ip4/{ip}/tcp/{port}"


def sealed(
    keys: KeyPair, *addresses: str, about: KeyPair | None = None, seq: int = NOW * NANOSECONDS
) -> bytes:
    """Return a record as the library makes it, about anybody, with anything in it."""
    peer = ID.from_pubkey((about or keys).public_key)
    record = Libp2pRecord(peer, [Multiaddr(text) for text in addresses], seq)
    return seal_record(record, keys.private_key).marshal_envelope()


@dataclass
class Town:
    """Who is connected to a peer of this name, and from where."""

    name: str = "middle"
    own: list[str] = field(default_factory=lambda: [address("9.9.9.9")])
    connected: dict[PeerId, str] = field(default_factory=dict)

    @property
    def contacts(self) -> Contacts:
        identity = self.name.encode().ljust(32)
        return Contacts(identity, lambda: self.own, self._seen_at, random.Random(1))

    def _seen_at(self, peer: PeerId) -> list[str]:
        return [self.connected[peer]] if peer in self.connected else []


def test_n_63_a_record_says_one_address_of_its_signer():
    raw = seal(keys_of("one"), f"{address('9.9.9.9')}/p2p/{id_of('one')}", NOW)
    record = read_record(raw, NOW)
    assert record.address == f"{address('9.9.9.9')}/p2p/{id_of('one')}"
    assert (record.peer, record.issued, record.ip) == (id_of("one"), NOW, "9.9.9.9")
    assert record.raw == raw


ONE = keys_of("one")
BROKEN = {
    "about-another": sealed(ONE, address("9.9.9.9"), about=keys_of("victim")),
    "two-addresses": sealed(ONE, address("9.9.9.9"), address("8.8.8.8")),
    "no-address": sealed(ONE),
    "not-tcp": sealed(ONE, "/ip4/9.9.9.9/udp/1"),
    "a-name": sealed(ONE, "/dns4/victim.example/tcp/80"),
    "too-old": sealed(ONE, address("9.9.9.9"), seq=(NOW - LASTING_SECONDS - 1) * NANOSECONDS),
    "from-the-future": sealed(
        ONE, address("9.9.9.9"), seq=(NOW + AHEAD_SECONDS_MAX + 1) * NANOSECONDS
    ),
    "another-kind-of-key": sealed(create_rsa_key_pair(2048), address("9.9.9.9")),
    "cut": sealed(ONE, address("9.9.9.9"))[:-1],
    "nothing": b"",
    "noise": bytes(range(256)),
}
FLIPPED = bytearray(sealed(ONE, address("9.9.9.9")))
FLIPPED[-1] ^= 1
BROKEN["flipped"] = bytes(FLIPPED)


@pytest.mark.parametrize("raw", BROKEN.values(), ids=list(BROKEN))
def test_n_63_what_a_peer_did_not_sign_of_itself_is_refused(raw: bytes):
    with pytest.raises(PeerError):
        read_record(raw, NOW)


def test_n_62_what_a_peer_says_of_itself_is_passed_on_to_others():
    town = Town(connected={id_of("one"): address("8.8.4.1", 50_000)})
    contacts = town.contacts
    raw = seal(ONE, address("8.8.4.1"), NOW)
    own, others = contacts.answer(id_of("one"), [raw])
    assert [read_record(each, NOW).address for each in own] == [
        f"{address('9.9.9.9')}/p2p/{id_of('middle')}"
    ]
    assert others == []
    assert contacts.answer(id_of("two"), []) == (own, [raw])


@pytest.mark.parametrize(
    "raw",
    [
        seal(ONE, address("192.0.2.1", 80), NOW),
        seal(keys_of("two"), address("8.8.4.1"), NOW),
        BROKEN["flipped"],
    ],
    ids=["third-party", "of-another", "forged"],
)
def test_n_62_a_claim_counts_only_from_its_owner_and_at_the_ip_it_came_from(raw: bytes):
    contacts = Town(connected={id_of("one"): address("8.8.4.1", 50_000)}).contacts
    contacts.answer(id_of("one"), [raw])
    assert contacts.answer(id_of("three"), [])[1] == []


def test_who_left_is_not_told_of_any_more():
    town = Town(connected={id_of("one"): address("8.8.4.1", 50_000)})
    contacts = town.contacts
    contacts.answer(id_of("one"), [seal(ONE, address("8.8.4.1"), NOW)])
    town.connected.clear()
    assert contacts.answer(id_of("two"), [])[1] == []


def test_n_62_what_a_teller_says_of_itself_is_passed_on_and_others_may_be_dialled():
    town = Town(connected={id_of("one"): address("8.8.4.1")})
    contacts = town.contacts
    mine, theirs = (
        seal(keys_of(n), address(ip), NOW) for n, ip in (("one", "8.8.4.1"), ("two", "7.7.7.7"))
    )
    [told] = contacts.told(id_of("one"), [mine], [theirs, BROKEN["flipped"]])
    assert told.peer == id_of("two")
    assert contacts.answer(id_of("three"), [])[1] == [mine]


@pytest.mark.parametrize(
    ("teller", "told", "is_taken"),
    [
        ("8.8.4.1", "7.7.7.7", True),
        ("8.8.4.1", "10.0.0.1", False),
        ("8.8.4.1", "127.0.0.1", False),
        ("10.0.0.2", "10.0.0.1", True),
        ("10.0.0.2", "127.0.0.1", False),
        ("127.0.0.1", "127.0.0.1", True),
    ],
)
def test_n_64_nobody_is_sent_further_into_a_private_network(teller: str, told: str, is_taken: bool):
    contacts = Town(connected={id_of("one"): address(teller)}).contacts
    records = [seal(keys_of("two"), address(told), NOW)]
    assert bool(contacts.told(id_of("one"), [], records)) is is_taken


def test_answers_are_bounded():
    town = Town(own=[address("9.9.9.9", port) for port in range(1, 20)])
    contacts = town.contacts
    for number in range(60):
        name, here = f"peer {number}", address(f"8.8.4.{number}")
        town.connected[id_of(name)] = here
        contacts.answer(id_of(name), [seal(keys_of(name), here, NOW)])
    own, others = contacts.answer(id_of("asker"), [])
    assert (len(own), len(others)) == (OWN_RECORDS_MAX, TOLD_RECORDS_MAX)


def test_own_records_are_sealed_once_in_a_while():
    contacts = Town().contacts
    assert contacts.own() == contacts.own()


def test_an_address_without_an_ip_is_not_vouched_for():
    assert Town(own=["/dns4/mesh.example.org/tcp/4001"]).contacts.own() == ()
