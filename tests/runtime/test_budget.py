"""Budgets that refill with time; time is a number."""

from __future__ import annotations

from meshnode.runtime.network.budget import REMEMBERED_MAX, Budgets


def test_a_budget_is_spent_and_comes_back_with_time() -> None:
    budgets = Budgets[str](per_second=2, burst=4)
    assert [budgets.spend("a", 1, 0) for _ in range(5)] == [True, True, True, True, False]
    assert budgets.spend("a", 1, 0.5)
    assert not budgets.spend("a", 1, 0.5)
    assert not budgets.spend("a", 5, 1000)


def test_the_budget_of_one_is_not_that_of_another() -> None:
    budgets = Budgets[str](per_second=1, burst=1)
    assert budgets.spend("a", 1, 0)
    assert budgets.spend("b", 1, 0)


def test_an_overdrawn_budget_says_how_long_it_takes_to_make_up_for_it() -> None:
    budgets = Budgets[str](per_second=10, burst=10)
    assert budgets.overdraw("a", 10, 0) == 0
    assert budgets.overdraw("a", 5, 0) == 0.5
    assert budgets.overdraw("a", 5, 0.5) == 0.5


def test_only_so_many_are_remembered() -> None:
    budgets = Budgets[int](per_second=1, burst=1)
    for who in range(REMEMBERED_MAX + 1):
        assert budgets.spend(who, 1, 0)
    assert budgets.spend(0, 1, 0)
    assert not budgets.spend(REMEMBERED_MAX, 1, 0)
