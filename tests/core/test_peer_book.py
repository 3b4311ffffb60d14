"""The peer book: bounded, spread over networks, and nobody who is gone is called for ever."""

from __future__ import annotations

import random

import pytest

from meshnode.core.events import Now
from meshnode.core.identifiers import PeerId
from meshnode.core.peer_book import (
    CONTACTS_MAX,
    FAILURES_MAX,
    KEPT_SECONDS,
    OF_NETWORK_MAX,
    RETRY_SECONDS_MAX,
    SHARE_MAX,
    PeerBook,
    network_of,
)

DAY = 86_400


def at(monotonic: float = 0.0, unix: int = 1_800_000_000) -> Now:
    return Now(monotonic=monotonic, unix=unix)


NOW = at()


def address(ip: str, port: int = 4001) -> str:
    return f"/ip4/{ip}/tcp/{port}/p2p/peer-{ip}-{port}"


def peer(ip: str, port: int = 4001) -> PeerId:
    return PeerId(f"peer-{ip}-{port}")


def book_of(*ips: str, seed: int = 1) -> PeerBook:
    book = PeerBook(random.Random(seed))
    for ip in ips:
        book.learn(peer(ip), address(ip))
    return book


def chosen(
    book: PeerBook, number: int = 4, now: Now = NOW, connected: dict[PeerId, str] | None = None
) -> list[str]:
    return [where for _, where in book.choose(connected or {}, number, now)]


@pytest.mark.parametrize(
    ("where", "network"),
    [
        ("/ip4/8.8.4.4/tcp/1", "8.8.4.0/24"),
        ("/ip6/2600:1:2:3::4/tcp/1", "2600:1:2::/48"),
        ("/ip4/127.0.0.1/tcp/1", "local"),
        ("/ip4/10.1.2.3/tcp/1", "local"),
        ("/ip6/fd00::1/tcp/1", "local"),
        ("/dns4/Seed.Example/tcp/1", "seed.example"),
        ("", ""),
    ],
)
def test_a_network_is_a_24_a_48_or_a_name(where: str, network: str):
    assert network_of(where) == network


def test_n_66_networks_without_a_connection_come_first():
    book = book_of("8.8.4.1", "8.8.4.2", "8.8.4.3", "9.9.9.1")
    assert address("9.9.9.1") in chosen(book, 1, NOW, {PeerId("other"): "/ip4/8.8.4.9/tcp/1"})


@pytest.mark.parametrize("seed", range(5))
def test_n_66_one_network_gets_its_share_and_no_more(seed: int):
    crowd = [f"8.8.4.{n}" for n in range(1, 40)]
    assert len(chosen(book_of(*crowd, seed=seed), 12)) == SHARE_MAX


def test_n_66_an_inbound_connection_takes_no_share():
    book = book_of("8.8.4.1")
    callers = {PeerId(f"caller-{n}"): "" for n in range(20)}
    assert chosen(book, 4, NOW, callers) == [address("8.8.4.1")]


def test_addresses_of_the_own_network_have_no_share():
    lan = [f"10.0.0.{n}" for n in range(1, 20)]
    assert len(chosen(book_of(*lan), 12)) == 12


def test_a_connected_peer_is_not_dialled_and_nobody_twice():
    book = book_of("8.8.4.1")
    book.learn(peer("8.8.4.1"), address("9.9.9.9"))
    assert len(chosen(book, 4)) == 1
    assert chosen(book, 4, NOW, {peer("8.8.4.1"): ""}) == []


def test_pinned_addresses_come_before_others():
    book = book_of("8.8.4.1", "9.9.9.9")
    book.learn(peer("7.7.7.7"), address("7.7.7.7"), is_pinned=True)
    assert chosen(book, 1) == [address("7.7.7.7")]
    book.unpin([])
    book.was_reached(peer("9.9.9.9"), address("9.9.9.9"), at().unix)
    assert chosen(book, 1) == [address("9.9.9.9")]


def test_pauses_grow_and_end():
    book = book_of("8.8.4.1")
    book.was_reached(peer("8.8.4.1"), address("8.8.4.1"), at().unix)
    for _ in range(40):
        book.has_failed(address("8.8.4.1"), at())
    assert chosen(book, 1, at(0.7 * RETRY_SECONDS_MAX)) == []
    assert chosen(book, 1, at(1.3 * RETRY_SECONDS_MAX)) == [address("8.8.4.1")]


def test_who_was_never_reached_is_forgotten_after_a_few_failures():
    book = book_of("8.8.4.1")
    book.learn(peer("7.7.7.7"), address("7.7.7.7"), is_pinned=True)
    for _ in range(FAILURES_MAX):
        book.has_failed(address("8.8.4.1"), at())
        book.has_failed(address("7.7.7.7"), at())
    assert chosen(book, 4, at(1e9)) == [address("7.7.7.7")]


def test_who_was_not_reached_for_a_month_is_forgotten():
    book = book_of()
    book.was_reached(peer("8.8.4.1"), address("8.8.4.1"), at().unix)
    assert list(book.kept()) == [(peer("8.8.4.1"), address("8.8.4.1"), at().unix)]
    chosen(book, 1, at(unix=at().unix + KEPT_SECONDS + 1))
    assert len(book) == 0


def test_a_clock_that_was_set_far_forward_and_back_keeps_nobody_for_ever():
    book = book_of()
    book.was_reached(peer("8.8.4.1"), address("8.8.4.1"), at().unix + 100 * 365 * DAY)
    assert chosen(book, 1) == []


def test_a_liar_fills_no_more_of_the_book_than_his_networks_allow():
    book = book_of("9.9.9.9")
    for port in range(1, 5000):
        book.learn(peer("8.8.4.1", port), address("8.8.4.1", port))
    assert len(book) == 1 + OF_NETWORK_MAX


def test_a_full_book_forgets_who_was_never_reached_first():
    book = book_of()
    book.was_reached(peer("8.8.4.1"), address("8.8.4.1"), at().unix)
    for high in range(1, 20):
        for low in range(256):
            book.learn(peer(f"9.{high}.{low}.1"), address(f"9.{high}.{low}.1"))
    assert len(book) == CONTACTS_MAX
    assert [where for _, where, _ in book.kept()] == [address("8.8.4.1")]
