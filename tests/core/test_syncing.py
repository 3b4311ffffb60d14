"""What is asked about logs, roots and heads: first who told of it, no more than is needed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from meshnode.core.effects import AskHeads, AskLog, AskRoots, Effect
from meshnode.core.heads import decode_signed_head
from meshnode.core.identifiers import CatalogueId, PeerId, key_id, sha256
from meshnode.core.log import Log
from meshnode.core.names import HeadName, LogId
from meshnode.core.signing import public_key
from meshnode.core.syncing import (
    ASKED_AT_ONCE_MAX,
    ASKED_CATALOGUES_MAX,
    POLL_SECONDS,
    TARGETS_MAX,
    Sync,
)
from tests.core.institutions import Institution, key_of, segment

A, B = PeerId("a"), PeerId("b")


def catalogue(name: str) -> CatalogueId:
    return CatalogueId(sha256(name.encode()))


VILLE = catalogue("Ville")
LOG = LogId(VILLE, key_id(public_key(key_of("writer"))))


@dataclass(slots=True)
class Asking:
    """A sync that follows one catalogue and has polled already; `held` is what it has of a log."""

    peers: tuple[PeerId, ...] = (A, B)
    held: Log = field(default_factory=Log)
    sync: Sync = field(default_factory=lambda: Sync(random.Random(1)))
    now: float = 0.0

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> list[Effect]:
        return list(self.sync.start(self.peers, self.compare, lambda _: self.held, self.now))

    def compare(self, peer: PeerId) -> Iterator[Effect]:
        return self.sync.ask_heads(peer, (VILLE,))

    def asked(self) -> list[tuple[PeerId, int, int]]:
        """Return whom logs are asked of now, for the head of which seq, and which is held."""
        return [
            (ask.peer, ask.wanted.seq, max((head.seq for head in ask.known), default=0))
            for ask in self.start()
            if isinstance(ask, AskLog)
        ]

    def asked_roots(self) -> list[tuple[PeerId, int]]:
        asked = [ask for ask in self.start() if isinstance(ask, AskRoots)]
        return [(ask.peer, ask.after) for ask in asked]


def head(seq: int, branch: str = "") -> HeadName:
    return HeadName(seq, sha256(f"{seq} {branch}".encode()))


def up_to(seq: int) -> Callable[[HeadName], bool]:
    return lambda name: name.seq <= seq


def log_of(heads: int) -> Log:
    made, log = Institution("Ville"), Log()
    for number in range(1, heads + 1):
        made.log.publish(segment(number))
    extension = log.consider([decode_signed_head(h) for h in made.log.heads], 0, made.log.entries)
    log.adopt(extension)  # type: ignore[arg-type]
    return log


# --- Logs -----------------------------------------------------------------------------------------
def test_a_log_is_asked_for_once_from_where_it_is_held() -> None:
    asking = Asking(held=log_of(2))
    asking.sync.want_log(LOG, head(5), B)
    assert asking.asked() == [(B, 5, 2)]
    assert asking.asked() == []


def test_a_log_is_asked_for_until_every_head_heard_of_is_settled() -> None:
    asking = Asking()
    asking.sync.want_log(LOG, head(5), A)
    asking.sync.want_log(LOG, head(3), A)
    assert asking.asked() == [(A, 5, 0)]
    asking.held = log_of(3)
    asking.sync.settle(LOG, up_to(3), A)
    assert asking.asked() == [(A, 5, 3)]
    asking.sync.settle(LOG, up_to(5), A)
    asking.now = 1000.0
    assert asking.asked() == []


def test_what_our_own_publisher_adds_ends_no_question_that_reaches_further() -> None:
    asking = Asking()
    asking.sync.want_log(LOG, head(5), A)
    asking.asked()
    asking.sync.settle(LOG, up_to(4), None)
    assert asking.asked() == []
    asking.sync.log_failed(LOG, A)
    asking.asked()
    asking.now = 2.0
    assert asking.asked() == [(B, 5, 0)]


def test_a_head_that_is_told_after_the_log_was_complete_is_asked_for_anew() -> None:
    asking = Asking()
    asking.sync.want_log(LOG, head(1), A)
    asking.asked()
    asking.sync.settle(LOG, up_to(1), A)
    asking.sync.want_log(LOG, head(2), B)
    assert asking.asked() == [(B, 2, 0)]


def test_after_a_failure_the_next_head_of_the_log_is_asked_for_and_then_the_first_again() -> None:
    asking = Asking(peers=(A,))
    wanted: list[int] = []
    asking.sync.want_log(LOG, head(5, "one"), A)
    asking.sync.want_log(LOG, head(4, "other"), A)
    for _ in range(3):
        asking.now = max(asking.now, asking.sync.next_deadline()) if wanted else asking.now
        wanted += [seq for _, seq, _ in asking.asked()]
        asking.sync.log_failed(LOG, A)
        assert asking.asked() == []
    assert wanted == [5, 4, 5]


def test_a_late_failure_neither_ends_a_newer_question_nor_turns_to_another_head() -> None:
    asking = Asking(peers=(A,))
    asking.sync.want_log(LOG, head(5), A)
    asking.sync.want_log(LOG, head(4, "other"), A)
    asking.asked()
    late = asking.sync.logs.attempt(LOG)
    asking.sync.settle(LOG, lambda _: False, A)
    assert asking.asked() == [(A, 5, 0)]
    asking.sync.log_failed(LOG, A, late)
    assert asking.sync.logs.is_in_flight(LOG, A)
    asking.sync.settle(LOG, lambda _: False, A)
    assert asking.asked() == [(A, 5, 0)]


def test_of_one_log_no_more_heads_are_wanted_than_allowed() -> None:
    asking = Asking()
    wanted: list[tuple[PeerId, int, int]] = []
    for number in range(TARGETS_MAX + 1):
        asking.sync.want_log(LOG, head(number + 1), A)
    for seq in range(1, TARGETS_MAX + 2):
        wanted += asking.asked()
        asking.sync.settle(LOG, up_to(seq), A)
    assert [seq for _, seq, _ in wanted] == list(range(1, TARGETS_MAX + 1))


def test_when_the_asked_peer_leaves_another_is_asked() -> None:
    asking = Asking()
    asking.sync.want_log(LOG, head(1), A)
    asking.asked()
    asking.peers = (B,)
    asking.sync.peer_left(A)
    assert asking.asked() == []
    asking.now = asking.sync.next_deadline()
    assert asking.asked() == [(B, 1, 0)]


def test_a_newcomer_is_asked_at_once_for_what_nobody_had() -> None:
    asking = Asking(peers=(A,))
    asking.sync.want_log(LOG, head(1), A)
    asking.sync.want_roots(VILLE, 0, A)
    asking.start()
    asking.sync.log_failed(LOG, A)
    asking.sync.roots.failed(VILLE, A)
    assert asking.start() == []
    asking.peers = (A, B)
    asking.sync.peer_joined()
    assert {type(ask): ask.peer for ask in asking.start()} == {AskRoots: B, AskLog: B}  # type: ignore[union-attr]


def test_no_more_logs_are_asked_for_at_once_than_allowed() -> None:
    asking = Asking()
    for number in range(ASKED_AT_ONCE_MAX + 3):
        asking.sync.want_log(LogId(catalogue(str(number)), LOG.writer), head(1), A)
    assert len(asking.asked()) == ASKED_AT_ONCE_MAX


def test_a_forgotten_catalogue_is_asked_for_no_more_and_the_others_are() -> None:
    asking = Asking()
    other = LogId(catalogue("other"), LOG.writer)
    asking.sync.want_log(LOG, head(1), A)
    asking.sync.want_log(other, head(1), B)
    asking.sync.want_roots(VILLE, 0, A)
    asking.sync.forget(VILLE)
    assert asking.asked_roots() == []
    asking.sync.want_log(other, head(2), B)
    assert len(asking.sync.logs.in_flight) == 1


# --- Roots ----------------------------------------------------------------------------------------
def test_roots_are_asked_for_above_the_least_version_that_is_wanted() -> None:
    asking = Asking()
    asking.sync.want_roots(VILLE, 4, A)
    asking.sync.want_roots(VILLE, 2, B)
    asking.sync.want_roots(VILLE, 3, B)
    assert asking.asked_roots() == [(B, 2)]
    asking.sync.roots_answered(VILLE)
    asking.sync.want_roots(VILLE, 7, A)
    assert asking.asked_roots() == [(A, 7)]


def test_without_anything_known_roots_are_asked_from_the_first() -> None:
    asking = Asking()
    asking.sync.roots.want(VILLE)
    [(_, after)] = asking.asked_roots()
    assert after == 0


@dataclass(slots=True)
class Polls:
    """One poll after the other, of a peer that nothing else happens to."""

    seed: int
    sync: Sync = field(init=False)

    def __post_init__(self) -> None:
        self.sync = Sync(random.Random(self.seed))

    def next(self, peers: list[PeerId]) -> PeerId:
        """Return whom the next poll asks, of those who are connected then."""
        now = self.sync.next_deadline()
        polled: list[PeerId] = []
        list(self.sync.start(peers, self._note(polled), lambda _: Log(), now))
        [peer] = polled
        return peer

    @staticmethod
    def _note(polled: list[PeerId]) -> Callable[[PeerId], Iterator[Effect]]:
        def compare(peer: PeerId) -> Iterator[Effect]:
            polled.append(peer)
            yield from ()

        return compare


# --- Heads ----------------------------------------------------------------------------------------
def test_a_peer_is_asked_about_heads_every_poll_with_jitter() -> None:
    asking, times = Asking(), [0.0]
    for _ in range(20):
        asking.now = asking.sync.next_deadline()
        times.append(asking.now)
        [asked] = asking.start()
        assert isinstance(asked, AskHeads)
        assert asked.peer in asking.peers
        assert asked.catalogues == (VILLE,)
        assert asking.start() == []
    gaps = [after - before for before, after in pairwise(times)]
    assert all(0.75 * POLL_SECONDS <= gap <= 1.25 * POLL_SECONDS for gap in gaps)
    assert len(set(gaps)) > 1


@given(st.integers(1, 12), st.integers(0, 2**32))
def test_n_95_each_connected_peer_is_polled_once_before_any_again(count: int, seed: int) -> None:
    polls = Polls(seed)
    peers = [PeerId(f"p{number}") for number in range(count)]

    rounds = [[polls.next(peers) for _ in peers] for _ in range(3)]

    assert sorted(rounds[0]) == sorted(peers)
    assert rounds[1] == rounds[2] == rounds[0]


@given(st.integers(0, 2**32))
def test_n_95_who_comes_and_goes_holds_up_nobody(seed: int) -> None:
    polls = Polls(seed)

    polled = [polls.next([A, B, PeerId(f"comes and goes {number}")]) for number in range(4)]

    assert {A, B} <= set(polled)
    assert {A, B} <= set(polled[1:])


def test_n_95_the_order_of_polls_is_a_matter_of_chance() -> None:
    peers = [PeerId(f"p{number}") for number in range(8)]

    assert len({tuple(Polls(seed).next(peers) for _ in peers) for seed in range(8)}) > 1


def test_without_peers_a_poll_asks_nobody() -> None:
    asking = Asking(peers=())
    asking.now = asking.sync.next_deadline()
    assert asking.start() == []
    assert asking.sync.next_deadline() > asking.now


def test_many_catalogues_are_asked_about_in_several_questions() -> None:
    names = [catalogue(str(number)) for number in range(ASKED_CATALOGUES_MAX + 1)]
    first, second = Sync(random.Random(1)).ask_heads(A, names)
    assert (*first.catalogues, *second.catalogues) == tuple(names)
    assert len(first.catalogues) == ASKED_CATALOGUES_MAX
    assert list(Sync(random.Random(1)).ask_heads(A, ())) == []
