"""The simulated peer keeps the runtime's promise: durable first, and a crash takes the rest."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from meshnode.core.durable import AdoptRoot, Durable, ExtendLog, Restored, SetFollowed
from meshnode.core.effects import Effect, IndexWork, Started
from meshnode.core.events import Event, Followed, Now, PeerConnected, PeerDisconnected
from meshnode.core.identifiers import CatalogueId, Digest, Kid, PeerId
from meshnode.core.names import LogId, Stretch, Ticket
from meshnode.core.node import Node
from simulations.disk import Disk
from simulations.machine import Clock, Machine
from simulations.watching import Watchers
from simulations.world import EPOCH_UNIX, World

CATALOGUE = CatalogueId(bytes([1]) * 32)
LOG = LogId(CATALOGUE, Kid(bytes(16)))
FSYNC_SECONDS = 0.5


@dataclass
class Notes:
    """Writes down in which order things happened."""

    said: list[str] = field(default_factory=list)

    def handled(self, machine: Machine, batch: Sequence[Event], effects: Sequence[Effect]) -> None:
        self.said.append(f"handled {len(batch)}")

    def synced(self, machine: Machine, durable: Sequence[Durable]) -> None:
        self.said.append(f"synced at {machine.world.now:g}")

    def started(self, machine: Machine, effect: Started) -> None:
        self.said.append(f"started {type(effect).__name__}")

    def index_changed(self, machine: Machine, work: IndexWork) -> None:
        self.said.append("index changed")

    def restored(self, machine: Machine) -> None:
        self.said.append("restored")


def machine_with(notes: Notes) -> Machine:
    def build() -> Node:
        return Node(random.Random(1))

    def start(machine: Machine, effect: Started) -> None:
        """What is started ends nowhere in these tests."""

    return Machine(PeerId("p"), World(1), build, start, Watchers.of([notes]), FSYNC_SECONDS)


def test_nothing_starts_before_the_batch_is_synced_and_later_events_wait() -> None:
    notes = Notes()
    machine = machine_with(notes)
    machine.tell(Followed(Ticket(1), CATALOGUE))
    machine.tell(PeerDisconnected(PeerId("a")))
    machine.tell(PeerDisconnected(PeerId("b")))
    machine.world.run_until(1)

    assert notes.said == ["handled 1", "synced at 0.5", "started Answer", "handled 2"]


def test_a_crash_before_the_sync_loses_the_batch_and_starts_nothing() -> None:
    notes = Notes()
    machine = machine_with(notes)
    machine.tell(Followed(Ticket(1), CATALOGUE))
    lost = machine.crash()
    machine.world.run_until(1)
    machine.restart()

    assert lost == 1
    assert notes.said == ["handled 1", "restored", "handled 0"]
    assert machine.node.followed() == ()


def test_a_crash_after_the_sync_keeps_what_was_written() -> None:
    machine = machine_with(Notes())
    machine.tell(Followed(Ticket(1), CATALOGUE))
    machine.world.run_until(1)
    machine.crash()
    machine.restart()

    assert machine.node.followed() == (CATALOGUE,)


def test_what_an_earlier_life_began_never_ends() -> None:
    machine = machine_with(Notes())
    ended: list[str] = []
    action = machine.while_alive(lambda: ended.append("yes"))
    machine.crash()
    machine.restart()
    action()

    assert ended == []


def test_the_node_is_called_at_its_deadlines() -> None:
    notes = Notes()
    machine = machine_with(notes)
    machine.tell(PeerConnected(PeerId("a")))
    machine.world.run_until(100)

    assert notes.said.count("handled 0") in range(2, 6)  # one poll in 22.5 to 37.5 seconds


def test_a_wrong_clock_shows_in_unix_time_and_not_in_the_monotonic_one() -> None:
    machine = machine_with(Notes())
    machine.clock = Clock(offset_seconds=-3600)

    assert machine.now() == Now(monotonic=0.0, unix=EPOCH_UNIX - 3600)


def test_a_disk_answers_within_its_limits_and_asks_on() -> None:
    disk = Disk()
    disk.write([ExtendLog(LOG, ((1, b"h"),), 0, (b"x" * 700_000, b"y" * 700_000))])
    disk.sync()
    heads, entries = disk.read(LOG, [Stretch(0, after_seq=0, seq=1, first=0, stop=2)])
    _, rest = disk.read(LOG, [Stretch(0, after_seq=1, seq=1, first=1, stop=2)])

    assert (heads, [len(entry) for entry in entries]) == ((b"h",), [700_000])
    assert rest == (b"y" * 700_000,)


def test_a_disk_restores_exactly_what_was_synced() -> None:
    disk = Disk()
    disk.write([SetFollowed(CATALOGUE, followed=True), AdoptRoot(CATALOGUE, 1, b"root")])
    disk.sync()
    disk.objects[Digest(bytes(32))] = 5
    disk.write([SetFollowed(CATALOGUE, followed=False)])
    disk.lose_power()

    assert disk.restored(()) == Restored(
        followed=(CATALOGUE,),
        roots=((CATALOGUE, (b"root",)),),
        objects=frozenset([Digest(bytes(32))]),
    )


def test_a_log_with_a_gap_is_refused_by_the_disk() -> None:
    disk = Disk()
    disk.write([ExtendLog(LOG, ((2, b"h"),), 1, (b"x",))])

    with pytest.raises(AssertionError, match="no gaps"):
        disk.sync()


def test_a_crash_may_find_the_last_batch_written_though_nobody_was_told() -> None:
    notes = Notes()
    machine = machine_with(notes)
    machine.tell(Followed(Ticket(1), CATALOGUE))
    machine.crash(written=True)
    machine.restart()

    assert machine.node.followed() == (CATALOGUE,)
    assert "started Answer" not in notes.said


def test_a_disk_that_refuses_makes_the_peer_read_only_and_starts_nothing_but_answers() -> None:
    notes = Notes()
    machine = machine_with(notes)
    machine.disk.refuses = "no space left on the device"
    machine.tell(Followed(Ticket(1), CATALOGUE))
    machine.tell(PeerConnected(PeerId("a")))

    assert notes.said == ["handled 1", "handled 1", "started Answer", "handled 1"]
    assert machine.node.read_only == "no space left on the device"
    assert machine.disk.followed == {}


def test_a_paused_process_handles_what_came_meanwhile_when_it_goes_on() -> None:
    notes = Notes()
    machine = machine_with(notes)
    machine.pause()
    machine.tell(PeerConnected(PeerId("a")))
    machine.tell(PeerConnected(PeerId("b")))
    machine.world.run_until(100)
    before = list(notes.said)
    machine.resume()

    assert before == []
    assert notes.said[0] == "handled 2"


def test_a_drifting_clock_goes_on_going_wrong() -> None:
    clock = Clock(offset_seconds=-10, drift_ppm=1000, since=100)

    assert clock.unix(100) == EPOCH_UNIX + 90
    assert clock.unix(10_100) == EPOCH_UNIX + 10_100
