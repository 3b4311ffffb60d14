"""What is read from an account of a mesh, real or simulated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from meshnode.errors import UsageError
from simulations import overrides, scenario
from simulations.calibration.account import Account, Figures, Totals, figures
from simulations.calibration.comparison import Comparison, calibrate
from simulations.calibration.simulated import simulate
from tests.simulations.worlds import TROUBLED

CUT = (50.0, 80.0)
SAME = Figures(0.2, 0.4, 3.0, 5.0, 6.0, 100_000.0, 50_000.0)


def test_heads_that_were_skipped_came_with_the_one_that_was_told() -> None:
    account = Account()
    account.adopted(1.0, "a", "log", 1)
    account.adopted(3.0, "a", "log", 3)

    assert account.heads == {("log", 1): {"a": 1.0}, ("log", 2): {"a": 3.0}, ("log", 3): {"a": 3.0}}


def test_calm_heads_give_propagation_and_those_of_the_cut_the_heal() -> None:
    account = Account()
    for second, peer, seq in ((10.0, "a", 1), (10.5, "b", 1), (60.0, "a", 2), (84.0, "b", 2)):
        account.adopted(second, peer, "log", seq)
        account.shown(second + 1, peer, f"segment {seq}")
    found = figures(account, Totals(1000, 4, 6), 2, CUT, 300)

    assert (found.propagation_median_seconds, found.propagation_p99_seconds) == (0.5, 0.5)
    assert (found.heal_heads_seconds, found.heal_segments_seconds) == (4.0, 5.0)
    assert found.duplicates_per_message == 1.5
    assert (found.sent_bytes_per_peer, found.control_bytes_per_peer) == (500, 350)


def test_an_account_is_whole_when_every_peer_has_every_head_and_segment() -> None:
    account = Account()
    for peer in ("a", "b"):
        account.adopted(1.0, peer, "log", 1)
    account.shown(2.0, "a", "segment")

    assert (account.missing(2), account.is_everywhere(2, 1)) == (1, False)
    account.shown(2.5, "b", "segment")
    assert (account.missing(2), account.is_everywhere(2, 1)) == (0, True)
    assert not account.is_everywhere(2, 2)  # another is still to be published


def test_worlds_disagree_where_a_figure_is_half_as_much_again() -> None:
    slower = replace(SAME, heal_heads_seconds=7.6, duplicates_per_message=1.9)
    found = Comparison(12, 1, real=slower, simulated=SAME)

    assert found.disagreements() == ["duplicates_per_message", "heal_heads_seconds"]
    assert Comparison(12, 1, SAME, SAME).disagreements() == []


def test_real_peers_are_not_put_through_what_they_cannot_play(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="real peers cannot play troubled"):
        calibrate(TROUBLED, tmp_path)


@pytest.mark.slow
def test_the_scenario_of_the_calibration_reaches_everybody_in_the_simulator() -> None:
    chosen = overrides.apply(scenario.load("calibration"), {"nodes": 24})
    account, totals = simulate(chosen, 20.0, 200.0)

    assert account.is_everywhere(24, 21)
    assert totals.messages > 21 * 12
    assert totals.sent_bytes > 21 * chosen.workload.segment_bytes * 23
