"""What is gossiped: announcements of heads, notices of roots and purges, evidence, statements.

Its forwarder answers for authenticity alone. Owns what each message leads to; the verdict on
passing it on is given by `gossip`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from meshnode.core.effects import Effect
from meshnode.core.encoding import MalformedRecordError
from meshnode.core.events import AnnouncementReceived, Now
from meshnode.core.federation import Federation
from meshnode.core.forks import Evidence, is_fork
from meshnode.core.gossip import Gate, Refusal, log_of
from meshnode.core.heads import AnnouncedHead, SignedHead, decode_announcement
from meshnode.core.identifiers import PeerId
from meshnode.core.log import Extension, LogFault
from meshnode.core.notices import decode_notice, is_notice
from meshnode.core.signed import encode_signed
from meshnode.core.statements import is_statement
from meshnode.core.verdicts import Check, Verdict


@dataclass(frozen=True, slots=True)
class Announcements:
    """Reactions to what came by gossip."""

    federation: Federation
    gate: Gate

    def received(self, event: AnnouncementReceived, now: Now) -> Iterator[Effect]:
        """Take a message. If its entries do not fit, the log is asked for, and nobody is blamed."""
        if is_statement(event.raw):
            yield from self._statement(event.peer, event.raw, now)
        elif is_notice(event.raw):
            yield from self._notice(event.peer, event.raw)
        elif is_fork(event.raw):
            yield from self._fork(event.peer, event.raw, now)
        else:
            yield from self._heads(event.peer, event.raw, now)

    def _heads(self, peer: PeerId, raw: bytes, now: Now) -> Iterator[Effect]:
        try:
            announcement = decode_announcement(raw)
        except MalformedRecordError as error:
            yield self.federation.peers.blame(peer, Check.ENCODING, str(error))
            return
        for announced in announcement.items:
            offered = self.gate.authenticate(announced.head)
            if isinstance(offered, SignedHead):
                yield from self._head(peer, offered, announced, now)
            elif offered.verdict is Verdict.REJECT:
                yield self.federation.peers.blame(peer, offered.check, offered.reason)
                return

    def _head(
        self, peer: PeerId, offered: SignedHead, announced: AnnouncedHead, now: Now
    ) -> Iterator[Effect]:
        log = log_of(offered.head)
        catalogue = self.federation.catalogues[log.catalogue]
        if not self.federation.is_news(catalogue, offered, now):
            return
        yield from self.federation.dispute(catalogue, offered)
        result = catalogue.consider(log.writer, [offered], announced.first, announced.entries)
        if isinstance(result, Extension) and result.heads:
            yield from self.federation.adopt(log, result, peer, now)
        elif isinstance(result, LogFault) and result.is_excess:
            catalogue.log(log.writer).refuse(offered.name)
        else:
            self.federation.want_log(catalogue, offered, peer)
            yield from self.federation.recall(log)

    def _fork(self, peer: PeerId, raw: bytes, now: Now) -> Iterator[Effect]:
        """Keep evidence of a fork, and follow both its sides."""
        found = self.gate.read_fork(raw)
        if isinstance(found, Refusal):
            if found.verdict is Verdict.REJECT:
                yield self.federation.peers.blame(peer, found.check, found.reason)
            return
        head = found[0].head
        yield from self.federation.keep(log_of(head), Evidence(head.seq, raw))
        for offered in found:
            self.federation.hear_of_head(offered, peer, now)

    def _statement(self, peer: PeerId, raw: bytes, now: Now) -> Iterator[Effect]:
        found = self.federation.claims.judge(raw, now.unix)
        if not isinstance(found, Refusal):
            yield from self.federation.claims.take(found)
        elif found.verdict is Verdict.REJECT:
            yield self.federation.peers.blame(peer, found.check, found.reason)

    def _notice(self, peer: PeerId, raw: bytes) -> Iterator[Effect]:
        refusal = self.gate.judge_notice(raw)
        if refusal is None:
            notice = decode_notice(raw)
            catalogue = self.federation.catalogues[notice.catalogue]
            roots = [encode_signed(notice.signed)]
            yield from self.federation.learn_roots(catalogue, roots, peer)
        elif refusal.verdict is Verdict.REJECT:
            yield self.federation.peers.blame(peer, refusal.check, refusal.reason)
