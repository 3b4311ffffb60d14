"""Gossip as it arrives: what is authentic, what may be forwarded, how our heads are announced.

Implements the gossip verdict of protocol/05-sync.md: authenticity only, cheap checks first. Whether
a head extends what is held is decided later, by `log`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from meshnode.core.catalogue import Catalogue
from meshnode.core.encoding import MalformedRecordError
from meshnode.core.forks import decode_fork, is_fork
from meshnode.core.heads import (
    REMEMBERED_HEADS,
    AnnouncedHead,
    Announcement,
    Head,
    SignedHead,
    decode_announcement,
    decode_signed_head,
    encode_announcement,
)
from meshnode.core.identifiers import CatalogueId, Digest, record_digest
from meshnode.core.limits import (
    ANNOUNCED_ENTRIES_MAX,
    ANNOUNCED_ENTRY_BYTES_MAX,
)
from meshnode.core.names import LogId
from meshnode.core.notices import decode_notice, is_notice
from meshnode.core.signed import Signed, encode_signed
from meshnode.core.signing import Verify
from meshnode.core.statements import is_statement
from meshnode.core.trust import UntrustedError
from meshnode.core.verdicts import Check, Verdict

CLOCK_SKEW_SECONDS_MAX = 2 * 3600  # a head issued further ahead is left for later
REMEMBERED_MAX = 4096  # authentic heads whose signature is not checked twice


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a head does not count now. IGNORE: the one who passed it on could not know.

    `lacks_roots` names the catalogue whose newer roots would settle it, if that is the reason.
    """

    verdict: Verdict
    check: Check
    reason: str
    lacks_roots: CatalogueId | None = None


def _no_statements(_raw: bytes, _now_unix: int) -> Refusal:
    return Refusal(Verdict.IGNORE, Check.ROOT, "no statements are kept here")


@dataclass(slots=True)
class Gate:
    """Checks heads against the catalogues known; remembers which signatures held.

    A catalogue that `denies` is not known.
    """

    catalogues: Mapping[CatalogueId, Catalogue]
    verify: Verify
    denies: Callable[[CatalogueId], bool] = lambda _: False
    judge_statement: Callable[[bytes, int], object] = _no_statements
    _authentic: dict[Digest, None] = field(default_factory=dict)

    def read(self, raw: bytes) -> SignedHead | Refusal:
        """Decode and authenticate one signed head."""
        try:
            offered = decode_signed_head(raw)
        except MalformedRecordError as error:
            return Refusal(Verdict.REJECT, Check.ENCODING, str(error))
        head = offered.head
        catalogue = self._known(head.catalogue)
        if catalogue is None or catalogue.chain is None:
            return Refusal(Verdict.IGNORE, Check.ROOT, "catalogue or its root is not known")
        if head.root_version > catalogue.chain.newest_version:
            reason = f"root {head.root_version} is not known"
            return Refusal(Verdict.IGNORE, Check.ROOT, reason, lacks_roots=catalogue.id)
        if catalogue.chain.key_of(head.writer) is None:
            reason = f"no root known lists the writer {head.writer.hex()}"
            return Refusal(Verdict.IGNORE, Check.ROOT, reason, lacks_roots=catalogue.id)
        name = record_digest(raw)
        if name not in self._authentic:
            fault = catalogue.chain.head_fault(head, offered.signed, self.verify)
            if fault is not None:
                return Refusal(Verdict.REJECT, Check.SIGNATURE, fault)
            self._remember(name)
        return offered

    def authenticate(self, signed: Signed) -> SignedHead | Refusal:
        return self.read(_envelope(signed))

    def judge(self, raw: bytes, now_unix: int) -> Refusal | None:
        """Say whether an announcement or a notice may be forwarded: None if so."""
        if is_statement(raw):
            found = self.judge_statement(raw, now_unix)
            return found if isinstance(found, Refusal) else None
        if is_notice(raw):
            return self.judge_notice(raw)
        if is_fork(raw):
            found = self.read_fork(raw)
            return found if isinstance(found, Refusal) else None
        try:
            announcement = decode_announcement(raw)
        except MalformedRecordError as error:
            return Refusal(Verdict.REJECT, Check.ENCODING, str(error))
        ignored: Refusal | None = None
        is_news = False
        for announced in announcement.items:
            refusal = self._judge_head(announced.head, now_unix)
            if refusal is not None and refusal.verdict is Verdict.REJECT:
                return refusal
            ignored = ignored or refusal
            is_news = is_news or refusal is None
        return None if is_news else ignored

    def judge_notice(self, raw: bytes) -> Refusal | None:
        """Say whether a notice is news: None if so."""
        try:
            notice = decode_notice(raw)
        except MalformedRecordError as error:
            return Refusal(Verdict.REJECT, Check.ENCODING, str(error))
        catalogue = self._known(notice.catalogue)
        if catalogue is None or catalogue.chain is None:
            return Refusal(Verdict.IGNORE, Check.ROOT, "catalogue or its root is not known")
        try:
            is_news = catalogue.learns(notice, self.verify)
        except (MalformedRecordError, UntrustedError) as error:
            return Refusal(Verdict.REJECT, Check.ROOT, str(error))
        if not is_news:
            return Refusal(Verdict.IGNORE, Check.ROOT, "it is held, or follows what is not")
        return None

    def read_fork(self, raw: bytes) -> tuple[SignedHead, SignedHead] | Refusal:
        """Decode evidence of a fork of a log, and authenticate both sides, if it is news."""
        try:
            fork = decode_fork(raw)
        except MalformedRecordError as error:
            return Refusal(Verdict.REJECT, Check.ENCODING, str(error))
        if fork.a.kind != "head":
            return Refusal(Verdict.IGNORE, Check.ROOT, "rival roots come as notices")
        heads = []
        for signed in (fork.a, fork.b):
            offered = self.authenticate(signed)
            if isinstance(offered, Refusal):
                return offered
            heads.append(offered)
        if not self.catalogues[heads[0].head.catalogue].is_earlier(heads[0].head):
            return Refusal(Verdict.IGNORE, Check.CHAIN, "as early a fork is known")
        return heads[0], heads[1]

    def _judge_head(self, signed: Signed, now_unix: int) -> Refusal | None:
        offered = self.authenticate(signed)
        if isinstance(offered, Refusal):
            return offered
        head = offered.head
        if not is_due(head, now_unix):
            return Refusal(Verdict.IGNORE, Check.CLOCK, "the head is issued in the future")
        catalogue = self.catalogues[head.catalogue]
        if catalogue.is_void(head.writer, offered.name):
            return Refusal(Verdict.IGNORE, Check.ROOT, f"the log is closed before head {head.seq}")
        log = catalogue.logs.get(head.writer)
        if log is not None and log.holds(offered.name) and not log.is_newest(offered.name):
            # Whoever lacks it needs the newer one; old heads replayed are not carried round again.
            return Refusal(Verdict.IGNORE, Check.CHAIN, f"a newer head than {head.seq} is held")
        return None

    def _known(self, catalogue: CatalogueId) -> Catalogue | None:
        return None if self.denies(catalogue) else self.catalogues.get(catalogue)

    def _remember(self, name: Digest) -> None:
        self._authentic[name] = None
        if len(self._authentic) > REMEMBERED_MAX:
            del self._authentic[next(iter(self._authentic))]


_envelope = lru_cache(REMEMBERED_HEADS)(encode_signed)  # of heads: announced by many peers


def is_due(head: Head, now_unix: int) -> bool:
    """Say whether a head may count now; one from the future is left for later."""
    return head.issued <= now_unix + CLOCK_SKEW_SECONDS_MAX


def log_of(head: Head) -> LogId:
    return LogId(head.catalogue, head.writer)


def announce(head: SignedHead, first: int, entries: Sequence[bytes]) -> bytes:
    """Return the announcement of a head, with the entries it adds where they fit."""
    fits = sum(map(len, entries)) <= ANNOUNCED_ENTRY_BYTES_MAX
    fits = fits and len(entries) <= ANNOUNCED_ENTRIES_MAX
    item = AnnouncedHead(head.signed, first, tuple(entries) if fits else ())
    return encode_announcement(Announcement((item,)))
