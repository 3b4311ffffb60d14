"""A whole archive and its volunteers: P1 to P6, as a world of rounds shows them."""

from __future__ import annotations

import numpy as np
import pytest

from meshnode.core.placement.policy import Policy
from simulations.placement import rivals
from simulations.placement.rounds import CLAIM_ROUNDS, Setting, World

SMALL = Setting(25, 600, capacity=100)  # 4 copies of each extent fit


def settled(setting: Setting) -> World:
    world = World(setting)
    assert world.settle(60) < 60
    return world


def within_budget(world: World) -> bool:
    return all(len(person.held) <= world.setting.capacity for person in world.people)


def test_all_extents_have_what_there_is_room_for() -> None:
    """P1 and P2, with room for two to six copies of the archive, and nobody above its own."""
    for volunteers, copies in ((13, 2), (19, 3), (25, 4), (36, 4)):
        world = settled(Setting(volunteers, 600, capacity=100))
        assert world.copies().min() == copies
        assert within_budget(world)


def test_random_and_rarest_first_leave_holes() -> None:
    """What the gate by score is for: on one view, all who take the rarest take the same."""
    for rule in (rivals.at_random, rivals.rarest_first):
        world = World(SMALL, rule)
        world.settle(20)
        assert rivals.under(world.copies(), 3) > 0.1
    assert rivals.under(settled(SMALL).copies(), 3) == 0


def test_who_leaves_is_replaced_copy_by_copy() -> None:
    """P3 and P6: nothing moves while a claim is young; then each lost copy is made once."""
    world = settled(Setting(30, 600, capacity=100))
    lost = world.leave(7)
    world.rest(CLAIM_ROUNDS + 1)
    before = world.copies()
    for _ in range(3):
        world.step()  # the claim is old, and patience begins
    assert (world.copies() == before).all()
    fetched = sum(world.step().fetched for _ in range(30))
    assert world.copies().min() >= 4
    assert fetched <= 1.3 * lost
    assert within_budget(world)


def test_after_a_partition_nothing_is_trimmed_below_its_target() -> None:
    """P4: each half makes good what it does not see; then those too many may go, and no more."""
    world = settled(Setting(40, 600, capacity=100))
    people = world.people
    for half in (people[:20], people[20:]):
        world.people = half
        for _ in range(20):
            world.step()
    world.people = people
    assert world.copies().min() >= 4
    for _ in range(30):
        world.step()
        assert world.copies().min() >= 4


@pytest.mark.parametrize("view", [0.98, 0.9])
def test_partial_views_cost_little(view: float) -> None:
    """P3: who misses claims now and then fetches few copies that were not lost."""
    world = World(Setting(24, 480, capacity=100, view=view))
    for _ in range(15):
        world.step()
    before = int(world.copies().sum())
    world.leave(3)
    world.join()
    for _ in range(40):
        world.step()
        assert within_budget(world)
    assert world.copies().min() >= 3
    moved = sum(count.fetched for count in world.counts[15:])
    assert moved <= 1.3 * (before - int(world.copies().sum()) + 2 * 100)


def test_liars_and_the_unreachable_are_made_up_for() -> None:
    """P2 of honest copies that can be had, with a third of liars and a third behind NATs."""
    world = World(Setting(60, 400, capacity=100, liars=0.3, unreachable=0.4, audit_rounds=12))
    world.settle(80)
    honest = sum(person.honest and person.reachable for person in world.people)
    fitting = honest * 100 // 400
    assert world.copies(reachable_only=True).min() >= min(4, fitting - 1)


def test_a_seed_tells_one_history() -> None:
    first, second = (settled(Setting(12, 200, capacity=60, seed=4)) for _ in range(2))
    for one, other in zip(first.people, second.people, strict=True):
        assert np.array_equal(one.held, other.held)


def test_a_wish_that_fits_exactly_is_nearly_reached() -> None:
    """At a target of the whole room no more than a few extents are under it."""
    world = settled(Setting(18, 600, capacity=100, policy=Policy(copies=3)))
    assert rivals.under(world.copies(), 3) <= 0.01
