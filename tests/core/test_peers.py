from __future__ import annotations

from meshnode.core.identifiers import PeerId
from meshnode.core.peers import FAULTS_MAX, REMEMBERED_MAX, Peers
from meshnode.core.verdicts import Check

A, B = PeerId("a"), PeerId("b")


def test_connected_peers_are_asked_in_the_order_in_which_they_came() -> None:
    peers = Peers()
    for peer in (B, A):
        peers.joined(peer)
    assert peers.asked() == (B, A)
    peers.left(B)
    peers.left(B)
    assert peers.asked() == (A,)


def test_a_peer_that_was_often_wrong_is_not_asked_even_when_it_comes_again() -> None:
    peers = Peers()
    peers.joined(A)
    for _ in range(FAULTS_MAX):
        assert peers.asked() == (A,)
        peers.blame(A, Check.TREE, "")
    assert peers.asked() == ()
    peers.left(A)
    peers.joined(A)
    assert peers.asked() == ()


def test_faults_are_remembered_of_a_bounded_number_of_peers_the_oldest_forgotten_first() -> None:
    peers = Peers()
    peers.blame(A, Check.TREE, "")
    peers.blame(B, Check.TREE, "")
    peers.blame(A, Check.TREE, "")
    for number in range(REMEMBERED_MAX - 1):
        peers.blame(PeerId(str(number)), Check.TREE, "")
    assert len(peers.faults) == REMEMBERED_MAX
    assert peers.faults[A] == 2
    assert B not in peers.faults
