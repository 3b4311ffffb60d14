"""What our own publisher is told: done, held already, or why not."""

from __future__ import annotations

import random

import pytest

from meshnode.core.durable import ExtendLog
from meshnode.core.effects import Announce, Answer, Effect
from meshnode.core.events import Followed, Now, StorageFailed, Submitted, Unfollowed
from meshnode.core.gossip import CLOCK_SKEW_SECONDS_MAX
from meshnode.core.names import Ticket
from meshnode.core.node import Node
from tests.core.institutions import ISSUED, Institution, LogCopy, altered, key_of, segment

NOW = Now(0.0, ISSUED)
VILLE = Institution("Ville", ("one", "two"))
ONE, TWO = VILLE.logs
for number in range(1, 4):
    ONE.publish(segment(number))
TWO.publish(segment(1))


def follower() -> Node:
    node = Node(random.Random(1))
    node.handle([Followed(Ticket(0), VILLE.catalogue, (VILLE.raw_root,))], NOW)
    return node


def submit(
    node: Node, heads: list[bytes], first: int = 0, entries: list[bytes] | None = None
) -> tuple[str, list[Effect]]:
    given = ONE.entries[first:] if entries is None else entries
    event = Submitted(Ticket(9), tuple(heads), first, tuple(given))
    effects = node.handle([event], NOW)
    [refusal] = [e.refusal for e in effects if isinstance(e, Answer)]
    return refusal, effects


def kinds(effects: list[Effect]) -> list[type]:
    wanted = (ExtendLog, Announce)
    return [type(effect) for effect in effects if isinstance(effect, wanted)]


def test_a_submission_is_kept_announced_and_confirmed() -> None:
    refusal, effects = submit(follower(), ONE.heads)
    assert refusal == ""
    assert kinds(effects) == [ExtendLog, Announce]


def test_a_retry_of_what_is_held_succeeds_and_changes_nothing() -> None:
    node = follower()
    submit(node, ONE.heads)
    for heads in (ONE.heads, ONE.heads[:1]):
        refusal, effects = submit(node, heads)
        assert refusal == ""
        assert kinds(effects) == []


def test_a_log_may_come_in_several_steps() -> None:
    node = follower()
    assert submit(node, ONE.heads[:1], 0, ONE.entries[:1])[0] == ""
    assert submit(node, ONE.heads[1:], 1)[0] == ""


@pytest.mark.parametrize(
    ("heads", "reason"),
    [
        ([], "heads of one log"),
        ([*ONE.heads, *TWO.heads], "heads of one log"),
        ([b"no head"], "encoding"),
        ([altered(ONE.heads[0], key_of("thief"))], "signature"),
        ([altered(ONE.heads[0], ONE.key, root_version=9)], "root 9 is not known"),
        (
            [altered(ONE.heads[0], ONE.key, issued=ISSUED + CLOCK_SKEW_SECONDS_MAX + 1)],
            "check this machine's clock",
        ),
        (ONE.heads[1:], "does not follow head 0"),
        ([altered(ONE.heads[0], ONE.key, size=2)], "tree hash"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_reason(heads: list[bytes], reason: str) -> None:
    refusal, effects = submit(follower(), heads)
    assert reason in refusal
    assert kinds(effects) == []


def test_another_head_of_a_seq_that_is_held_is_refused() -> None:
    node = follower()
    submit(node, ONE.heads)
    fork = altered(ONE.heads[1], ONE.key, issued=ISSUED + 1)
    assert submit(node, [fork])[0] == "seq 2 is taken by another head"


def test_a_catalogue_that_is_not_followed_takes_nothing() -> None:
    node = follower()
    node.handle([Unfollowed(Ticket(1), VILLE.catalogue)], NOW)
    assert submit(node, ONE.heads)[0] == "this peer does not follow the catalogue"
    stranger: LogCopy = Institution("Stranger").log
    stranger.publish(segment(1))
    assert "not known" in submit(node, stranger.heads, 0, stranger.entries)[0]


def test_a_read_only_peer_says_so() -> None:
    node = follower()
    node.handle([StorageFailed("no space left on device")], NOW)
    assert "read-only: no space left on device" in submit(node, ONE.heads)[0]
    assert node.next_deadline() == float("inf")
