"""Blocked peers: not called, hung up on, and nothing of theirs is heard."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from meshnode.core.events import PeerConnected, PeerDisconnected
from meshnode.core.identifiers import PeerId
from meshnode.errors import PeerError, StorageError, UsageError
from meshnode.runtime import blocklist
from meshnode.runtime.blocklist import Blocklist, parse_peer_id
from tests.runtime.meshes import HEARD_WITHIN_SECONDS, Peer

ONE = PeerId("12D3KooWQQNiGWbiiDLYSpeMHqVXhNFpAwxrYhYAYYkvTYMSCGpz")
TWO = PeerId("12D3KooWDagxM4wMPfuixTspsTkDyW2CkSQR5EijQGYUxV4iSH2t")


def test_a_list_is_there_after_a_restart(tmp_path: Path):
    Blocklist(tmp_path / "blocked.json").change([ONE, TWO])
    again = Blocklist(tmp_path / "blocked.json")
    assert again.peers == (ONE, TWO)
    again.change(remove=[ONE])
    assert ONE not in again
    assert Blocklist(tmp_path / "blocked.json").peers == (TWO,)


def test_who_is_not_blocked_cannot_be_unblocked(tmp_path: Path):
    listed = Blocklist(tmp_path / "blocked.json")
    with pytest.raises(UsageError, match="is not blocked"):
        listed.change([ONE], [TWO])
    assert listed.peers == ()


def test_the_list_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(blocklist, "BLOCKED_MAX", 1)
    listed = Blocklist(tmp_path / "blocked.json")
    with pytest.raises(UsageError, match="more than 1 peers"):
        listed.change([ONE, TWO])
    assert listed.peers == ()


@pytest.mark.parametrize("text", ["{", "7", '["x"]', "null"])
def test_a_damaged_list_is_named(tmp_path: Path, text: str):
    (tmp_path / "blocked.json").write_text(text)
    with pytest.raises(StorageError, match=r"blocked\.json is damaged"):
        Blocklist(tmp_path / "blocked.json")


@pytest.mark.parametrize("text", ["", "12D3Koo/x", "Qm123", ONE * 2])
def test_what_is_no_peer_id_is_refused(text: str):
    with pytest.raises(UsageError, match="is not a peer id"):
        parse_peer_id(text)


@pytest.mark.slow
async def test_a_blocked_peer_is_neither_called_nor_let_in(nursery: trio.Nursery):
    blocked: dict[PeerId, None] = {}
    peer = Peer("peer", blocked=blocked)
    await peer.start(nursery)
    nuisance, friend = (Peer(name, peer.mesh.addresses()) for name in ("nuisance", "friend"))
    await nuisance.start(nursery)
    await peer.until_connected(nuisance)
    blocked[nuisance.id] = None
    await peer.mesh.hang_up(nuisance.id)
    await peer.until(PeerDisconnected(nuisance.id))
    with pytest.raises(PeerError, match="is blocked"):
        await peer.mesh.dial(nuisance.mesh.addresses()[0])
    with pytest.raises(PeerError, match="cannot be reached"):
        await nuisance.mesh.dial(peer.mesh.addresses()[0])
    await friend.start(nursery)
    await peer.until_connected(friend)
    assert [c.peer for c in peer.mesh.connections()] == [friend.id]
    assert peer.events.count(PeerConnected(nuisance.id)) == 1
    del blocked[nuisance.id]
    with trio.fail_after(HEARD_WITHIN_SECONDS):
        await peer.until(PeerConnected(nuisance.id), 2)
