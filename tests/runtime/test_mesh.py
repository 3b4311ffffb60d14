"""Meshes of real libp2p hosts on loopback: connections, gossip, streams."""

from __future__ import annotations

import io
import random
import socket
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest
import trio
from libp2p.network.exceptions import SwarmException

from meshnode.core.effects import FetchObject
from meshnode.core.events import AnnouncementReceived, ObjectStored, PeerDisconnected, RequestFailed
from meshnode.core.identifiers import Digest, PeerId, sha256
from meshnode.core.verdicts import Topic, Verdict
from meshnode.demo.relay import Relay
from meshnode.errors import ConfigError, PeerError, UsageError
from meshnode.runtime.network.addresses import port_of
from meshnode.runtime.network.contacts import Contacts
from meshnode.runtime.network.mesh import Mesh, MeshSettings
from meshnode.runtime.network.requests import Requests
from meshnode.runtime.network.serving import Serving
from meshnode.runtime.network.streams import Stream
from tests.core.test_claims import stated
from tests.runtime.meshes import Peer, accept, echo
from tests.runtime.peers import Folder, Shelf, no_provider

pytestmark = pytest.mark.slow


def judge_by_word(raw: bytes) -> Verdict:
    for verdict in Verdict:
        if raw.startswith(verdict.value.encode()):
            return verdict
    return Verdict.ACCEPT


async def test_gossip_reaches_a_peer_behind_another(nursery: trio.Nursery) -> None:
    middle = Peer("middle")
    await middle.start(nursery)
    left, right = (Peer(name, middle.mesh.addresses()) for name in ("left", "right"))
    await left.start(nursery)
    await right.start(nursery)
    await left.until_connected(middle)
    await right.until_connected(middle)
    await right.hear(b"news", left)
    assert any(isinstance(e, AnnouncementReceived) and e.peer == middle.id for e in right.events)
    assert [c.peer for c in left.mesh.connections()] == [middle.id]


async def test_further_copies_of_a_message_are_counted_and_not_told(nursery: trio.Nursery) -> None:
    one = Peer("one")
    await one.start(nursery)
    two = Peer("two", one.mesh.addresses())
    await two.start(nursery)
    three = Peer("three", (*one.mesh.addresses(), *two.mesh.addresses()))
    await three.start(nursery)
    for speaker, hearer in ((one, two), (one, three), (two, three), (three, two)):
        await hearer.until_connected(speaker)
        await speaker.mesh.until_heard_by(hearer.id)
    await one.mesh.publish(b"news")
    for hearer in (two, three):
        await hearer.until_heard(b"news")
    await two.mesh.publish(b"after what two passed on")
    await three.mesh.publish(b"after what three passed on")
    await three.until(AnnouncementReceived(two.id, b"after what two passed on"))
    await two.until(AnnouncementReceived(three.id, b"after what three passed on"))
    assert [peer.heard().count(b"news") for peer in (one, two, three)] == [0, 1, 1]
    assert two.mesh.heard.messages == three.mesh.heard.messages == 2
    assert two.mesh.heard.duplicates + three.mesh.heard.duplicates >= 1


async def test_what_is_published_once_the_other_listens_is_heard_at_once(
    nursery: trio.Nursery,
) -> None:
    hearer = Peer("hearer")
    await hearer.start(nursery)
    speaker = Peer("speaker", hearer.mesh.addresses())
    await speaker.start(nursery)
    await speaker.until_connected(hearer)
    await speaker.mesh.until_heard_by(hearer.id)
    await speaker.mesh.publish(b"once")
    await hearer.until(AnnouncementReceived(speaker.id, b"once"))


async def test_only_accepted_gossip_is_forwarded_and_ignored_gossip_is_not_told(
    nursery: trio.Nursery,
) -> None:
    middle = Peer("middle", judge=judge_by_word)
    await middle.start(nursery)
    left, right = (Peer(name, middle.mesh.addresses()) for name in ("left", "right"))
    await left.start(nursery)
    await right.start(nursery)
    await right.hear(b"the way is open", left)
    for raw in (b"ignore 1", b"reject 2", b"accept 3"):
        await left.mesh.publish(raw)
    await right.until(AnnouncementReceived(middle.id, b"accept 3"))
    assert not [raw for raw in right.heard() if raw.startswith((b"ignore", b"reject"))]
    assert b"reject 2" in middle.heard()  # so that the node can blame the forwarder
    assert b"ignore 1" not in middle.heard()


async def test_statements_go_by_their_own_topic_alone_and_nothing_else_goes_by_it(
    nursery: trio.Nursery,
) -> None:
    middle = Peer("middle")
    await middle.start(nursery)
    left, right = (Peer(name, middle.mesh.addresses()) for name in ("left", "right"))
    await left.start(nursery)
    await right.start(nursery)
    await right.hear(b"the way is open", left)
    elsewhere, here = stated(seq=1), stated(seq=2)
    await left.mesh.publish(elsewhere, Topic.STATEMENTS)
    await left.mesh.publish(b"no statement", Topic.CLAIMS)
    await left.mesh.publish(here, Topic.CLAIMS)
    await right.until(AnnouncementReceived(middle.id, here))
    assert elsewhere not in right.heard() + middle.heard()
    assert b"no statement" not in right.heard() + middle.heard()


async def test_ignored_gossip_is_judged_anew_when_it_comes_again(nursery: trio.Nursery) -> None:
    verdicts = {b"later": [Verdict.IGNORE, Verdict.ACCEPT]}

    def judge(raw: bytes) -> Verdict:
        return verdicts[raw].pop(0) if raw in verdicts else Verdict.ACCEPT

    hearer = Peer("hearer", judge=judge)
    await hearer.start(nursery)
    first, second = (Peer(name, hearer.mesh.addresses()) for name in ("first", "second"))
    await first.start(nursery)
    await second.start(nursery)
    await hearer.hear(b"one", first)
    await hearer.hear(b"two", second)
    await first.mesh.publish(b"later")
    await second.mesh.publish(b"later")
    await hearer.until_heard(b"later")  # from either: the first offers it again to who missed it
    assert verdicts == {b"later": []}


async def test_a_peer_whose_gossip_is_rejected_again_and_again_is_not_listened_to(
    nursery: trio.Nursery,
) -> None:
    hearer = Peer("hearer", judge=judge_by_word)
    await hearer.start(nursery)
    spammer, honest = (Peer(name, hearer.mesh.addresses()) for name in ("spammer", "honest"))
    await spammer.start(nursery)
    await honest.start(nursery)
    await hearer.hear(b"the way is open", spammer)
    await hearer.hear(b"here too", honest)
    for number in range(12):
        await spammer.mesh.publish(b"reject %d" % number)
    await hearer.hear(b"still heard", honest)
    assert 5 <= len([raw for raw in hearer.heard() if raw.startswith(b"reject")]) < 12


async def test_a_judge_that_raises_costs_one_message(nursery: trio.Nursery) -> None:
    def judge(raw: bytes) -> Verdict:
        if raw == b"trap":
            raise ZeroDivisionError
        return Verdict.ACCEPT

    hearer = Peer("hearer", judge=judge)
    await hearer.start(nursery)
    speaker = Peer("speaker", hearer.mesh.addresses())
    await speaker.start(nursery)
    await hearer.hear(b"before", speaker)
    await speaker.mesh.publish(b"trap")
    await hearer.hear(b"after", speaker)
    assert b"trap" not in hearer.heard()


async def test_a_seed_that_comes_up_late_is_reached(nursery: trio.Nursery) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        listen = f"/ip4/127.0.0.1/tcp/{reserved.getsockname()[1]}"
    seed = Peer("seed", listen=listen)
    early = Peer("early", [f"{listen}/p2p/{seed.id}"])
    await early.start(nursery)
    with pytest.raises(PeerError):
        await early.mesh.dial(f"{listen}/p2p/{Peer('nobody').id}")
    await seed.start(nursery)
    await early.until_connected(seed)


async def test_a_peer_that_is_restarted_is_connected_and_heard_again(
    nursery: trio.Nursery,
) -> None:
    seed = Peer("seed")
    await seed.start(nursery)
    stays = Peer("stays", seed.mesh.addresses())
    await stays.start(nursery)
    await stays.hear(b"first life", seed)
    await seed.stop()
    await stays.until(PeerDisconnected(seed.id))
    again = Peer("seed", listen=seed.mesh.addresses()[0].split("/p2p/")[0])
    await again.start(nursery)
    await stays.until_connected(again, 2)
    await stays.hear(b"second life", again)


async def test_a_peer_that_is_restarted_at_once_is_still_forwarded(
    nursery: trio.Nursery,
) -> None:
    middle = Peer("middle")
    await middle.start(nursery)
    left, right = (Peer(name, middle.mesh.addresses()) for name in ("left", "right"))
    await right.start(nursery)
    await left.start(nursery)
    await right.hear(b"the way is open", left)
    for number in range(5):
        await left.mesh.publish(b"first life %d" % number)
    await right.until(AnnouncementReceived(middle.id, b"first life 4"))
    await left.stop()
    again = Peer("left", middle.mesh.addresses())
    await again.start(nursery)
    await again.until_connected(middle)
    await again.mesh.until_heard_by(middle.id)
    await again.mesh.publish(b"second life")
    await right.until(AnnouncementReceived(middle.id, b"second life"))


async def test_a_peer_that_falls_silent_is_disconnected(nursery: trio.Nursery) -> None:
    silent = Peer("silent")
    await silent.start(nursery)
    relay = Relay(("127.0.0.1", port_of(silent.mesh.addresses()[0])))
    await nursery.start(relay.run)
    other = Peer("other", [f"/ip4/127.0.0.1/tcp/{relay.port}/p2p/{silent.id}"])
    await other.start(nursery)
    await other.until_connected(silent)
    for way in (relay.forth, relay.back):
        way.latency_seconds = 3_600.0  # nobody hangs up, and nothing comes
    await other.until(PeerDisconnected(silent.id))
    await silent.until(PeerDisconnected(other.id))


async def test_a_host_that_dies_is_replaced_at_the_same_address(nursery: trio.Nursery) -> None:
    seed = Peer("seed")
    await seed.start(nursery)
    before = seed.mesh.addresses()
    stays = Peer("stays", before)
    await stays.start(nursery)
    await stays.until_connected(seed)

    async def die() -> None:
        raise ZeroDivisionError

    assert seed.mesh._live is not None
    seed.mesh._live.swarm.manager.run_task(die)
    await seed.until(PeerDisconnected(stays.id))
    await seed.until_connected(stays, 2)
    assert seed.mesh.addresses() == before
    await stays.hear(b"alive again", seed)


async def test_a_seed_tells_one_peer_where_it_can_reach_another(
    nursery: trio.Nursery, tmp_path: Path
) -> None:
    seed = Asking("seed", [], tmp_path)
    await seed.start(nursery)
    one, two = (Asking(name, seed.mesh.addresses(), tmp_path) for name in ("one", "two"))
    for peer in (one, two):
        await peer.start(nursery)
        await peer.until_connected(seed)
        await seed.until_connected(peer)
    assert one.contacts.told(seed.id, *await one.requests.ask_contacts(seed.id)) == []
    [record] = two.contacts.told(seed.id, *await two.requests.ask_contacts(seed.id))
    assert (record.peer, (record.address,)) == (one.id, one.mesh.addresses())
    await two.mesh.dial(record.address)
    await one.until_connected(two)
    assert {c.peer: c.outbound for c in two.mesh.connections()} == {seed.id: True, one.id: True}
    assert {c.peer: c.outbound for c in one.mesh.connections()} == {seed.id: True, two.id: False}


async def test_an_object_of_five_megabytes_goes_on_after_a_cut(
    nursery: trio.Nursery, tmp_path: Path
) -> None:
    data = random.Random(5).randbytes(5 << 20)
    holder = Asking("holder", [], tmp_path / "holder")
    await holder.start(nursery)
    relay = Relay(("127.0.0.1", int(holder.mesh.addresses()[0].split("/")[4])))
    await nursery.start(relay.run)
    fetcher = Asking(
        "fetcher", [f"/ip4/127.0.0.1/tcp/{relay.port}/p2p/{holder.id}"], tmp_path / "fetcher"
    )
    await fetcher.start(nursery)
    await fetcher.until_connected(holder)

    request = FetchObject(holder.id, sha256(data), len(data))
    holder.shelf.files[sha256(data)] = CuttingFile(data, 4 << 20, relay.cut)
    event = await fetcher.requests.perform(request)
    assert isinstance(event, RequestFailed)
    assert event.check is None
    assert 0 < fetcher.folder.partial(request.digest).stat().st_size < len(data)

    holder.shelf.files.clear()
    holder.shelf.objects[sha256(data)] = data
    relay.heal()
    await fetcher.until_connected(holder, 2)
    assert await fetcher.requests.perform(request) == ObjectStored(request.digest)
    assert fetcher.folder.read_object(request.digest) == data


async def test_a_peer_is_never_dialled_at_an_address_that_it_only_told_of(
    nursery: trio.Nursery,
) -> None:
    there = Peer("there")
    await there.start(nursery)
    relay = Relay(("127.0.0.1", int(there.mesh.addresses()[0].split("/")[4])))
    await nursery.start(relay.run)
    here = Peer("here", [f"/ip4/127.0.0.1/tcp/{relay.port}/p2p/{there.id}"])
    await here.start(nursery)
    await here.hear(b"its address with it", there)
    relay.cut()
    await here.until(PeerDisconnected(there.id))
    assert here.mesh._live is not None
    swarm = here.mesh._live.swarm
    peer = swarm.peerstore.peers_with_addrs()[0]
    assert str(peer) == there.id
    await swarm.auto_connector.maybe_connect()
    with pytest.raises(SwarmException, match="by address only"):
        await swarm.new_stream(peer)
    assert here.mesh.connections() == ()


async def test_a_stream_to_somebody_who_is_not_connected_is_refused(nursery: trio.Nursery) -> None:
    alone = Peer("alone")
    await alone.start(nursery)
    with pytest.raises(PeerError, match="not connected"):
        await alone.mesh.open_stream(Peer("other").id)


async def test_a_port_in_use_is_said_before_anything_starts(nursery: trio.Nursery) -> None:
    first = Peer("first")
    await first.start(nursery)
    taken = first.mesh.addresses()[0].split("/p2p/")[0]
    second = Peer("second", listen=taken)
    with pytest.raises(ConfigError, match="Address already in use"):
        await second.mesh.run()


def test_a_seed_that_is_no_address_is_refused() -> None:
    settings = MeshSettings(("/ip4/127.0.0.1/tcp/0",), seeds=("example.org:4001",))
    with pytest.raises(UsageError, match=r"example\.org:4001"):
        Mesh(settings, bytes(32), accept, Peer("x")._tell, echo)


class Asking(Peer):
    """A peer with requests, a library and an intake."""

    def __init__(self, name: str, seeds: list[str] | tuple[str, ...], path: Path) -> None:
        super().__init__(name, seeds)
        path.mkdir(exist_ok=True)
        self.shelf = FileShelf()
        self.folder = Folder(path)
        identity = name.encode().ljust(32)
        self.contacts = Contacts(identity, self.mesh.addresses, self.mesh.seen_at, random.Random(1))
        self.requests = Requests(self.mesh.open_stream, self.folder, self.contacts.own)
        self.serving = Serving(self.shelf, self.contacts.answer, no_provider)

    async def serve(self, peer: PeerId, stream: Stream) -> None:
        await self.serving.serve(peer, stream)


class CuttingFile(io.BytesIO):
    """A file of which the first bytes can be read; then somebody cuts the cable."""

    def __init__(self, data: bytes, cut_at: int, cut: Callable[[], None]) -> None:
        super().__init__(data)
        self._cut_at = cut_at
        self._cut = cut

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() >= self._cut_at:
            trio.from_thread.run_sync(self._cut)
        return super().read(size)


class FileShelf(Shelf):
    """A library that may hold open files too."""

    def __init__(self) -> None:
        super().__init__()
        self.files: dict[Digest, BinaryIO] = {}

    def open_object(self, digest: Digest) -> BinaryIO | None:
        return self.files.get(digest) or super().open_object(digest)
