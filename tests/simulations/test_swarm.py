"""Payloads in pieces: from mirrors and peers, whatever fails meanwhile."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from meshnode.core.effects import Started
from meshnode.core.identifiers import PeerId
from meshnode.core.node import Node
from simulations.invariants import Verdicts, check_downloads
from simulations.machine import Machine
from simulations.network import Network
from simulations.settings import LinkModel, Payloads
from simulations.swarm.payloads import Share, Swarm
from simulations.watching import Watchers
from simulations.world import World

PIECES = 8
MODEL = Payloads(count=1, size_bytes=PIECES << 20, piece_bytes=1 << 20, mirrors=0)


def quiet(peer: PeerId, other: PeerId) -> None:
    """Nobody needs to be told who is connected."""


@dataclass
class Crowd:
    """Peers that are all linked to each other; the first one seeds."""

    size: int
    model: Payloads = MODEL
    liars: tuple[str, ...] = ()
    ended: list[PeerId] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)  # that were connected to

    def __post_init__(self) -> None:
        self.world = World(1)
        self.network = Network(self.world, LinkModel(redial_seconds_max=0), quiet, quiet)
        self.swarm = Swarm(
            self.world,
            self.network,
            self.model,
            lambda peer: peer in self.liars,
            self._end,
            lambda machine, address: self.addresses.append(address),
        )
        self.machines = [self._machine(number) for number in range(self.size)]
        for a in self.machines:
            for b in self.machines:
                self.network.link(a.name, b.name)
        self.swarm.seed(self.machines[0], 0)
        self.world.run_until(1)

    def _machine(self, number: int) -> Machine:
        name = PeerId(f"p{number}")
        self.network.plug(name)
        nobody = Watchers.of(())
        return Machine(name, self.world, lambda: Node(random.Random(1)), self._start, nobody, 0.01)

    def _start(self, machine: Machine, effect: Started) -> None:
        """The node has no part in this."""

    def _end(self, share: Share) -> None:
        self.ended.append(share.machine.name)

    def download(self, *numbers: int) -> None:
        for number in numbers:
            self.swarm.download(self.machines[number], 0)


def test_pieces_spread_from_one_seed_through_all() -> None:
    crowd = Crowd(6)
    crowd.download(1, 2, 3, 4, 5)
    crowd.world.run_until(120)
    sent = [crowd.network.bytes_sent(machine.name) for machine in crowd.machines]

    assert sorted(crowd.ended) == ["p1", "p2", "p3", "p4", "p5"]
    assert sum(sent[1:]) > sent[0]  # not the seed alone
    assert crowd.swarm.peer_bytes >= 5 * MODEL.size_bytes


def test_a_source_that_sends_a_bad_piece_is_not_asked_again() -> None:
    crowd = Crowd(3, liars=("p0",))
    crowd.swarm.seed(crowd.machines[2], 0)
    crowd.download(1)
    crowd.world.run_until(120)
    share = crowd.swarm.shares[PeerId("p1"), 0]

    assert crowd.ended == ["p1"]
    assert list(share.banned) == ["p0"]
    assert 1 <= crowd.swarm.pieces_refused <= 2  # those that were already under way


def test_a_download_goes_on_after_a_crash_with_what_was_held() -> None:
    crowd = Crowd(2)
    crowd.download(1)
    crowd.world.run_until(3)
    held = len(crowd.swarm.shares[PeerId("p1"), 0].held)
    crowd.machines[1].crash()
    crowd.network.power_off(PeerId("p1"))
    crowd.world.run_until(30)
    during = len(crowd.swarm.shares[PeerId("p1"), 0].held)
    crowd.machines[1].restart()
    crowd.network.power_on(PeerId("p1"))
    crowd.world.run_until(60)

    assert 0 < held < PIECES
    assert during == held
    assert crowd.ended == ["p1"]


def test_mirrors_serve_when_they_are_back() -> None:
    crowd = Crowd(2, MODEL.model_copy(update={"mirrors": 1, "mirrors_only": True}))
    crowd.swarm.mirrors_up = False
    crowd.download(1)
    crowd.world.run_until(40)
    before = list(crowd.ended)
    crowd.swarm.mirrors_up = True
    crowd.world.run_until(120)

    assert before == []
    assert crowd.ended == ["p1"]
    assert crowd.swarm.mirror_failures > 0
    assert (crowd.swarm.mirror_bytes, crowd.swarm.peer_bytes) == (MODEL.size_bytes, 0)


def test_a_download_that_stands_still_breaks_a_promise_only_while_a_source_is_there() -> None:
    crowd = Crowd(3)
    crowd.network.power_off(PeerId("p0"))
    crowd.download(1)
    crowd.world.run_until(30)
    alone, verdicts = Verdicts(), Verdicts()
    check_downloads(crowd.swarm, alone)
    crowd.swarm.seed(crowd.machines[2], 0)
    check_downloads(crowd.swarm, verdicts)

    assert alone.checked["I20"] == 0
    assert verdicts.broken == {"I20": 1}


def test_mirrors_that_lead_inside_are_refused_by_their_names_or_when_connected() -> None:
    model = MODEL.model_copy(update={"mirrors": 1, "baits": 6, "mirrors_only": True})
    crowd = Crowd(2, model=model)
    crowd.download(1)
    crowd.world.run_until(300)

    assert crowd.ended == ["p1"]
    assert crowd.addresses == ["45.0.0.1"] * PIECES
    assert crowd.swarm.baits_refused == model.baits
