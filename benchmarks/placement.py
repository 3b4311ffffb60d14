"""How well volunteers protect an archive of 50 TB, and what a plan costs.

`python -m benchmarks.placement` prints all tables, which takes hours of one processor; `--table`
names one, and `--divide N` makes archive and volunteers N times smaller.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from meshnode.core.placement.archive import EXTENT_BYTES
from meshnode.core.placement.balance import Balance
from meshnode.core.placement.golomb import encode_gaps
from meshnode.core.placement.patience import Patience
from meshnode.core.placement.planning import Situation, plan
from meshnode.core.placement.policy import Policy
from meshnode.core.placement.volunteers import Volunteer, Volunteers
from simulations.placement import rivals
from simulations.placement.rounds import CLAIM_ROUNDS, Rule, Setting, World

EXTENTS: Final = 46_566  # 50 TB
CAPACITY: Final = 465  # 500 GB
SETTLE_ROUNDS_MAX: Final = 60
RULES: Final[dict[str, Rule | None]] = {
    "random": rivals.at_random,
    "rarest first": rivals.rarest_first,
    "rendezvous": rivals.rendezvous,
    "ours": None,
}


def settled(divide: int) -> Iterator[str]:
    """How many extents stay under a target, by rule: at one less than fits, and at what fits."""
    yield f"{'volunteers':>10} {'target':>6} {'rule':<14} {'under target':>13} {'fewest':>6}"
    for volunteers, room in ((300, 3), (500, 5), (1000, 10)):
        for target in (room - 1, room):
            for name, rule in RULES.items():
                setting = Setting(
                    volunteers // divide, EXTENTS // divide, policy=Policy(copies=target)
                )
                world = World(setting, rule)
                world.settle(SETTLE_ROUNDS_MAX)
                copies = world.copies()
                share = rivals.under(copies, target)
                yield (
                    f"{setting.volunteers:>10} {target:>6} {name:<14} {share:>12.3%} "
                    f"{copies.min():>7}"
                )
            best = rivals.best_under(world.archive, setting.volunteers * CAPACITY, target)
            yield f"{setting.volunteers:>10} {target:>6} {'as even as can':<14} {best:>12.3%}"


def churned(divide: int) -> Iterator[str]:
    """Copies fetched for each copy that was lost, by how much of the claims a node has at hand."""
    yield f"{'view':>5} {'lost':>7} {'fetched':>8} {'ratio':>6} {'fewest at the end':>18}"
    for view in (1.0, 0.98, 0.9):
        world = World(Setting(500 // divide, EXTENTS // divide, view=view))
        for _ in range(20):
            world.step()
        before = sum(count.fetched for count in world.counts)
        lost = 0
        for _ in range(4):  # one after the other, each forgotten before the next one leaves
            lost += world.leave(int(world.chance.integers(len(world.people))))
            world.join()
            _pass_by(world, CLAIM_ROUNDS + 1)
            for _ in range(20):
                world.step()
        fetched = sum(count.fetched for count in world.counts) - before
        copies = world.copies()
        yield f"{view:>5} {lost:>7} {fetched:>8} {fetched / lost:>6.2f} {copies.min():>18}"


def deceived(divide: int) -> Iterator[str]:
    """Honest copies that can be reached, with 30 % liars and 40 % of volunteers behind NATs."""
    setting = Setting(
        1000 // divide, EXTENTS // divide, liars=0.3, unreachable=0.4, audit_rounds=12
    )
    world = World(setting)
    world.settle(2 * SETTLE_ROUNDS_MAX)
    honest = sum(person.honest and person.reachable for person in world.people)
    copies = world.copies(reachable_only=True)
    yield (
        f"{setting.volunteers} volunteers, {honest} of them honest and reachable: fewest copies"
        f" there {copies.min()}, under 4: {rivals.under(copies, 4):.3%}"
    )


def cost(divide: int) -> Iterator[str]:
    """What one plan takes in a settled archive of which a hundredth is gone, and a holding."""
    del divide  # always at full size
    archive = World(Setting(1, EXTENTS)).archive
    chance = np.random.default_rng(1)
    each = [
        Volunteer(
            chance.bytes(32),
            CAPACITY,
            0,
            1000,
            np.sort(chance.choice(EXTENTS, CAPACITY, replace=False)).astype(np.int64),
            audited=True,
        )
        for _ in range(495)
    ]
    patience = Patience.new(len(archive))
    times = []
    for turn in range(7):
        volunteers = Volunteers(each, len(archive))
        began = time.process_time()
        balance = Balance.of(archive, volunteers)
        situation = Situation(
            archive, volunteers, balance, turn, CAPACITY * EXTENT_BYTES, 8, patience, 600 * turn
        )
        patience = plan(situation).patience
        times.append(time.process_time() - began)
    yield f"a plan for {EXTENTS:,} extents and 495 volunteers: {1000 * min(times):.1f} ms of CPU"
    _, gaps = encode_gaps(each[0].held.tolist())
    yield f"the gaps of a holding of {CAPACITY} extents of one payload: {len(gaps)} bytes"


TABLES: Final[dict[str, Callable[[int], Iterator[str]]]] = {
    "settled": settled,
    "churned": churned,
    "deceived": deceived,
    "cost": cost,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.placement")
    parser.add_argument("--table", choices=TABLES, action="append", help="only this table")
    parser.add_argument("--divide", type=int, default=1, help="smaller by so much")
    asked = parser.parse_args()
    for name in asked.table or TABLES:
        doing = TABLES[name]
        sys.stdout.write(f"{name}: {doing.__doc__}\n")
        for line in doing(asked.divide):
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
    return 0


def _pass_by(world: World, rounds: int) -> None:
    """Let rounds pass; with whole views nothing is done in them."""
    if world.setting.view >= 1:
        world.step()
        world.rest(rounds - 1)
        return
    for _ in range(rounds):
        world.step()


if __name__ == "__main__":
    sys.exit(main())
