"""What peers of a run state: reports about the catalogues, each signed by a peer's own key.

Owns who says what when, and what was confirmed to whoever said it. Whether it reached the others is
checked in `invariants`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from meshnode.core.effects import Answer
from meshnode.core.events import Stated
from meshnode.core.identifiers import CatalogueId, Digest
from meshnode.core.names import Ticket
from meshnode.core.signed import encode_signed
from meshnode.core.signing import public_key, sign
from meshnode.core.statement_bodies import Issue, Problem, encode_body
from meshnode.core.statements import Statement, StatementName, encode_statement
from simulations.machine import Machine
from simulations.settings import Workload
from simulations.world import World

LIFETIME_SECONDS = 10**7  # longer than any run
FIRST_TICKET = 1 << 32  # no publisher counts so far
ISSUERS_MAX = 4  # so that some state again about what they stated before


@dataclass(frozen=True, slots=True)
class _Stated:
    name: StatementName
    version: tuple[int, Digest]
    raw: bytes


@dataclass(slots=True)
class Statements:
    """Invariant: `due` are the greatest confirmed statements of each name."""

    world: World
    _ticket: int = FIRST_TICKET
    due: dict[StatementName, _Stated] = field(default_factory=dict)
    _asked: dict[Ticket, _Stated] = field(default_factory=dict)
    _seqs: dict[StatementName, int] = field(default_factory=dict)

    def schedule(
        self,
        work: Workload,
        machines: Sequence[Machine],
        catalogues: Sequence[CatalogueId],
        rng: random.Random,
    ) -> None:
        """Spread statements over the time of the publications, at peers drawn at random."""
        issuers = rng.sample(machines, min(ISSUERS_MAX, len(machines)))
        keys = {m.name: Ed25519PrivateKey.from_private_bytes(rng.randbytes(32)) for m in issuers}
        span = work.interval_seconds * work.segments_each
        for number in range(work.statements):
            machine = rng.choice(issuers)
            catalogue = rng.choice(catalogues)
            second = work.start_seconds + span * number / work.statements
            state = partial(self._state, machine, keys[machine.name], catalogue)
            self.world.at(second, state)

    def confirm(self, answer: Answer) -> bool:
        """Take the answer to one of these; False if somebody else had asked."""
        stated = self._asked.pop(answer.ticket, None)
        if stated is None:
            return answer.ticket > FIRST_TICKET  # a life that ended had asked
        last = self.due.get(stated.name)
        if not answer.refusal and (last is None or stated.version > last.version):
            self.due[stated.name] = stated
        return True

    def missing(self, machine: Machine) -> int:
        """Count what was confirmed somewhere and is not on this peer's disk, nor anything newer."""
        kept = machine.disk.statements
        return sum(kept.get(name) != stated.raw for name, stated in self.due.items())

    def _state(self, machine: Machine, key: Ed25519PrivateKey, catalogue: CatalogueId) -> None:
        if not machine.running:
            return
        issuer, now = public_key(key), machine.now().unix
        name = StatementName(issuer, "issue", Digest(catalogue))
        self._seqs[name] = seq = self._seqs.get(name, 0) + 1
        body = encode_body(Issue(Problem.OTHER, None, f"report {seq}"))
        said = Statement("issue", issuer, name.subject, seq, now, now + LIFETIME_SECONDS, body)
        signed = sign("statement", encode_statement(said), [key])
        raw = encode_signed(signed)
        self._ticket += 1
        ticket = Ticket(self._ticket)
        self._asked[ticket] = _Stated(name, (seq, signed.digest), raw)
        machine.tell(Stated(ticket, raw))
