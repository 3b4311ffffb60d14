"""Faults and adversaries do what they say, and what they did is written down."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from meshnode.core.effects import AskHeads, Started
from meshnode.core.exchange import AskHello, AskRecon, AskRecords
from simulations import output
from simulations.invariants.bounds import Bounds
from simulations.invariants.verdicts import Verdicts
from simulations.machine import Machine
from simulations.run import Simulation
from simulations.scenario import Scenario
from simulations.settings import Workload
from simulations.timeline import Adversary, Churn, Crash, Pause, Skew, SlowDisk
from tests.simulations.worlds import FORKED, HOSTILE, MIXED, STOLEN, TROUBLED, WORN

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
SLEEPY = Scenario(
    name="sleepy",
    title="Peers that come and go, stand still, write slowly, and know the time wrongly.",
    nodes=10,
    settle_seconds_max=200,
    workload=Workload(institutions=1, segments_each=6, interval_seconds=10),
    faults=(
        Churn(
            kind="churn",
            at_seconds=20,
            for_seconds=60,
            share=0.4,
            up_seconds_mean=10,
            down_seconds_mean=5,
        ),
        Pause(kind="pause", at_seconds=15, for_seconds=20, share=0.2),
        SlowDisk(kind="slow-disk", at_seconds=10, for_seconds=50, share=0.5, factor=100),
        Skew(kind="skew", at_seconds=5, for_seconds=70, share=0.3, drift_ppm=50_000),
    ),
)


def written(world: Scenario, folder: Path) -> tuple[Simulation, dict[str, Any]]:
    """Run a world and return what `invariants.json` says of it."""
    simulation = Simulation(world, 1)
    simulation.run()
    output.write(folder, simulation, BEGAN, 1.0)
    return simulation, json.loads((folder / output.INVARIANTS).read_text(encoding="utf-8"))


def test_peers_that_sleep_and_wake_agree_in_the_end() -> None:
    outcome = Simulation(SLEEPY, 1).run()
    counts = {felt.kind: felt.count for felt in outcome.felt}

    assert outcome.faults == []
    assert counts["churn"] > 4  # some went away more than once
    assert {counts["pause"], counts["slow-disk"], counts["skew"]} == {2, 5, 3}


@pytest.mark.slow
def test_peers_of_two_versions_ask_each_other_what_both_know() -> None:
    asked: dict[int, set[type]] = {1: set(), 2: set()}

    class Watching(Bounds):
        def started(self, machine: Machine, effect: Started) -> None:
            asked[machine.version].add(type(effect))

    outcome = Simulation(MIXED, 1, watchers=[Watching(Verdicts(), lambda _: True)]).run()

    assert outcome.faults == []
    assert AskHeads in asked[1]
    assert not {AskRecon, AskRecords} & asked[1]
    assert {AskHeads, AskHello, AskRecon, AskRecords} <= asked[2]


def test_each_fault_says_whom_it_struck_and_until_when(tmp_path: Path) -> None:
    _, said = written(WORN, tmp_path)
    full = said["faults"][0]

    assert (full["kind"], full["at_seconds"], full["until_seconds"]) == ("disk-full", 30, 50)
    assert sorted(full["peers"]) == ["p00", "p01"]
    assert full["count"] == 2


@pytest.mark.slow
def test_each_adversary_says_what_it_did_and_what_refused_it(tmp_path: Path) -> None:
    _, said = written(HOSTILE, tmp_path)
    refused = {entry["kind"]: set(entry["refused"]) for entry in said["adversaries"]}

    assert all(entry["count"] > 0 for entry in said["adversaries"])
    assert refused["withholder"] == set()  # not to have something is no fault
    assert refused["liar"] == {"content hash"}
    assert refused["spammer"] == {"gossip", "signature"}
    assert refused["forger"] <= {"tree hash", "encoding", "root chain", "clock"}
    assert refused["forger"]


def test_an_adversary_that_came_to_nothing_fails_the_run() -> None:
    idle = Adversary(kind="spammer", count=1, interval_seconds=10**6)
    outcome = Simulation(TROUBLED.model_copy(update={"adversaries": (idle,)}), 1).run()

    assert outcome.faults == ["the spammer came to nothing (forged heads gossiped: 0)"]


def test_a_fault_that_outlives_the_settling_time_is_no_excuse() -> None:
    forever = Crash(kind="crash", at_seconds=1, for_seconds=1000, who="others", share=1)
    world = TROUBLED.model_copy(update={"faults": (forever,), "settle_seconds_max": 1.0})
    outcome = Simulation(world, 1).run()

    assert "I15" in outcome.verdicts.broken


@pytest.mark.slow
def test_a_closing_restores_what_a_thief_withdrew(tmp_path: Path) -> None:
    simulation, said = written(STOLEN, tmp_path)
    checked = {entry["name"]: entry["checked"] for entry in said["invariants"]}
    (withdrawn,) = {w.item for w in simulation.ledger.stolen_withdrawals}
    segment = simulation.ledger.segment_of[withdrawn]
    clocks = {
        machine.index.segments[segment] > machine.index.hidden.get(withdrawn, 0)
        for machine in simulation.machines.values()
    }

    assert simulation.outcome.faults == []
    assert clocks == {True}
    assert min(checked["I5"], checked["I6"], checked["I17"]) > 0


@pytest.mark.parametrize("seed", [2, 4])
def test_a_mesh_with_an_open_fork_has_settled_when_all_show_the_thiefs_segments(seed: int) -> None:
    workload = FORKED.workload.model_copy(update={"snapshot_every": 2})
    forked = FORKED.model_copy(update={"workload": workload})

    assert Simulation(forked, seed).run().faults == []


def test_the_metrics_file_tells_the_mesh_each_peer_and_the_whole_apart(tmp_path: Path) -> None:
    simulation, _ = written(TROUBLED, tmp_path)
    table = pq.read_table(tmp_path / "metrics.parquet")
    rows = table.to_pylist()
    behind = [row["value"] for row in rows if row["name"] == "peers_behind_count"]
    sent = [row["value"] for row in rows if row["name"] == "sent_bytes" and row["node"] == "*"]
    last = {row["name"]: row["value"] for row in rows if row["node"] == ""}
    delays = [row for row in rows if row["name"] == "head_propagation_seconds"]

    assert table.column_names == ["t", "node", "name", "value"]
    assert max(behind) > 0
    assert behind[-1] == 0
    assert sent == sorted(sent)
    assert last == output.metrics(simulation)
    assert len(delays) == last["head_propagation_count"] == 24 * 12


def test_the_network_file_tells_roles_sides_and_links(tmp_path: Path) -> None:
    written(HOSTILE, tmp_path)
    said = json.loads((tmp_path / output.NETWORK).read_text(encoding="utf-8"))
    roles = [peer["role"] for peer in said["peers"]]

    assert roles[:2] == ["publisher", "publisher"]
    assert roles[-2:] == ["spammer", "newcomer"]
    assert [roles.count(each.kind) for each in HOSTILE.adversaries] == [2, 3, 3, 1]
    assert {len(link) for link in said["links"]} == {3}
