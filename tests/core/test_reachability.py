"""Whether others can call this peer: one who came through is enough, one who did not is not."""

from __future__ import annotations

import pytest

from meshnode.core.reachability import (
    KEPT_MAX,
    LASTING_SECONDS,
    Call,
    Reach,
    Reachability,
    call_of,
)

NOW = 1_800_000_000
OURS = "9.9.9.9"


def call(teller: str, *, through: bool, unix: int = NOW, ip: str = OURS) -> Call:
    return call_of(f"/ip4/{teller}/tcp/50000", ip, 4001, unix, came_through=through)


def told(*calls: Call) -> Reachability:
    reachability = Reachability()
    for each in calls:
        reachability.note(each)
    return reachability


@pytest.mark.parametrize(
    ("calls", "reach"),
    [
        ([], Reach.UNKNOWN),
        ([call("8.8.4.1", through=True)], Reach.REACHABLE),
        ([call("8.8.4.1", through=False), call("7.7.7.7", through=True)], Reach.REACHABLE),
        ([call("8.8.4.1", through=False)], Reach.UNKNOWN),
        ([call("8.8.4.1", through=False), call("8.8.4.2", through=False)], Reach.UNKNOWN),
        ([call("8.8.4.1", through=False), call("7.7.7.7", through=False)], Reach.NOT_REACHABLE),
        ([call("10.0.0.1", through=True)], Reach.LOCAL),
        ([call("10.0.0.1", through=False)], Reach.UNKNOWN),
        ([call("10.0.0.1", through=True), call("8.8.4.1", through=False)], Reach.LOCAL),
        (
            [call(ip, through=ip == "10.0.0.1") for ip in ("10.0.0.1", "8.8.4.1", "7.7.7.7")],
            Reach.NOT_REACHABLE,
        ),
    ],
)
def test_n_65_the_calls_of_several_networks_say_whether_a_peer_can_be_reached(
    calls: list[Call], reach: Reach
):
    assert told(*calls).judge(NOW) is reach


def test_n_65_the_last_word_of_a_network_counts():
    reachability = told(call("8.8.4.1", through=True), call("8.8.4.1", through=False))
    assert reachability.judge(NOW) is Reach.UNKNOWN


@pytest.mark.parametrize(
    ("later", "reach"), [(LASTING_SECONDS, Reach.REACHABLE), (LASTING_SECONDS + 1, Reach.UNKNOWN)]
)
def test_old_calls_say_nothing(later: int, reach: Reach):
    assert told(call("8.8.4.1", through=True)).judge(NOW + later) is reach


def test_where_calls_came_through_is_an_address_of_ours():
    calls = told(
        call("8.8.4.1", through=True),
        call("7.7.7.7", through=True),
        call("6.6.6.6", through=False, ip="5.5.5.5"),
    )
    assert calls.confirmed(NOW) == ((OURS, 4001),)
    assert calls.seen_at(NOW) == (OURS, "5.5.5.5")
    assert calls.confirmed(NOW + LASTING_SECONDS + 1) == ()


def test_what_is_remembered_is_bounded():
    calls = told(*(call(f"8.8.{n}.1", through=True, ip=f"9.9.{n}.9") for n in range(100)))
    assert len(calls.seen_at(NOW)) == KEPT_MAX
    assert calls.seen_at(NOW)[-1] == "9.9.99.9"
