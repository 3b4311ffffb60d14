"""Volunteers who plan in rounds, who come and go, lie, or cannot be reached."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from meshnode.core.identifiers import sha256
from meshnode.core.placement.archive import (
    EXTENT_BYTES,
    Archive,
    ArchivePayload,
    Integers,
)
from meshnode.core.placement.balance import Balance
from meshnode.core.placement.patience import PERIOD_SECONDS, Patience
from meshnode.core.placement.planning import Plan, Situation, plan
from meshnode.core.placement.policy import DEFAULTS, PERMILLE, Policy
from meshnode.core.placement.volunteers import CLAIM_SECONDS, Volunteer, Volunteers, copy_permille

PAYLOAD_EXTENTS = 20
PIECE_BYTES = 16 << 20
CLAIM_ROUNDS = CLAIM_SECONDS // PERIOD_SECONDS
Rule = Callable[[Situation, np.random.Generator], Plan]


@dataclass(frozen=True, slots=True)
class Setting:
    """One world.

    Args:
        volunteers: How many.
        extents: Of 1 GiB, in payloads of 20.
        capacity: Extents that each volunteer gives.
        view: Share of others' claims that a node has at hand in each round; others miss by chance.
        liars: Share of volunteers that claim and hold nothing; an audit finds one when it is due.
        unreachable: Share of volunteers that cannot be dialled.
        audit_rounds: How long it takes until a liar is found out, and an honest one is believed.
        fetches: Extents that a volunteer can fetch in a round.
    """

    volunteers: int
    extents: int
    capacity: int = 465
    view: float = 1.0
    liars: float = 0.0
    unreachable: float = 0.0
    audit_rounds: int = 0
    fetches: int = 465
    policy: Policy = DEFAULTS
    seed: int = 1


@dataclass(slots=True)
class Person:
    """One volunteer as it is."""

    key_digest: bytes
    honest: bool
    reachable: bool
    since: int
    patience: Patience
    held: Integers = field(default_factory=lambda: np.zeros(0, np.int64))


@dataclass(slots=True)
class Count:
    """What happened in one round."""

    fetched: int = 0
    dropped: int = 0


class World:
    """The archive, those who hold it, and those who left and are still believed to hold theirs."""

    def __init__(self, setting: Setting, rule: Rule | None = None) -> None:
        self.setting = setting
        self.rule = rule or (lambda situation, _: plan(situation))
        self.chance = np.random.default_rng(setting.seed)
        self.archive = archive_of(setting.extents, setting.policy)
        self.round = 0
        self.people: list[Person] = []
        self.gone: deque[tuple[int, Person]] = deque()  # with the round in which each left
        self.counts: list[Count] = []
        self._born = 0
        for _ in range(setting.volunteers):
            self.join()

    def join(self) -> None:
        """Let one more volunteer begin, with nothing."""
        name = sha256(b"volunteer %d %d" % (self.setting.seed, self._born))
        honest, reachable = self.chance.random(2)
        self._born += 1
        self.people.append(
            Person(
                name,
                honest >= self.setting.liars,
                reachable >= self.setting.unreachable,
                self.round,
                Patience.new(len(self.archive)),
            )
        )

    def leave(self, place: int) -> int:
        """Let one go for ever, and return how many true copies went with it."""
        person = self.people.pop(place)
        self.gone.append((self.round, person))
        return len(person.held) if person.honest else 0

    def step(self) -> Count:
        """Let everyone plan once, at the same moment, and do what it planned."""
        count = Count()
        while self.gone and self.round - self.gone[0][0] > CLAIM_ROUNDS:
            self.gone.popleft()
        seen = self._claims()
        whole = None
        if self.setting.view >= 1:
            volunteers = Volunteers(seen, len(self.archive))
            whole = volunteers, Balance.of(self.archive, volunteers)
        plans = [self._plan(place, seen, whole) for place in range(len(self.people))]
        for person, planned in zip(self.people, plans, strict=True):
            person.patience = planned.patience
            left = np.setdiff1d(person.held, np.array(planned.drop, np.int64))
            person.held = np.union1d(left, np.array(planned.fetch, np.int64)).astype(np.int64)
            if person.honest:
                count.fetched += len(planned.fetch)
                count.dropped += len(planned.drop)
        self.round += 1
        self.counts.append(count)
        return count

    def rest(self, rounds: int) -> None:
        """Let time pass in which nobody would do anything: all know the same, and nothing changes.

        Raises:
            ValueError: views are partial; then what is seen changes from round to round.
        """
        if self.setting.view < 1:
            raise ValueError("with partial views each round is another one")
        self.round += rounds

    def settle(self, rounds_max: int) -> int:
        """Go on until nobody does anything for longer than the greatest patience; return rounds."""
        quiet = 0
        for rounds in range(rounds_max):
            count = self.step()
            quiet = 0 if count.fetched or count.dropped else quiet + 1
            if quiet > self.setting.policy.hard_pressed + 1:
                return rounds + 1
        return rounds_max

    def copies(self, *, reachable_only: bool = False) -> Integers:
        """Return the true copies of each extent."""
        held = [
            person.held
            for person in self.people
            if person.honest and (person.reachable or not reachable_only)
        ]
        joined = np.concatenate([np.zeros(0, np.int64), *held])
        return np.bincount(joined, minlength=len(self.archive)).astype(np.int64)

    def _plan(
        self, place: int, seen: list[Volunteer], whole: tuple[Volunteers, Balance] | None
    ) -> Plan:
        person, setting = self.people[place], self.setting
        if whole is None:
            others = self.chance.random(len(seen)) < setting.view
            others[place] = True
            at_hand = [one for one, there in zip(seen, others.tolist(), strict=True) if there]
            me = int(np.count_nonzero(others[:place]))
            volunteers = Volunteers(at_hand, len(self.archive))
            balance = Balance.of(self.archive, volunteers)
        else:
            (volunteers, balance), me = whole, place
        situation = Situation(
            self.archive,
            volunteers,
            balance,
            me,
            setting.capacity * EXTENT_BYTES,
            setting.fetches,
            person.patience,
            self.round * PERIOD_SECONDS,
        )
        return self.rule(situation, self.chance)

    def _claims(self) -> list[Volunteer]:
        """Return what all say of themselves, and what audits say of them."""
        return [self._claim(person) for person in self.people] + [
            self._claim(person) for _, person in self.gone
        ]

    def _claim(self, person: Person) -> Volunteer:
        setting = self.setting
        looked_at = self.round - person.since >= setting.audit_rounds
        weight = copy_permille(
            PERMILLE,
            audited_seconds=0 if looked_at and person.honest else None,
            failed=looked_at and not person.honest,
            reachable=person.reachable,
        )
        return Volunteer(
            person.key_digest,
            setting.capacity,
            setting.capacity - len(person.held),
            weight,
            person.held,
            audited=looked_at and person.honest,
            reachable=person.reachable,
        )


def archive_of(extents: int, policy: Policy = DEFAULTS) -> Archive:
    """Return an archive of so many extents, in payloads of 20 and one of the rest."""
    whole, rest = divmod(extents, PAYLOAD_EXTENTS)
    sizes = [PAYLOAD_EXTENTS] * whole + [rest] * (rest > 0)
    return Archive(
        tuple(
            ArchivePayload(
                sha256(b"payload %d" % place),
                size * EXTENT_BYTES,
                PIECE_BYTES,
            )
            for place, size in enumerate(sizes)
        ),
        policy,
    )
