"""A checker is worth what it catches: known bugs are planted in the node, each must be caught.

Every mutant is the node's own code with one behaviour changed, in the same world in which the
honest node passes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from meshnode.core import events as ev
from meshnode.core.identifiers import Digest
from meshnode.core.node import Node
from simulations.run import Outcome, Simulation
from tests.simulations.worlds import TROUBLED


class ForgetsWithdrawals(Node):
    """Never tells the index to hide an item."""

    def handle(self, batch: Sequence[ev.Event], now: ev.Now) -> list[ev.Effect]:
        return without(super().handle(batch, now), ev.HideItems)

    def restore(self, restored: ev.Restored, now: ev.Now) -> list[ev.Effect]:
        return without(super().restore(restored, now), ev.HideItems)


class ConfirmsWithoutStoring(Node):
    """Says that a submission is done without writing it."""

    def handle(self, batch: Sequence[ev.Event], now: ev.Now) -> list[ev.Effect]:
        effects = super().handle(batch, now)
        submitted = any(isinstance(event, ev.Submitted) for event in batch)
        return without(effects, ev.ExtendLog) if submitted else effects


class RestoresAllButTheNewest(Node):
    """Loses the newest head of each log at a restart."""

    def restore(self, restored: ev.Restored, now: ev.Now) -> list[ev.Effect]:
        logs = tuple(log for log in restored.logs if len(log.heads) < 2)
        return super().restore(replace(restored, logs=logs), now)


class StoresOtherBytes(Node):
    """Writes entries that are not those that were signed."""

    def handle(self, batch: Sequence[ev.Event], now: ev.Now) -> list[ev.Effect]:
        effects = super().handle(batch, now)
        gossiped = any(isinstance(event, ev.AnnouncementReceived) for event in batch)
        return [spoiled(effect) for effect in effects] if gossiped else effects


class SkipsHeads(Node):
    """Writes only the last of several heads."""

    def handle(self, batch: Sequence[ev.Event], now: ev.Now) -> list[ev.Effect]:
        effects = super().handle(batch, now)
        return [
            replace(effect, heads=effect.heads[-1:]) if isinstance(effect, ev.ExtendLog) else effect
            for effect in effects
        ]


class NeverAsksForHeads(Node):
    """Trusts gossip alone."""

    def handle(self, batch: Sequence[ev.Event], now: ev.Now) -> list[ev.Effect]:
        return without(super().handle(batch, now), ev.AskHeads)


class AsksForEverythingAtOnce(Node):
    """Has no bound on requests in flight."""

    def handle(self, batch: Sequence[ev.Event], now: ev.Now) -> list[ev.Effect]:
        self.replica.fetches.in_flight_max = 1000
        return super().handle(batch, now)


class BlamesForwarders(Node):
    """Takes old news for an offence."""

    def handle(self, batch: Sequence[ev.Event], now: ev.Now) -> list[ev.Effect]:
        effects = super().handle(batch, now)
        for event in batch:
            adopted = any(isinstance(effect, ev.ExtendLog) for effect in effects)
            if isinstance(event, ev.AnnouncementReceived) and not adopted:
                effects.append(ev.Blame(event.peer, ev.Check.CHAIN, "nothing new"))
        return effects


class IndexesWhatItLacks(Node):
    """Takes every object for held."""

    def handle(self, batch: Sequence[ev.Event], now: ev.Now) -> list[ev.Effect]:
        self.replica.objects = Everything()
        return super().handle(batch, now)


class Everything(dict[Digest, None]):
    """Holds whatever is asked for."""

    def __contains__(self, _: object) -> bool:
        return True


def without(effects: Sequence[ev.Effect], kind: type) -> list[ev.Effect]:
    return [effect for effect in effects if not isinstance(effect, kind)]


def spoiled(effect: ev.Effect) -> ev.Effect:
    if not isinstance(effect, ev.ExtendLog) or not effect.entries:
        return effect
    *rest, last = effect.entries
    return replace(effect, entries=(*rest, last[:-1] + b"\x00"))


def outcome_with(build: Callable[..., Node], seed: int = 1) -> Outcome:
    return Simulation(TROUBLED, seed, build_node=build).run()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_honest_node_passes_and_every_checker_saw_its_subject(seed: int) -> None:
    outcome = outcome_with(Node, seed)

    assert outcome.faults == []
    assert all(count > 0 for count in outcome.verdicts.checked.values())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mutant", "invariant"),
    [
        (ForgetsWithdrawals, "I9"),
        (ConfirmsWithoutStoring, "I10"),
        (RestoresAllButTheNewest, "I4"),
        (StoresOtherBytes, "I1"),
        (StoresOtherBytes, "I3"),
        (SkipsHeads, "I4"),
        (NeverAsksForHeads, "I14"),
        (NeverAsksForHeads, "I15"),
        (AsksForEverythingAtOnce, "I11"),
        (BlamesForwarders, "I12"),
        (IndexesWhatItLacks, "I2"),
    ],
)
def test_a_planted_bug_is_caught_by_its_invariant(mutant: type[Node], invariant: str) -> None:
    outcome = outcome_with(mutant)

    assert invariant in outcome.verdicts.broken
