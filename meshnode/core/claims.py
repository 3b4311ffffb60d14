"""The statements that this peer keeps and passes on (protocol/02-records.md, "Statements").

Owns which are kept: about what, until when, how many of one issuer and in all. Which of one issuer
are kept follows from the set of those that came, in any order. A claim changes no catalogue.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from meshnode.core.catalogue import Catalogue
from meshnode.core.durable import DropStatements, KeepStatement
from meshnode.core.encoding import MalformedRecordError
from meshnode.core.gossip import CLOCK_SKEW_SECONDS_MAX, Refusal
from meshnode.core.identifiers import CatalogueId, Digest, PublicKey, sha256
from meshnode.core.limits import ISSUER_BYTES_MAX
from meshnode.core.signing import Verify, is_admissible, signed_bytes
from meshnode.core.statements import (
    SignedStatement,
    Statement,
    StatementName,
    decode_signed_statement,
)
from meshnode.core.verdicts import Check, Verdict

CLAIMS_BYTES_MAX: Final = 16 << 20  # of all issuers: a few ten thousand statements
CLAIMS_BYTES_LEFT: Final = 15 << 20  # after some had to go: not at each statement anew
FOREVER: Final = 1 << 62

Kept = dict[StatementName, SignedStatement]


@dataclass(slots=True)
class Claims:
    """Invariant: each is authentic, about something that is followed, and the newest of its name;
    those of one issuer take at most ISSUER_BYTES_MAX.

    Args:
        changed: told of each catalogue of which something is claimed, or not any more.
    """

    catalogues: Mapping[CatalogueId, Catalogue]
    verify: Verify
    changed: Callable[[CatalogueId], None]
    _kept: dict[PublicKey, Kept] = field(default_factory=dict)
    _about: dict[CatalogueId, Kept] = field(default_factory=dict)
    _by_subject: dict[Digest, Kept] = field(default_factory=dict)
    _bytes: int = 0
    _soonest: int = FOREVER  # unix second at which the first may expire

    def __iter__(self) -> Iterator[SignedStatement]:
        return (each for kept in self._kept.values() for each in kept.values())

    def about(self, catalogue: CatalogueId) -> Iterable[SignedStatement]:
        """Return those about a catalogue, a segment or a payload of it."""
        return self._about.get(catalogue, {}).values()

    def of_kind(self, kind: str, subject: Digest) -> Iterator[Statement]:
        """Yield those of one kind about this very subject."""
        kept = list(self._by_subject.get(subject, {}).items())
        return (each.statement for name, each in kept if name.kind == kind)

    def judge(self, raw: bytes, now_unix: int) -> SignedStatement | Refusal:
        """Say whether a statement is authentic and news: cheap checks first."""
        try:
            offered = decode_signed_statement(raw)
        except MalformedRecordError as error:
            return Refusal(Verdict.REJECT, Check.ENCODING, str(error))
        if reason := self._useless(offered, now_unix):
            return Refusal(Verdict.IGNORE, Check.CLOCK, reason)
        if not self._fits(offered):
            return Refusal(Verdict.IGNORE, Check.FRAME, "its issuer's room is taken by newer ones")
        if not self._is_authentic(offered):
            return Refusal(Verdict.REJECT, Check.SIGNATURE, "the issuer's signature does not hold")
        return offered

    def is_foreign(self, raw: bytes) -> bool:
        """Say whether a statement is about nothing that is known here: not yet, perhaps."""
        try:
            offered = decode_signed_statement(raw)
        except MalformedRecordError:
            return False
        return not self._is_known(offered)

    def take(self, offered: SignedStatement) -> Iterator[KeepStatement | DropStatements]:
        """Keep a statement that was judged to be news, and drop what has no room beside it."""
        dropped = self._crowded_out(offered)
        self._remove(dropped)
        self._remove([offered.name])
        self._insert(offered)
        yield KeepStatement(offered.name, offered.raw)
        if self._bytes > CLAIMS_BYTES_MAX:
            dropped += self._make_room()
        if dropped:
            yield DropStatements(tuple(dropped))

    def is_due(self, now_unix: int) -> bool:
        """Say whether any may have expired; while none has, that costs one comparison."""
        return now_unix >= self._soonest

    def expire(self, now_unix: int) -> Iterator[DropStatements]:
        """Drop what is past its time."""
        gone = [each.name for each in self if each.statement.expires <= now_unix]
        self._remove(gone)
        self._soonest = min((each.statement.expires for each in self), default=FOREVER)
        if gone:
            yield DropStatements(tuple(gone))

    def leave(self, catalogue: CatalogueId) -> Iterator[DropStatements]:
        """Drop what is about a catalogue that is followed no longer, and about no other."""
        gone = [
            each.name
            for each in self.about(catalogue)
            if not any(self.catalogues[other].followed for other in self._scope(each))
        ]
        self._remove(gone)
        if gone:
            yield DropStatements(tuple(gone))

    def restore(self, raws: Iterable[bytes]) -> Iterator[DropStatements]:
        """Take over what was kept, once it is known what is followed; drop what is of no use."""
        gone = []
        for raw in raws:
            offered = self.judge(raw, 0)
            if isinstance(offered, Refusal):
                gone.append(decode_signed_statement(raw).name)
            else:
                self._insert(offered)
        if gone:
            yield DropStatements(tuple(gone))

    def _useless(self, offered: SignedStatement, now_unix: int) -> str:
        """Return why a statement is of no use now, "" if it may be."""
        said = offered.statement
        if said.expires <= now_unix:
            return "it has expired"
        if now_unix and said.issued > now_unix + CLOCK_SKEW_SECONDS_MAX:
            return "it is issued in the future"
        if not self._is_known(offered):
            return "it is about nothing that is followed here"
        held = self._kept.get(said.issuer, {}).get(offered.name)
        if held is not None and held.version >= offered.version:
            return "as new a statement is held"
        return ""

    def _is_authentic(self, offered: SignedStatement) -> bool:
        said, signature = offered.statement, offered.signed.signatures[0].signature
        message = signed_bytes("statement", offered.signed.payload)
        return is_admissible(said.issuer) and self.verify(said.issuer, signature, message)

    def _is_known(self, offered: SignedStatement) -> bool:
        if offered.statement.subject == sha256(offered.statement.issuer):
            return True
        return any(self.catalogues[name].followed for name in self._scope(offered))

    def _scope(self, offered: SignedStatement) -> Iterator[CatalogueId]:
        """Yield the catalogues that a statement is about."""
        subject = offered.statement.subject
        if CatalogueId(subject) in self.catalogues:
            yield CatalogueId(subject)
            return
        for name, catalogue in self.catalogues.items():
            if catalogue.contents.names(subject):
                yield name

    def _fits(self, offered: SignedStatement) -> bool:
        return offered.name not in self._crowded_out(offered)

    def _crowded_out(self, offered: SignedStatement) -> list[StatementName]:
        """Return which of an issuer's have no room beside this one; it may be this one itself."""
        kept = self._kept.get(offered.statement.issuer, {}) | {offered.name: offered}
        room, out = ISSUER_BYTES_MAX, list[StatementName]()
        for each in _ranked(kept.values()):
            room -= len(each.raw)
            if room < 0:
                out.append(each.name)
        return out

    def _make_room(self) -> Iterator[StatementName]:
        """Take from the issuers whose statements take the most room, the oldest of each first."""
        sizes = {issuer: _size(kept) for issuer, kept in self._kept.items()}
        while self._bytes > CLAIMS_BYTES_LEFT:
            largest = max(sizes, key=lambda issuer: (sizes[issuer], issuer))
            last = _ranked(self._kept[largest].values())[-1]
            sizes[largest] -= len(last.raw)
            self._remove([last.name])
            yield last.name

    def _insert(self, offered: SignedStatement) -> None:
        said = offered.statement
        self._kept.setdefault(said.issuer, {})[offered.name] = offered
        self._by_subject.setdefault(said.subject, {})[offered.name] = offered
        self._bytes += len(offered.raw)
        self._soonest = min(self._soonest, said.expires)
        for catalogue in self._scope(offered):
            self._about.setdefault(catalogue, {})[offered.name] = offered
            self.changed(catalogue)

    def _remove(self, names: Iterable[StatementName]) -> None:
        for name in names:
            of = self._kept.get(name.issuer, {})
            gone = of.pop(name, None)
            if gone is None:
                continue
            if not of:
                del self._kept[name.issuer]
            del self._by_subject[name.subject][name]
            if not self._by_subject[name.subject]:
                del self._by_subject[name.subject]
            self._bytes -= len(gone.raw)
            for catalogue, kept in self._about.items():
                if kept.pop(name, None) is not None:
                    self.changed(catalogue)


def _ranked(kept: Iterable[SignedStatement]) -> list[SignedStatement]:
    """Return an issuer's statements, the latest first: so many of the first as fit are kept."""
    return sorted(kept, key=lambda each: (-each.statement.issued, each.signed.digest))


def _size(kept: Kept) -> int:
    return sum(len(each.raw) for each in kept.values())
