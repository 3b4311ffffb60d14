"""Links, loss, cuts and gossip of the simulated network."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pytest

from meshnode.core.identifiers import PeerId
from meshnode.core.verdicts import Verdict
from simulations.cuts import Apart, OneWay, Ring
from simulations.network import Network, Notice
from simulations.settings import LinkModel
from simulations.swarm.gossip import DEGREE_MAX, DEGREE_MIN, Gossip
from simulations.world import World

A, B, C = PeerId("a"), PeerId("b"), PeerId("c")
EXACT = LinkModel(
    latency_seconds_median=0.1,
    latency_sigma=0,
    jitter=0,
    uplink_bytes_per_second=1000,
    detect_seconds=10,
    redial_seconds_max=2,
)


@dataclass
class Lab:
    """A few plugged peers, and what each of them was told, with the second."""

    model: LinkModel = EXACT
    names: tuple[PeerId, ...] = (A, B, C)
    told: list[tuple[PeerId, str, PeerId]] = field(default_factory=list)
    arrived: list[tuple[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.world = World(1)
        self.network = Network(self.world, self.model, self._tell("up"), self._tell("down"))
        for name in self.names:
            self.network.plug(name)

    def _tell(self, word: str) -> Notice:
        return lambda name, other: self.told.append((name, word, other))

    def note(self, word: str):
        return lambda: self.arrived.append((word, round(self.world.now, 6)))

    def linked(self) -> Lab:
        self.network.link(A, B)
        self.world.run_until(5)
        return self


def test_linked_peers_connect_once_and_both_are_told() -> None:
    lab = Lab().linked()
    lab.network.link(B, A)
    lab.world.run_until(20)

    assert sorted(lab.told) == [(A, "up", B), (B, "up", A)]


def test_a_message_arrives_after_the_latency_of_its_link() -> None:
    lab = Lab().linked()
    lab.network.send(A, B, 10, lab.note("arrived"), lab.note("lost"))
    lab.world.run_until(6)

    assert lab.arrived == [("arrived", 5.1)]


def test_bulk_answers_queue_for_the_uplink() -> None:
    lab = Lab().linked()
    for word in ("one", "two"):
        lab.network.send_bulk(A, B, 500, lab.note(word), lab.note("lost"))
    lab.world.run_until(10)

    assert lab.arrived == [("one", 5.6), ("two", 6.1)]


def test_a_lost_segment_makes_its_message_late_and_takes_nothing_away() -> None:
    lab = Lab(EXACT.model_copy(update={"loss": 0.1})).linked()
    for _ in range(4000):
        lab.network.send(A, B, 1, lab.note("arrived"), lab.note("lost"))
    lab.world.run_until(60)
    late = Counter(lab.arrived)

    assert sum(late.values()) == 4000
    assert {word for word, _ in late} == {"arrived"}
    # After the latency; after one timeout of a second; after one of two more.
    assert 3500 < late["arrived", 5.1] < 3700
    assert 270 < late["arrived", 6.1] < 380
    assert 10 < late["arrived", 8.1] < 60


def test_a_stream_that_stands_still_for_longer_than_anybody_waits_is_given_up() -> None:
    lab = Lab(EXACT.model_copy(update={"loss": 0.9})).linked()
    for _ in range(100):
        lab.network.send(A, B, 1, lab.note("arrived"), lab.note("lost"))
    lab.world.run_until(60)
    words = [word for word, _ in lab.arrived]

    assert words.count("lost") == lab.network.fate.cut > 40
    assert len(words) == 100


def test_a_message_under_way_does_not_cross_a_new_cut() -> None:
    lab = Lab().linked()
    lab.network.send(A, B, 10, lab.note("arrived"), lab.note("lost"))
    lab.network.split(Apart({A: 0, B: 1}))
    lab.world.run_until(6)

    assert lab.arrived == [("lost", 5.1)]
    assert lab.network.fate.cut == 1


def test_both_ends_notice_a_cut_after_a_while_and_redial_after_the_heal() -> None:
    lab = Lab().linked()
    lab.network.split(Apart({A: 0, B: 1}))
    lab.world.run_until(14)
    before = list(lab.told[2:])
    lab.world.run_until(16)
    noticed = lab.told[2:]
    lab.network.heal()
    lab.world.run_until(20)

    assert before == []
    assert sorted(noticed) == [(A, "down", B), (B, "down", A)]
    assert sorted(lab.told[4:]) == [(A, "up", B), (B, "up", A)]


def test_a_short_cut_breaks_no_connection() -> None:
    lab = Lab().linked()
    lab.network.split(Apart({A: 0, B: 1}))
    lab.world.run_until(9)
    lab.network.heal()
    lab.world.run_until(60)

    assert len(lab.told) == 2


def test_a_peer_that_loses_power_is_missed_at_once_and_told_nothing() -> None:
    lab = Lab().linked()
    lab.network.power_off(A)
    lab.network.power_on(A)
    lab.world.run_until(10)

    assert lab.told[2] == (B, "down", A)
    assert sorted(lab.told[3:]) == [(A, "up", B), (B, "up", A)]


def test_a_one_way_cut_loses_one_direction_and_breaks_no_connection() -> None:
    lab = Lab().linked()
    lab.network.split(OneWay({A: 0, B: 1}))
    lab.network.send(A, B, 10, lab.note("heard"), lab.note("lost"))
    lab.network.send(B, A, 10, lab.note("heard back"), lab.note("lost back"))
    lab.world.run_until(60)

    assert sorted(word for word, _ in lab.arrived) == ["heard", "lost back"]
    assert len(lab.told) == 2


def test_in_a_ring_of_sides_each_sees_only_the_two_beside_it() -> None:
    names = [PeerId(letter) for letter in "abcde"]
    ring = Ring({name: place for place, name in enumerate(names)}, 5)
    seen = {a: "".join(b for b in names if not ring.blocks(a, b)) for a in names}

    assert seen == {"a": "abe", "b": "abc", "c": "bcd", "d": "cde", "e": "ade"}


def test_a_peer_without_a_side_is_a_bridge() -> None:
    cut = Apart({A: 0, B: 1})

    assert cut.blocks(A, B)
    assert not cut.blocks(A, C)
    assert not cut.blocks(C, B)


def test_two_peers_that_nobody_can_dial_never_meet() -> None:
    lab = Lab()
    lab.network.hide(A)
    lab.network.hide(B)
    lab.network.link(A, B)
    lab.network.link(A, C)
    lab.world.run_until(60)

    assert sorted(lab.told) == [(A, "up", C), (C, "up", A)]


def test_a_frozen_peer_neither_hears_nor_loses_its_connections() -> None:
    lab = Lab().linked()
    lab.network.freeze(B, frozen=True)
    lab.network.send(A, B, 10, lab.note("heard"), lab.note("lost"))
    lab.world.run_until(60)
    lab.network.freeze(B, frozen=False)
    lab.network.send(A, B, 10, lab.note("heard"), lab.note("lost"))
    lab.world.run_until(90)

    assert [word for word, _ in lab.arrived] == ["lost", "heard"]
    assert len(lab.told) == 2


def test_an_asymmetric_link_is_slower_one_way() -> None:
    lab = Lab(model=EXACT.model_copy(update={"asymmetry": 2.0})).linked()
    ((_, _, there),) = lab.network.links()
    lab.network.send(A, B, 10, lab.note("there"), lab.note("lost"))
    lab.network.send(B, A, 10, lab.note("back"), lab.note("lost"))
    lab.world.run_until(60)
    took = {word: second - 5 for word, second in lab.arrived}

    assert took["there"] == pytest.approx(there)
    assert 0.1 < took["back"] <= 0.3


# --- Gossip ---------------------------------------------------------------------------------------
@dataclass
class Crowd:
    """Many peers, each linked to each; those in `deaf` do not accept."""

    size: int
    deaf: tuple[PeerId, ...] = ()
    heard: dict[PeerId, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.names = tuple(PeerId(f"p{number:02d}") for number in range(self.size))
        self.world = World(3)
        self.network = Network(
            self.world,
            LinkModel(redial_seconds_max=1),
            lambda name, _: self.gossip.peer_joined(name),
            lambda name, other: self.gossip.peer_left(name, other),
        )
        self.gossip = Gossip(self.world, self.network, self._judge, self._hear)
        for name in self.names:
            self.network.plug(name)
            self.gossip.join(name)
        for a in self.names:
            for b in self.names:
                self.network.link(a, b)
        self.world.run_until(30)

    def _judge(self, name: PeerId, _: bytes) -> Verdict:
        return Verdict.IGNORE if name in self.deaf else Verdict.ACCEPT

    def _hear(self, name: PeerId, *_: object) -> None:
        self.heard[name] = self.heard.get(name, 0) + 1


def test_gossip_reaches_everybody_once() -> None:
    crowd = Crowd(30)
    crowd.gossip.publish(crowd.names[0], b"news")
    crowd.world.run_until(40)

    assert crowd.heard == dict.fromkeys(crowd.names[1:], 1)


def test_meshes_stay_within_their_degree() -> None:
    crowd = Crowd(30)
    crowd.world.run_until(200)  # who was sent away may come again after a minute
    degrees = [len(member.mesh) for member in crowd.gossip.members.values()]

    assert min(degrees) >= DEGREE_MIN
    assert max(degrees) <= DEGREE_MAX


def test_what_the_mesh_lost_is_repaired_by_offers_in_the_next_heartbeats() -> None:
    crowd = Crowd(30)
    names = crowd.names
    crowd.network.split(Apart({name: number % 2 for number, name in enumerate(names)}))
    crowd.gossip.publish(names[0], b"news")
    crowd.world.run_until(31)
    at_once = len(crowd.heard)
    crowd.network.heal()
    crowd.world.run_until(45)

    assert at_once == 14  # its own half; the cut was too short to break a connection
    assert len(crowd.heard) == 29


def test_what_is_not_accepted_is_not_passed_on() -> None:
    names = [PeerId(f"p{number:02d}") for number in range(1, 30)]
    crowd = Crowd(30, deaf=tuple(names))
    crowd.gossip.publish(crowd.names[0], b"news")
    crowd.world.run_until(31)
    passing_on = [n for n, member in crowd.gossip.members.items() if member.cached(b"news")]

    assert crowd.heard == {}
    assert passing_on == [crowd.names[0]]


def test_a_quiet_crowd_costs_nothing() -> None:
    crowd = Crowd(30)
    crowd.world.run_until(500)
    before = crowd.world.steps
    crowd.world.run_until(10_000)

    assert crowd.world.steps == before
