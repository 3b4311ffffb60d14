"""What every plan keeps to, whatever the situation (P1, P5), and what it does in plain ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given

from meshnode.core.identifiers import sha256
from meshnode.core.placement.archive import EXTENT_BYTES, Archive, ArchivePayload
from meshnode.core.placement.balance import Balance
from meshnode.core.placement.patience import Patience
from meshnode.core.placement.planning import Plan, Situation, plan
from meshnode.core.placement.policy import PERMILLE, Policy
from meshnode.core.placement.scores import scores
from meshnode.core.placement.volunteers import Volunteer, Volunteers
from tests.core.placement.worlds import NOW, situations


def held_by_me(situation: Situation) -> set[int]:
    return set(situation.volunteers.each[situation.me].held.tolist())


def after(situation: Situation, planned: Plan) -> set[int]:
    return (held_by_me(situation) - set(planned.drop)) | set(planned.fetch)


@given(situations())
def test_a_plan_stays_within_the_budget(situation: Situation) -> None:
    planned = plan(situation)
    sizes = situation.archive.sizes
    room = situation.budget_bytes - sum(
        int(sizes[extent]) for extent in held_by_me(situation) - set(planned.drop)
    )
    assert room >= 0
    assert sum(int(sizes[extent]) for extent in planned.fetch) <= room


@given(situations())
def test_a_plan_fetches_what_it_may_and_has_not(situation: Situation) -> None:
    planned = plan(situation)
    assert len(set(planned.fetch)) == len(planned.fetch) <= situation.fetches_max
    assert not set(planned.fetch) & held_by_me(situation)
    for extent in planned.fetch:
        assert situation.archive.wanted[extent]


@given(situations())
def test_a_plan_drops_only_what_it_must_or_others_protect(situation: Situation) -> None:
    """P5: all within the budget and allowed, what goes has more audited copies than its target."""
    planned = plan(situation)
    archive, balance = situation.archive, situation.balance
    assert set(planned.drop) <= held_by_me(situation)
    assert set(planned.drop) >= {one for one in held_by_me(situation) if not archive.kept[one]}
    allowed = [one for one in held_by_me(situation) if archive.kept[one]]
    if sum(int(archive.sizes[one]) for one in allowed) > situation.budget_bytes:
        return
    for extent in planned.drop:
        if archive.kept[extent]:
            target = int(balance.targets[extent])
            assert int(situation.volunteers.audited[extent]) * PERMILLE > target
            assert int(balance.available[extent]) >= target + PERMILLE


@given(situations())
def test_a_plan_is_made_of_nothing_else(situation: Situation) -> None:
    first, second = plan(situation), plan(replace(situation))
    assert (first.drop, first.fetch) == (second.drop, second.fetch)


@given(situations())
def test_whose_turn_it_is_follows_from_all_scores(situation: Situation) -> None:
    """The chunks and the short cut of `Turns` change nothing: a rank is a count of all."""
    volunteers, archive = situation.volunteers, situation.archive
    extents = np.flatnonzero(situation.open)
    gates = 1 + extents % 3
    yielded = set(situation.turns.mine(extents, gates, extents, np.zeros_like(extents)))
    spare = situation.balance.enough
    for extent, gate in zip(extents.tolist(), gates.tolist(), strict=True):
        words = archive.words[extent : extent + 1]
        made = scores(volunteers.words, volunteers.capacities, words).tolist()
        mine = (made[situation.me], int(volunteers.words[situation.me]))
        before = 0
        for place, one in enumerate(volunteers.each):
            could = one.weight > 0 and (one.free > 0 or bool(spare[one.held].any()))
            group = volunteers.groups == volunteers.groups[place]
            has = any(
                extent in volunteers.each[other].held for other in np.flatnonzero(group).tolist()
            )
            better = (made[place], int(volunteers.words[place])) > mine
            before += could and not has and better
        assert (extent in yielded) == (before < gate)


def world(
    held: list[list[int]],
    *,
    extents: int = 4,
    room: int = 4,
    since: int = 0,
    policy: Policy = Policy(copies=2),  # noqa: B008 # frozen
    jurisdictions: list[str | None] | None = None,
    me: int = 0,
    name: int = 0,
) -> Situation:
    """Return a situation: what each volunteer holds; all are in want since `since` seconds."""
    archive = Archive(
        (ArchivePayload(sha256(b"%d" % name), extents * EXTENT_BYTES, 16 << 20),), policy
    )
    places = jurisdictions or [None] * len(held)
    each = [
        Volunteer(
            sha256(b"volunteer %d" % place),
            room,
            room - len(one),
            PERMILLE,
            np.array(one, np.int64),
            audited=True,
            jurisdiction=places[place],
        )
        for place, one in enumerate(held)
    ]
    volunteers = Volunteers(each, extents)
    return Situation(
        archive,
        volunteers,
        Balance.of(archive, volunteers),
        me,
        room * EXTENT_BYTES,
        100,
        Patience(np.full(extents, NOW - since, np.int64)),
        NOW,
    )


def test_what_nobody_holds_is_fetched_at_once() -> None:
    planned = plan(world([[], []]))
    assert sorted(planned.fetch) == [0, 1, 2, 3]


def test_what_lacks_a_copy_is_waited_for() -> None:
    """Full nodes swap from the fifth period on, in turn, and no more than can be spared."""
    seen: dict[int, set[int]] = {}
    for since in (0, 1_800, 2_400, 4_200):
        for name in range(8):
            held = [[0, 1], [0, 1], [0, 1], [0, 1], [2]]
            full = world(held, extents=3, room=2, since=since, name=name)
            plans = [plan(replace(full, me=me)) for me in range(4)]
            swaps = [one for one in plans if one.fetch]
            assert all(one.fetch == (2,) and len(one.drop) == 1 for one in swaps)
            gone = [extent for one in swaps for extent in one.drop]
            assert max(gone.count(0), gone.count(1)) <= 2
            seen.setdefault(since, set()).add(len(swaps))
    assert seen[0] == seen[1_800] == {0}
    assert seen[2_400] <= {0, 1}
    assert max(seen[2_400]) == 1
    assert min(seen[4_200]) >= 1


def test_hard_pressed_a_node_makes_room_with_what_is_one_above() -> None:
    """Of extent 0 one copy is too many: it goes where its holder's score for it is the lowest."""
    held = [[0, 1], [0, 1], [0, 2]]
    swapped = set()
    for name in range(8):
        early = world(held, extents=3, room=2, since=5_000, name=name)
        late = world(held, extents=3, room=2, since=60_000, name=name)
        assert [plan(replace(early, me=me)).fetch for me in (0, 1)] == [(), ()]
        plans = [plan(replace(late, me=me)) for me in (0, 1)]
        swapped.add(tuple((one.fetch, one.drop) for one in plans))
    nothing, swap = ((), ()), ((2,), (0,))
    assert swapped == {(nothing, nothing), (swap, nothing), (nothing, swap)}


def test_only_as_many_let_go_as_are_too_many() -> None:
    """All see the same excess and want its room: those with the lowest scores alone give theirs."""
    held = [[0], [0], [0], [0], [0], [1]]
    crowd = world(held, extents=2, room=1, since=60_000, policy=Policy(copies=3))
    dropping = [me for me in range(5) if plan(replace(crowd, me=me)).drop]
    assert 1 <= len(dropping) <= 2


def test_another_jurisdiction_is_worth_a_copy() -> None:
    places: list[str | None] = ["CA", "CA", "CA", "FR"]
    held = [[0], [0], [0], []]
    situation = world(held, extents=1, room=1, since=2_400, jurisdictions=places)
    assert plan(replace(situation, me=3)).fetch == (0,)
    assert [plan(replace(situation, me=me)).drop for me in range(3)] == [(), (), ()]


def test_the_only_copy_abroad_stays() -> None:
    places = ["CA", "CA", "CA", "CA", "FR"]
    held = [[0], [0], [0], [0], [0]]
    situation = world([*held, []], extents=2, room=1, since=60_000, jurisdictions=[*places, None])
    assert plan(replace(situation, me=4)).drop == ()
    assert any(plan(replace(situation, me=me)).drop for me in range(4))


def test_a_smaller_budget_lets_go_of_the_best_protected() -> None:
    situation = world([[0, 1, 2, 3], [0, 1], [0]], since=0)
    smaller = replace(situation, budget_bytes=3 * EXTENT_BYTES, fetches_max=0)
    assert plan(smaller).drop == (0,)
    smallest = replace(situation, budget_bytes=2 * EXTENT_BYTES, fetches_max=0)
    assert plan(smallest).drop == (0, 1)


def test_patience_counts_time_and_not_looks() -> None:
    once = Patience.new(1).seen(np.array([True]), NOW)
    often = once
    for second in range(0, 2_400, 60):
        often = often.seen(np.array([True]), NOW + second)
    assert once.streaks(NOW + 2_400).tolist() == often.streaks(NOW + 2_400).tolist() == [5]
    assert often.seen(np.array([False]), NOW).streaks(NOW).tolist() == [0]


def test_patience_goes_with_its_payload() -> None:
    first = ArchivePayload(sha256(b"first"), 2 * EXTENT_BYTES, 16 << 20)
    second = ArchivePayload(sha256(b"second"), 3 * EXTENT_BYTES, 16 << 20)
    third = ArchivePayload(sha256(b"third"), 1, 16 << 20)
    patience = Patience(np.array([1, 2, 3, 4, 5], np.int64))
    carried = patience.carried(Archive((first, second)), Archive((third, second)))
    assert carried.since.tolist() == [-1, 3, 4, 5]
