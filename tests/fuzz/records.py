"""Targets of the core: every record, the encoding beneath, ids, and the node that takes them."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from meshnode.core import trace
from meshnode.core.domains import read_site, site_text
from meshnode.core.durable import KeepStatement
from meshnode.core.effects import Answer, Blame
from meshnode.core.encoding import MalformedRecordError, decode, encode
from meshnode.core.entries import decode_entry, encode_entry
from meshnode.core.events import (
    AnnouncementReceived,
    Followed,
    HeadsReceived,
    Now,
    PeerConnected,
    PeerDisconnected,
    RootsReceived,
    Stated,
    StorageFailed,
    Submitted,
)
from meshnode.core.exchange import (
    AskHello,
    AskRecon,
    HelloReceived,
    ReconReceived,
    RecordsReceived,
)
from meshnode.core.filelist import decode_file_list, encode_file_list
from meshnode.core.forks import evidence_of
from meshnode.core.heads import decode_signed_head
from meshnode.core.hello import Greeting, list_name
from meshnode.core.identifiers import (
    Digest,
    PeerId,
    catalogue_text,
    parse_catalogue,
    parse_object,
    sha256,
)
from meshnode.core.limits import (
    ENTRY_BYTES_MAX,
    RECONCILIATION_BYTES_MAX,
    RECONCILIATION_BYTES_MIN,
)
from meshnode.core.merkle import root_of
from meshnode.core.names import Ticket
from meshnode.core.newest import record_name
from meshnode.core.node import Node
from meshnode.core.notices import notice_of
from meshnode.core.ranges import INFINITY, RangeWriter, decode_ranges
from meshnode.core.reconciliation import ItemSet, Reconciler, answer
from meshnode.core.seed_files import read_seed_list
from meshnode.core.statements import is_statement
from meshnode.core.static_mirror import (
    decode_index,
    decode_pointer,
    decode_roots,
    decode_stretch,
    encode_index,
    encode_pointer,
    encode_roots,
    encode_stretch,
)
from meshnode.core.trust import RootChain, UntrustedError
from meshnode.core.verdicts import Check
from meshnode.errors import MeshnodeError, UsageError
from tests.core.ceremonies import Version
from tests.core.institutions import ISSUED, Institution, altered, segment
from tests.core.test_claims import stated
from tests.fuzz.target import Target
from tests.protocol import examples, plain
from tests.protocol.static_trees import static_mirror
from tests.protocol.test_record_vectors import CODECS

PEER = PeerId("peer")
NOW = Now(monotonic=100.0, unix=1_800_000_000)
RAWS = {name: (rule, plain.encode(record)) for name, (rule, record) in examples.records().items()}


def of_rule(rule: str) -> tuple[bytes, ...]:
    return tuple(raw for kind, raw in RAWS.values() if kind == rule)


def same_again(read: Callable[[bytes], Any], write: Callable[[Any], bytes]) -> Callable[..., None]:
    """A record has one encoding: what was read is written as the very bytes."""

    def take(raw: bytes) -> None:
        assert write(read(raw)) == raw, "what was read is written otherwise"

    return take


def take_cbor(raw: bytes) -> None:
    value = decode(raw, ENTRY_BYTES_MAX)
    assert encode(value) == plain.encode(value) == raw


def take_catalogue_id(raw: bytes) -> None:
    text = raw.decode(errors="replace")
    assert catalogue_text(parse_catalogue(text)) == text


class Follower:
    """A node that follows one institution; it takes whatever a peer or the operator brings."""

    def __init__(self) -> None:
        self.institution = Institution("fuzz")
        self.institution.log.publish(segment(1), segment(2))

    def node(self) -> Node:
        node, catalogue = Node(random.Random(1)), self.institution.catalogue
        followed = Followed(Ticket(1), catalogue, (self.institution.raw_root,))
        node.handle([PeerConnected(PEER), followed], NOW)
        return node

    def take_gossip(self, raw: bytes) -> None:
        node = self.node()
        verdict = node.judge(raw, NOW)
        effects = node.handle([AnnouncementReceived(PEER, raw)], NOW)
        blamed = any(isinstance(effect, Blame) for effect in effects)
        assert blamed <= (verdict is not None), "who forwarded what is fine is blamed"

    def take_statement(self, raw: bytes) -> None:
        """A statement is kept as it came, and nothing else leads to one."""
        node = self.node()
        verdict = node.judge(raw, NOW)
        effects = node.handle([Stated(Ticket(3), raw)], NOW)
        kept = [effect.raw for effect in effects if isinstance(effect, KeepStatement)]
        assert kept == ([raw] if is_statement(raw) and verdict is None else [])

    def take_heads(self, raw: bytes) -> None:
        self.node().handle([HeadsReceived(PEER, (raw, raw[:-1]))], NOW)

    def take_roots(self, raw: bytes) -> None:
        node, catalogue = Node(random.Random(1)), self.institution.catalogue
        followed = Followed(Ticket(1), catalogue)
        node.handle([PeerConnected(PEER), followed], NOW)
        node.handle([RootsReceived(PEER, catalogue, (raw,))], NOW)
        node.handle([Followed(Ticket(2), catalogue, (raw,))], NOW)

    def take_record(self, raw: bytes) -> None:
        """A record that a peer named as lacking here, and then gives."""
        node, admitted = self.node(), (self.institution.catalogue,)
        try:
            name = record_name(raw)
        except MalformedRecordError:
            name = Digest(bytes(32))
        message = RangeWriter(RECONCILIATION_BYTES_MAX)
        message.add_ids(INFINITY, [name])
        limits = (RECONCILIATION_BYTES_MAX, 1)
        greeting = Greeting((1, 2), *limits, list_name(admitted), None, admitted, ())
        node.handle([PeerDisconnected(PEER)], NOW)
        [recon] = self._asked(node, greeting)
        node.handle([ReconReceived(PEER, recon.attempt, message.raw)], NOW)
        effects = node.handle([RecordsReceived(PEER, recon.attempt, (raw,))], NOW)
        assert name != bytes(32) or any(isinstance(effect, Blame) for effect in effects)

    def _asked(self, node: Node, greeting: Greeting) -> list[AskRecon]:
        """Meet the peer, which introduces itself so; return what it is asked then."""
        asked = node.handle([PeerConnected(PEER)], NOW)
        [hello] = [effect for effect in asked if isinstance(effect, AskHello)]
        asked = node.handle([HelloReceived(PEER, hello.attempt, greeting)], NOW)
        return [effect for effect in asked if isinstance(effect, AskRecon)]

    def take_entries(self, raw: bytes) -> None:
        """Entries under a head that really signs them: only their content can be at fault."""
        entry = plain.leaf_hash(raw)
        log = self.institution.log
        head = altered(log.heads[0], log.key, size=1, tree=root_of([entry]))  # type: ignore[list-item]
        node = self.node()
        effects = node.handle([Submitted(Ticket(2), (head,), 0, (raw,))], NOW)
        (answer,) = [effect for effect in effects if isinstance(effect, Answer)]
        if answer.refusal:
            raise UsageError(answer.refusal)
        assert encode_entry(decode_entry(raw)) == raw


def take_message(raw: bytes) -> None:
    """A message of reconciliation is answered, and taken as an answer, with messages alone."""
    held = ItemSet((second // 3, sha256(bytes([second]))) for second in range(100))
    answered = answer(held, raw, RECONCILIATION_BYTES_MIN)
    step = Reconciler(held, RECONCILIATION_BYTES_MIN).take(raw)
    for said in (answered, step.question or answered):
        assert len(said) <= RECONCILIATION_BYTES_MIN
        decode_ranges(said)


def take_trace(raw: bytes) -> None:
    """Whatever a peer writes, it stays one line of ASCII."""
    text = raw.decode(errors="replace")
    for event in (
        Blame(PeerId(text), Check.FRAME, text),
        AnnouncementReceived(PEER, raw),
        StorageFailed(text),
    ):
        line = trace.line(event)
        assert line.isascii()
        assert line.isprintable()


def take_stretch(raw: bytes) -> None:
    """Every part of it is one, or is refused; and a head is at its place or not there."""
    stretch = decode_stretch(raw)
    for seq in range(7):
        part = stretch.between(seq, 4)
        assert len(part.heads) <= len(stretch.heads)
        assert part.entries == stretch.entries[part.first - stretch.first :][: len(part.entries)]
        named = stretch.name_at(seq)
        assert named is None or named.seq == seq


def mirror_targets() -> list[Target]:
    """The files of a static mirror, each kind of which is one record."""
    tree = static_mirror()
    codecs: dict[str, tuple[Callable[[bytes], Any], Callable[[Any], bytes]]] = {
        "static-mirror": (decode_pointer, encode_pointer),
        "static-catalogue": (decode_index, encode_index),
        "static-roots": (decode_roots, encode_roots),
        "static-stretch": (decode_stretch, encode_stretch),
    }

    def of_kind(kind: str) -> tuple[bytes, ...]:
        return tuple(
            bytes.fromhex(raw) for name, raw in tree["files"].items() if tree["types"][name] == kind
        )

    refusals = (MalformedRecordError,)
    found = [
        Target(kind, "cbor", of_kind(kind), same_again(*codec), refusals)
        for kind, codec in codecs.items()
    ]
    stretches = of_kind("static-stretch")
    return [*found, Target("part-of-a-stretch", "cbor", stretches, take_stretch, refusals)]


def targets() -> list[Target]:
    follower, malformed = Follower(), (MalformedRecordError,)
    log, root = follower.institution.log, follower.institution.raw_root
    announcements = tuple(
        plain.encode([[[signed.payload, [[s.kid, s.signature] for s in signed.signatures]], 0, e]])
        for signed in [decode_signed_head(log.heads[0]).signed]
        for e in ([], list(log.entries))
    )
    entries = (*of_rule("entry"), *log.entries)
    found = [
        Target(rule, "cbor", of_rule(rule), same_again(*codec), malformed)
        for rule, codec in CODECS.items()
    ]
    files = same_again(decode_file_list, encode_file_list)
    items = [(second // 3, sha256(bytes([second]))) for second in range(50, 150)]
    asking = Reconciler(ItemSet(items), RECONCILIATION_BYTES_MAX)
    told = answer(ItemSet(items[50:]), asking.first(), RECONCILIATION_BYTES_MAX)
    messages = (asking.first(), told, Reconciler(ItemSet(()), RECONCILIATION_BYTES_MAX).first())
    newer = Version(follower.institution.root, root).then(by=["fuzz root"])
    notice = notice_of(follower.institution.catalogue, newer.raw)
    rival = altered(log.heads[0], log.key, issued=ISSUED + 1)
    named = (*log.heads, notice, evidence_of(log.heads[0], rival).raw)
    about = (follower.institution.catalogue, segment(1).segment)
    said = [stated(subject=subject, issued=NOW.unix) for subject in about]
    assert all(follower.node().judge(raw, NOW) is None for raw in said[:1])
    return [
        *found,
        *mirror_targets(),
        Target("stated", "cbor", tuple(said), follower.take_statement, ()),
        Target("reconciliation", None, messages, take_message, malformed),
        Target("record-answer", "cbor", (*named, *said), follower.take_record, ()),
        Target("file-list", "cbor", of_rule("file-list"), files, malformed),
        Target("cbor", "cbor", tuple(raw for _, raw in RAWS.values()), take_cbor, malformed),
        Target("signed-head", "cbor", tuple(log.heads), decode_signed_head, malformed),
        Target(
            "root-chain", "cbor", (root,), RootChain.begin, (MalformedRecordError, UntrustedError)
        ),
        Target("gossip", "cbor", announcements, follower.take_gossip, ()),
        Target("heads-answer", "cbor", tuple(log.heads), follower.take_heads, ()),
        Target("roots-answer", "cbor", (root,), follower.take_roots, ()),
        Target("entries-under-a-head", "cbor", entries, follower.take_entries, (UsageError,)),
        Target(
            "catalogue-id",
            None,
            (catalogue_text(follower.institution.catalogue).encode(),),
            take_catalogue_id,
            (MeshnodeError,),
        ),
        Target(
            "object-id",
            None,
            (b"bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",),
            lambda raw: parse_object(raw.decode(errors="replace")),
            (MeshnodeError,),
        ),
        Target(
            "seed-list",
            "cbor",
            of_rule("seed-file"),
            read_seed_list,
            (MalformedRecordError, UntrustedError),
        ),
        Target(
            "site",
            "json",
            (site_text([follower.institution.catalogue]).encode(),),
            read_site,
            malformed,
        ),
        Target("trace", None, (b"reason", "\u2028é\r\n".encode()), take_trace, ()),
    ]
