"""A thief with a writer's key: signs another end of the log at a peer of his own.

He begins at what his peer holds, so that what he signs is authentic to the last byte. The owner
knows nothing of it and goes on: the log forks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from meshnode.core.authoring import LogState, extend
from meshnode.core.entries import ItemsRemoved, Reason
from meshnode.core.events import Submitted
from meshnode.core.heads import decode_signed_head
from meshnode.core.identifiers import sha256
from meshnode.core.merkle import Frontier, leaf_hash
from meshnode.core.names import LogId, SegmentKey, Ticket
from meshnode.core.roots import LastHead, encode_root
from simulations.ledger import NamedSegment, PublishedLog, Withdrawal
from simulations.machine import Machine
from simulations.workload import (
    COLLECTION,
    Institutions,
    Publisher,
    first_item,
    segment_added,
    sign_root,
)
from simulations.world import EPOCH_UNIX, World

ISSUED_LATER_SECONDS = 1  # than now; his heads are not those of the owner even with equal entries


@dataclass(frozen=True, slots=True)
class Thief:
    """Holds the key of one writer."""

    world: World
    institutions: Institutions
    victim: Publisher

    def steal(self, machine: Machine, heads: int) -> int:
        """Sign and submit so many heads at a peer; return how many were signed.

        None are if the peer does not run, or holds nothing of the log yet.
        """
        log = self.victim.log
        if not machine.running or log not in machine.disk.logs:
            return 0
        held = machine.disk.logs[log]
        stolen = PublishedLog(machine.name, [raw for _, raw in held.heads], list(held.entries))
        self.institutions.ledger.stolen[log] = stolen
        first = len(stolen.entries)
        for _ in range(heads):
            self._sign(machine, stolen, log)
        raws = tuple(stolen.heads[-heads:])
        ticket = Ticket(self.world.take_number())
        self.institutions.not_ours.add(ticket)
        machine.tell(Submitted(ticket, raws, first, tuple(stolen.entries[first:])))
        return heads

    def _withdrawal(self, stolen: PublishedLog, log: LogId, clock: int) -> ItemsRemoved:
        """Withdraw an item of the owner's second publication."""
        item, ledger = first_item(log, 2), self.institutions.ledger
        place = len(stolen.entries) + 1
        ledger.stolen_withdrawals.append(Withdrawal(log, place, item, clock))
        return ItemsRemoved(clock, COLLECTION, (item[2],), Reason.ERROR, None)

    def close(self) -> None:
        """Let the institution sign its next root, which closes the log at the owner's last head."""
        institution, ledger = self.victim.institution, self.institutions.ledger
        log, catalogue = self.victim.log, self.victim.institution.catalogue
        good = decode_signed_head(self._last_good_head())
        last = LastHead(good.head.seq, good.signed.digest)
        writers = [
            replace(writer, closed=last) if writer.kid == log.writer else writer
            for writer in institution.root.writers
        ]
        root = replace(
            institution.root,
            version=institution.root.version + 1,
            prev=sha256(encode_root(institution.root)),
            issued=EPOCH_UNIX + int(self.world.now),
            writers=tuple(writers),
        )
        ledger.closings[log] = good.head.size
        ledger.roots[catalogue].append(sign_root(root, institution.root_key))
        self.institutions.publish_roots(self.victim)

    def _last_good_head(self) -> bytes:
        """Return the newest head of the owner that his peer took."""
        honest = self.institutions.ledger.logs[self.victim.log]
        return honest.heads[honest.acknowledged - 1]

    def _sign(self, machine: Machine, stolen: PublishedLog, log: LogId) -> None:
        newest = decode_signed_head(stolen.heads[-1])
        clock = machine.node.catalogues[log.catalogue].contents.clock + len(stolen.entries)
        digest = sha256(f"stolen {log.writer.hex()} {len(stolen.entries)}".encode())
        workload, ledger = self.institutions.workload, self.institutions.ledger
        machine.store(digest, workload.segment_bytes)
        key = SegmentKey(log.catalogue, COLLECTION, digest)
        ledger.stolen_segments[key] = NamedSegment(log, len(stolen.entries))
        frontier = Frontier().extend([leaf_hash(raw) for raw in stolen.entries])
        raw, _, raws = extend(
            LogState(
                log.catalogue, log.writer, newest.head.root_version, newest, frontier, clock - 1
            ),
            [segment_added(workload, digest, clock), self._withdrawal(stolen, log, clock + 1)],
            issued=EPOCH_UNIX + int(self.world.now) + ISSUED_LATER_SECONDS,
            next_by=None,
            sign=self.victim.sign_head,
        )
        stolen.heads.append(raw)
        stolen.entries += raws
