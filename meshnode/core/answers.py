"""What peers answer when they are asked for heads, roots, logs and records (protocol/05-sync.md).

An answer that was not asked for, or comes too late, is passed over; one that breaks a rule is its
sender's fault.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import assert_never

from meshnode.core.catalogue import Catalogue
from meshnode.core.effects import (
    Announce,
    AskHeads,
    AskLog,
    AskRoots,
    AskSnapshot,
    Effect,
    FetchObject,
)
from meshnode.core.encoding import MalformedRecordError
from meshnode.core.events import (
    HeadsReceived,
    LogReceived,
    Now,
    RequestFailed,
    RootsReceived,
    SnapshotReceived,
)
from meshnode.core.exchange import AskHello, AskRecon, AskRecords, RecordsReceived
from meshnode.core.federation import Federation
from meshnode.core.forks import Evidence, is_fork
from meshnode.core.gossip import Gate, Refusal, announce, is_due, log_of
from meshnode.core.heads import SignedHead
from meshnode.core.identifiers import Digest, PeerId
from meshnode.core.log import Extension, LogFault
from meshnode.core.names import RootName
from meshnode.core.newest import record_name
from meshnode.core.notices import decode_notice, is_notice
from meshnode.core.signed import encode_signed
from meshnode.core.statements import is_statement
from meshnode.core.trust import UntrustedError
from meshnode.core.verdicts import Check, Topic, Verdict


@dataclass(frozen=True, slots=True)
class Answers:
    """Reactions to answers, and to questions that found none."""

    federation: Federation
    gate: Gate

    def heads(self, event: HeadsReceived, now: Now) -> Iterator[Effect]:
        for name in event.roots:
            self._hear_of_root(name, event.peer)
        for raw in event.raws:
            refusal = yield from self._hear_of_head(raw, event.peer, now)
            if refusal is not None and refusal.verdict is Verdict.REJECT:
                yield self.federation.peers.blame(event.peer, refusal.check, refusal.reason)
                return

    def records(self, event: RecordsReceived, now: Now) -> Iterator[Effect]:
        """Take in what a comparison showed to be lacking; a peer gives what it was asked for."""
        comparisons = self.federation.comparisons
        owed, came = comparisons.owed(event), dict[Digest, None]()
        for raw in event.raws if owed else ():
            try:
                name = record_name(raw)
            except MalformedRecordError as error:
                yield from comparisons.end(event.peer, Check.ENCODING, str(error))
                return
            if name not in owed:
                reason = "a record that was not asked for"
                yield from comparisons.end(event.peer, Check.CONTENT_HASH, reason)
                return
            came[name] = None
            refusal = yield from self._record(raw, name, event.peer, now)
            if refusal is not None and refusal.verdict is Verdict.REJECT:
                yield from comparisons.end(event.peer, refusal.check, refusal.reason)
                return
        if owed:
            yield from comparisons.received(event.peer, came)

    def roots(self, event: RootsReceived) -> Iterator[Effect]:
        peer, catalogue = event.peer, self.federation.catalogues.get(event.catalogue)
        if catalogue is None or not self.federation.sync.roots.is_in_flight(catalogue.id, peer):
            return
        try:
            yield from self.federation.learn_roots(catalogue, event.raws, peer)
        except MalformedRecordError as error:
            yield self.federation.peers.blame(peer, Check.ENCODING, str(error))
        except UntrustedError as error:
            yield self.federation.peers.blame(peer, Check.ROOT, str(error))
        self._roots_asked(catalogue, peer)

    def log(self, event: LogReceived, now: Now) -> Iterator[Effect]:
        if not self.federation.sync.logs.is_in_flight(event.log, event.peer):
            return
        catalogue = self.federation.catalogues[event.log.catalogue]
        heads = self._heads_of(event, now)
        if isinstance(heads, LogFault):
            yield from self._log_refused(event, (), heads)
            return
        beginning = self.federation.sync.beginning(event.log)
        asked = (event.log.writer, heads, event.first, event.entries)
        result = catalogue.consider(*asked, beginning)
        if isinstance(result, LogFault) and beginning is not None:
            self.federation.sync.log_failed(event.log, event.peer)  # the snapshot may be at fault
        elif isinstance(result, LogFault):
            yield from self._log_refused(event, heads, result)
        elif result.heads:
            yield from self._caught_up(event, catalogue, result, now)
        else:
            self.federation.sync.log_failed(event.log, event.peer)
            yield from self.federation.recall(event.log)

    def snapshot(self, event: SnapshotReceived) -> None:
        self.federation.replica.objects[event.beginning.ref.object] = None
        self.federation.sync.snapshot_received(event.log, event.peer, event.beginning)

    def failed(self, event: RequestFailed, now: Now) -> Iterator[Effect]:
        match event.request:
            case AskHeads():
                pass  # the next poll asks again
            case AskHello() | AskRecon() | AskRecords():
                self.federation.comparisons.failed(event.request)
            case AskRoots(peer, catalogue, attempt=attempt):
                if self.federation.sync.roots.is_in_flight(catalogue, peer, attempt):
                    self._roots_asked(self.federation.catalogues[catalogue], peer)
            case AskLog(peer, log, attempt=attempt) | AskSnapshot(peer, log, attempt=attempt):
                self.federation.sync.log_failed(log, peer, attempt)
            case FetchObject(peer):
                self.federation.holders.gave_nothing(peer, now.monotonic)
                is_at_fault = event.check is not None
                self.federation.replica.fetch_failed(event.request, at_fault=is_at_fault)
            case _:
                assert_never(event.request)
        if event.check is not None:
            yield self.federation.peers.blame(event.request.peer, event.check, event.reason)

    def _hear_of_head(
        self, raw: bytes, peer: PeerId, now: Now
    ) -> Generator[Effect, None, Refusal | None]:
        """Follow a log to a head that a peer told of; return why not, if it cannot be read now."""
        offered = self.gate.read(raw)
        if isinstance(offered, Refusal):
            if offered.lacks_roots is not None:
                self.federation.want_roots(self.federation.catalogues[offered.lacks_roots], peer)
            return offered
        self.federation.hear_of_head(offered, peer, now)
        catalogue = self.federation.catalogues[offered.head.catalogue]
        if self.federation.is_news(catalogue, offered, now):
            yield from self.federation.dispute(catalogue, offered)
        elif catalogue.is_settled(offered.head.writer, offered.name):
            self.federation.newest.settle(offered.signed.digest)
        return None

    def _record(
        self, raw: bytes, name: Digest, peer: PeerId, now: Now
    ) -> Generator[Effect, None, Refusal | None]:
        if is_statement(raw):
            return (yield from self._statement(raw, name, now))
        if is_notice(raw):
            return (yield from self._notice(raw, peer))
        if is_fork(raw):
            return (yield from self._fork(raw, name, peer, now))
        return (yield from self._hear_of_head(raw, peer, now))

    def _statement(
        self, raw: bytes, name: Digest, now: Now
    ) -> Generator[Effect, None, Refusal | None]:
        """Keep a statement and announce it: what is lacking here others may lack."""
        claims = self.federation.claims
        found = claims.judge(raw, now.unix)
        if isinstance(found, Refusal):
            if found.verdict is Verdict.IGNORE and not claims.is_foreign(raw):
                self.federation.newest.settle(name)
            return found
        yield from claims.take(found)
        yield Announce(raw, Topic.CLAIMS)
        return None

    def _notice(self, raw: bytes, peer: PeerId) -> Generator[Effect, None, Refusal | None]:
        """Learn a root or purge; if it follows what is not held, ask for what is between."""
        refusal = self.gate.judge_notice(raw)
        notice = decode_notice(raw)
        if refusal is None:
            catalogue = self.federation.catalogues[notice.catalogue]
            roots = [encode_signed(notice.signed)]
            yield from self.federation.learn_roots(catalogue, roots, peer)
        elif refusal.verdict is Verdict.IGNORE:
            digest = notice.signed.digest
            self._hear_of_root(RootName(notice.catalogue, notice.version, digest), peer)
        return refusal

    def _fork(
        self, raw: bytes, name: Digest, peer: PeerId, now: Now
    ) -> Generator[Effect, None, Refusal | None]:
        """Keep evidence of a fork and announce it: what is lacking here others may lack."""
        found = self.gate.read_fork(raw)
        if isinstance(found, Refusal):
            if found.lacks_roots is not None:
                self.federation.want_roots(self.federation.catalogues[found.lacks_roots], peer)
            elif found.verdict is Verdict.IGNORE:
                self.federation.newest.settle(name)
            return found
        head = found[0].head
        yield from self.federation.keep(log_of(head), Evidence(head.seq, raw))
        yield Announce(raw, Topic.STATEMENTS)
        for offered in found:
            self.federation.hear_of_head(offered, peer, now)
        return None

    def _hear_of_root(self, name: RootName, peer: PeerId) -> None:
        catalogue = self.federation.catalogues.get(name.catalogue)
        if catalogue is None or catalogue.chain is None or catalogue.chain.holds(name.digest):
            return
        after = min(name.version - 1, catalogue.chain.current.version)
        self.federation.want_roots(catalogue, peer, after)

    def _roots_asked(self, catalogue: Catalogue, peer: PeerId) -> None:
        """A peer was asked for roots, in vain or not: only the first is asked for until found."""
        if catalogue.chain is None:
            self.federation.sync.roots.failed(catalogue.id, peer)
        else:
            self.federation.sync.roots_answered(catalogue.id)

    def _heads_of(self, event: LogReceived, now: Now) -> list[SignedHead] | LogFault:
        """Return the answer's heads up to the first that cannot count yet."""
        heads: list[SignedHead] = []
        for raw in event.heads:
            offered = self.gate.read(raw)
            if isinstance(offered, Refusal):
                if offered.verdict is Verdict.REJECT:
                    return LogFault(offered.check, offered.reason)
                break
            if log_of(offered.head) != event.log:
                return LogFault(Check.CHAIN, "a head of another log")
            if not is_due(offered.head, now.unix):
                break
            heads.append(offered)
        return heads

    def _log_refused(
        self, event: LogReceived, heads: Sequence[SignedHead], fault: LogFault
    ) -> Iterator[Effect]:
        if not fault.is_excess:
            yield self.federation.peers.blame(event.peer, fault.check, fault.reason)
            self.federation.sync.log_failed(event.log, event.peer)
            return
        catalogue = self.federation.catalogues[event.log.catalogue]
        for head in heads:
            yield from self.federation.dispute(catalogue, head)
        catalogue.log(event.log.writer).refuse(heads[-1].name)
        is_settled = partial(catalogue.is_settled, event.log.writer)
        self.federation.sync.settle(event.log, is_settled, event.peer)

    def _caught_up(
        self, event: LogReceived, catalogue: Catalogue, extension: Extension, now: Now
    ) -> Iterator[Effect]:
        """Adopt what was asked for. What gossip did not bring here it may not have brought to
        others either, so a log that was already known is announced again.
        """
        was_known = catalogue.log(event.log.writer).newest_seq > 0
        yield from self.federation.adopt(event.log, extension, event.peer, now)
        if was_known:
            newest = extension.heads[-1]
            yield Announce(announce(newest, newest.head.size, ()))
