"""Every packaged scenario passes with a fixed seed: what it says on its page is what happens.

The largest run smaller here; their full size is for `meshsim run`.
"""

from __future__ import annotations

import re

import pytest

from meshnode.core.identifiers import PeerId
from simulations import scenario
from simulations.run import Simulation
from simulations.scenario import Scenario
from tests.simulations.generate_pages import BEGIN, BLOCK, END, PAGES, filled, measure, measured

DAY = 86_400.0
REDUCED = {"split-1000": 150, "split-10000": 200, "privacy-withdrawal": 6}  # peers


def reduced(name: str) -> Scenario:
    chosen = scenario.load(name).model_dump()
    if name in REDUCED:
        chosen["nodes"] = REDUCED[name]
    if name == "portal-death":
        for fault in chosen["faults"]:
            if fault["kind"] == "join":
                fault["at_seconds"] = DAY
            else:
                fault["for_seconds"] = DAY
    return scenario.validate(chosen)


def test_every_packaged_scenario_has_a_page_that_says_how_to_run_it() -> None:
    said = {name: (PAGES / f"{name}.md").read_text(encoding="utf-8") for name in scenario.library()}
    index = (PAGES / "index.md").read_text(encoding="utf-8")

    assert [
        name for name, text in said.items() if f"`meshsim run {name} --seed 1" not in text
    ] == []
    assert [name for name in said if f"[{name}]({name}.md)" not in index] == []


def test_every_page_has_the_table_that_its_command_makes() -> None:
    pages = {name: (PAGES / f"{name}.md").read_text(encoding="utf-8") for name in measured()}
    marks = {name: BLOCK.findall(text) for name, text in pages.items()}
    said = {name: BEGIN.format(name) in text for name, text in pages.items()}

    assert {name: len(found) for name, found in marks.items()} == dict.fromkeys(pages, 1)
    assert said == dict.fromkeys(pages, True)
    assert [n for n, found in marks.items() if "\n| checks | " not in "".join(found)] == []


@pytest.mark.slow
def test_the_table_of_a_page_shows_what_its_run_measured() -> None:
    said, found = measure("baseline-50")
    page = filled(
        f"before\n{BEGIN.format('baseline-50')}\n{END}\nafter\n", "baseline-50", said, found
    )
    rows = dict(re.findall(r"^\| (.+) \| (.+) \|$", page, re.MULTILINE))

    assert page.startswith("before\n<!--")
    assert page.endswith("-->\nafter\n")
    assert rows["trace"].startswith(f"`{said['trace_sha256'][:16]}`")
    assert rows["all equal, segments and index too"].startswith("0 s")
    assert rows["blames"] == "none"


@pytest.mark.slow
@pytest.mark.parametrize("name", scenario.library())
def test_a_packaged_scenario_passes(name: str) -> None:
    chosen = reduced(name)
    simulation = Simulation(chosen, chosen.seed)
    outcome = simulation.run()

    assert outcome.faults == []
    assert outcome.settled_seconds is not None


@pytest.mark.slow
def test_a_newcomer_gets_a_payload_from_peers_when_all_publishers_and_mirrors_are_dead() -> None:
    simulation = Simulation(reduced("portal-death"), 1)
    simulation.run()
    (newcomer,) = simulation.newcomers
    (share,) = [s for s in simulation.swarm.downloads() if s.machine is newcomer.machine]
    gone = [simulation.machines[PeerId(name)].running for name in ("p0", "p1")]

    assert newcomer.caught_up is not None
    assert newcomer.caught_up < DAY + 600
    assert share.ended is not None
    assert share.ended < DAY + 600
    assert gone == [True, True]  # again, since the portal came back at the end


@pytest.mark.slow
def test_withdrawn_rows_are_erased_in_time_and_the_other_rows_of_their_segments_stay() -> None:
    simulation = Simulation(reduced("privacy-withdrawal"), 1)
    outcome = simulation.run()
    machines, ledger = simulation.machines.values(), simulation.ledger
    gone = list(ledger.erased_by)
    held = [key for m in machines for key in gone if key.digest in m.disk.objects]
    shown = [key in m.index.segments for m in machines for key in gone]

    assert outcome.faults == []
    assert len(gone) == 5
    assert held == []
    assert shown == [True] * (5 * 6)
    assert [len(m.disk.objects) for m in machines] == [20 - 5 + 2] * 6  # with two collections


@pytest.mark.slow
def test_of_a_stolen_key_nothing_but_its_own_log_suffers() -> None:
    simulation = Simulation(scenario.load("stolen-key"), 1)
    outcome = simulation.run()
    (log,) = simulation.ledger.stolen
    honest, stolen = (branch.heads[-1] for branch in simulation.ledger.branches(log))

    assert outcome.faults == []
    assert all(stolen in machine.disk.heads_of(log) for machine in simulation.machines.values())
    assert len(simulation.ledger.undisputed()) == 3
    assert honest != stolen
