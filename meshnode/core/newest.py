"""What peers compare: of each catalogue the records that others need to agree with this peer.

These are the newest roots and the purges that count, the newest head of each branch that counts,
the evidence of forks, and what is claimed (protocol/05-sync.md, "Reconciliation"). Owns the sets of
them, made anew only where something changed; how two are compared is in `reconciliation`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from meshnode.core.catalogue import Catalogue
from meshnode.core.encoding import MalformedRecordError, encode
from meshnode.core.forks import decode_fork, is_fork
from meshnode.core.heads import SignedHead, decode_head, decode_signed_head
from meshnode.core.identifiers import CatalogueId, Digest, Kid, sha256
from meshnode.core.notices import decode_notice, is_notice, notice_of
from meshnode.core.ranges import Item
from meshnode.core.reconciliation import ItemSet
from meshnode.core.roots import FIRST_VERSION
from meshnode.core.statements import SignedStatement, decode_signed_statement, is_statement

SETS_MAX: Final = 8  # kept at a time: most peers admit much the same
SETTLED_MAX: Final = 16_384  # names that are remembered as nothing to ask for


@dataclass(frozen=True, slots=True)
class NewestRecord:
    """A record that stands in the set: when it was issued (unix seconds), and the message that
    carries it; of a root or purge only what its notice carries, to be made when it is asked for.
    """

    issued: int
    raw: bytes
    notice_of: CatalogueId | None = None

    @property
    def message(self) -> bytes:
        return self.raw if self.notice_of is None else notice_of(self.notice_of, self.raw)


Records = dict[Digest, NewestRecord]


@dataclass(slots=True)
class NewestRecords:
    """Invariant: `_records` has what a catalogue stands at, `_former` what it stood at before it
    changed.
    """

    catalogues: Mapping[CatalogueId, Catalogue]
    claims: Callable[[CatalogueId], Iterable[SignedStatement]] = lambda _: ()
    _records: dict[CatalogueId, Records] = field(default_factory=dict)
    _former: dict[CatalogueId, Records] = field(default_factory=dict)
    _sets: dict[tuple[CatalogueId, ...], ItemSet] = field(default_factory=dict)
    _settled: dict[Digest, None] = field(default_factory=dict)  # held before, or of no use here

    def changed(self, catalogue: CatalogueId) -> None:
        """Note that something of a catalogue changed that others compare."""
        if (former := self._records.pop(catalogue, None)) is not None:
            self._former[catalogue] = former
        self._sets.clear()

    def roots_changed(self, catalogue: CatalogueId) -> None:
        """Note that other roots hold: what was of no use may be of use."""
        self.changed(catalogue)
        self._settled.clear()

    def items(self, catalogues: Sequence[CatalogueId]) -> ItemSet:
        """Return the set of these catalogues, by rising id."""
        scope = tuple(catalogues)
        made = self._sets.pop(scope, None)
        if made is None:
            found: Records = {}  # a statement may be about a payload of several catalogues
            for catalogue in scope:
                found |= self._of(catalogue)
            made = ItemSet(_item(name, record) for name, record in found.items())
        self._sets[scope] = made  # last in order: the one not used for longest is dropped first
        if len(self._sets) > SETS_MAX:
            del self._sets[next(iter(self._sets))]
        return made

    def messages(
        self, names: Sequence[Digest], catalogues: Sequence[CatalogueId]
    ) -> Iterator[bytes]:
        """Yield the records of these names that stand in the set of these catalogues."""
        asked = dict.fromkeys(names)
        held: Records = {}
        for catalogue in catalogues:
            of = self._of(catalogue)
            held |= {name: record for name, record in of.items() if name in asked}
        yield from (held[name].message for name in asked if name in held)

    def settle(self, name: Digest) -> None:
        """Remember that nothing is to be asked about this name, until other roots hold."""
        self._settled[name] = None
        if len(self._settled) > SETTLED_MAX:
            del self._settled[next(iter(self._settled))]

    def is_settled(self, name: Digest) -> bool:
        return name in self._settled

    def _of(self, name: CatalogueId) -> Records:
        known = self._records.get(name)
        if known is not None:
            return known
        catalogue = self.catalogues.get(name)
        new = self._records[name] = dict(_newest(catalogue)) if catalogue else {}
        for claim in self.claims(name):
            new[claim.signed.digest] = NewestRecord(claim.statement.issued, claim.raw)
        for digest in self._former.pop(name, ()):
            if digest not in new:
                self.settle(digest)
        if not self._former:
            self._former.clear()  # it would keep its size
        return new


def record_name(message: bytes) -> Digest:
    """Return under which name a record stands in the set: its payload's digest; of evidence what
    it is about, since any two of the heads of one seq prove the same.

    Raises:
        MalformedRecordError: not a head, a notice, a statement, or evidence of a fork of a log.
    """
    if is_statement(message):
        return decode_signed_statement(message).signed.digest
    if is_notice(message):
        return decode_notice(message).signed.digest
    if not is_fork(message):
        return decode_signed_head(message).signed.digest
    fork = decode_fork(message)
    if fork.a.kind != "head":
        raise MalformedRecordError("rival roots come as notices")
    head = decode_head(fork.a.payload)
    return fork_name(head.catalogue, head.writer, head.seq)


def fork_name(catalogue: CatalogueId, writer: Kid, seq: int) -> Digest:
    return sha256(encode(["fork", 1, catalogue, writer, seq]))


def _item(name: Digest, record: NewestRecord) -> Item:
    return record.issued, name


def _newest(catalogue: Catalogue) -> Iterator[tuple[Digest, NewestRecord]]:
    chain = catalogue.chain
    if chain is None:
        return
    for root in (chain.in_force[-1], *chain.rivals):
        if root.root.version > FIRST_VERSION:  # the first is the catalogue's name
            yield root.digest, NewestRecord(root.root.issued, root.raw, catalogue.id)
    for purge in chain.purging:
        yield purge.digest, NewestRecord(purge.purge.issued, purge.raw, catalogue.id)
    for writer in catalogue.logs:
        for head in _tips(catalogue, writer):
            yield head.signed.digest, NewestRecord(head.head.issued, head.raw)
    for writer, evidence in catalogue.forks.items():
        yield fork_name(catalogue.id, writer, evidence.seq), NewestRecord(0, evidence.raw)


def _tips(catalogue: Catalogue, writer: Kid) -> Iterator[SignedHead]:
    """Yield the last good head of a closed log, or the newest head of each branch that counts."""
    log, last = catalogue.logs[writer], catalogue.last_good(writer)
    branch = log.find(last) if last else None
    if last and branch:
        yield decode_signed_head(branch.raw_at(last.seq))
        return
    for branch in log.branches:
        if branch.head is not None and not catalogue.is_void(writer, branch.head.name):
            yield branch.head
