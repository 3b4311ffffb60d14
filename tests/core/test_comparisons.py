"""A peer compares what it holds with another, and asks for what it lacks: no more, and it ends."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshnode.core.comparisons import LACKED_MAX, ROUNDS_MAX
from meshnode.core.durable import AdoptRoot, ExtendLog, KeepFork
from meshnode.core.effects import (
    Announce,
    AskHeads,
    AskLog,
    AskRoots,
    Blame,
    Comparing,
    Effect,
    FetchObject,
)
from meshnode.core.entries import Reason
from meshnode.core.events import (
    AnnouncementReceived,
    Event,
    Followed,
    Now,
    PeerConnected,
    PeerDisconnected,
    RequestFailed,
)
from meshnode.core.exchange import (
    AskHello,
    AskRecon,
    AskRecords,
    HelloReceived,
    ReconReceived,
    RecordsReceived,
)
from meshnode.core.forks import evidence_of
from meshnode.core.heads import decode_signed_head
from meshnode.core.hello import Greeting, list_name
from meshnode.core.identifiers import CatalogueId, Digest
from meshnode.core.limits import ADMITTED_MAX, COMPARED_RECORDS_MAX, RECONCILIATION_BYTES_MAX
from meshnode.core.names import Ticket
from meshnode.core.node import Node
from meshnode.core.notices import decode_notice, notice_of
from meshnode.core.purges import Purge, encode_purge
from meshnode.core.ranges import INFINITY, RangeWriter
from meshnode.core.roots import LastHead, encode_root
from meshnode.core.signed import encode_signed
from meshnode.core.signing import sign
from meshnode.core.syncing import POLL_SECONDS
from meshnode.core.verdicts import Check, Topic
from tests.core.ceremonies import Version
from tests.core.federation import VERIFY
from tests.core.institutions import ISSUED, Institution, altered, key_of, segment
from tests.core.solo import A, Solo, answer, holding, institution, log_of, submitted
from tests.core.telling import told_by
from tests.core.test_reconciliation import digest

Spoil = Callable[[Event], Event]


def honest(event: Event) -> Event:
    return event


def comparing(solo: Solo) -> list[Comparing]:
    """Return what the node asks now to compare."""
    return [e for e in solo.effects if isinstance(e, AskHello | AskRecon | AskRecords)]


@dataclass(slots=True)
class Pair:
    """Two nodes: the peer A of `here` answers as `there` would, but for what `spoil` changes."""

    here: Solo
    there: Node
    spoil: Spoil = honest
    asked: list[Comparing] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)  # but these questions, and objects

    def meet(self) -> None:
        self.carry(self.here.tell(PeerConnected(A)))

    def poll(self) -> None:
        self.here.seconds += 1.5 * POLL_SECONDS
        self.carry(self.here.tell())

    def carry(self, effects: list[Effect]) -> None:
        """Answer until nothing is asked any more."""
        waiting = list(effects)
        while waiting:
            effect = waiting.pop(0)
            if isinstance(effect, AskHello | AskRecon | AskRecords):
                self.asked.append(effect)
                assert len(self.asked) <= 10 * ROUNDS_MAX
                waiting += self.here.tell(self.spoil(told_by(self.there, effect)))
            elif not isinstance(effect, FetchObject):
                self.effects.append(effect)

    def kinds(self) -> list[type]:
        return [type(question) for question in self.asked]

    def of(self, kind: type) -> list[Effect]:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def blames(self) -> list[tuple[str, Check]]:
        return [(e.peer, e.check) for e in self.effects if isinstance(e, Blame)]


def pair(made: Institution, here: int, spoil: Spoil = honest) -> Pair:
    """Return two peers of which this one holds so many heads of a log, and the other all."""
    solo = following_in_part(made, here)
    return Pair(solo, holding(made).node, spoil)


def following_in_part(made: Institution, heads: int) -> Solo:
    solo = Solo()
    solo.tell(Followed(Ticket(0), made.catalogue, (made.raw_root,)))
    if heads:
        part = submitted(made.log)
        entries = part.entries[: made.log.sizes[heads - 1]]
        solo.tell(replace(part, heads=part.heads[:heads], entries=entries))
        assert solo.refusal() == ""
    return solo


# --- Who a peer is --------------------------------------------------------------------------------
def test_equal_peers_say_hello_once_and_then_one_fingerprint_a_poll() -> None:
    both = pair(institution(), here=3)
    both.meet()
    both.poll()
    both.poll()
    assert both.kinds() == [AskHello, AskRecon, AskRecon, AskRecon]
    assert both.effects == []


def test_a_peer_that_refuses_hello_is_asked_for_all_heads() -> None:
    ville = institution()
    solo = following_in_part(ville, 1)
    solo.tell(PeerConnected(A))
    solo.tell(HelloReceived(A, solo.the(AskHello).attempt, None))
    assert solo.the(AskHeads) == AskHeads(A, (ville.catalogue,))
    assert solo.next(AskHeads) == AskHeads(A, (ville.catalogue,))


def test_a_peer_of_versions_to_come_alone_is_asked_nothing() -> None:
    both = pair(institution(), here=1, spoil=greeting(versions=(3, 4)))
    both.meet()
    both.poll()
    assert both.kinds() == [AskHello]
    assert both.effects == []


def greeting(**changes: object) -> Spoil:
    """Return what changes the greeting of a peer."""

    def spoil(event: Event) -> Event:
        if isinstance(event, HelloReceived) and event.greeting is not None:
            return replace(event, greeting=replace(event.greeting, **changes))  # type: ignore[arg-type]
        return event

    return spoil


def test_a_greeting_that_contradicts_itself_is_its_senders_fault() -> None:
    both = pair(institution(), here=1, spoil=greeting(admitted=Digest(bytes(32))))
    both.meet()
    assert both.kinds() == [AskHello]
    assert both.blames() == [(A, Check.FRAME)]


def test_who_follows_nothing_asks_nobody() -> None:
    solo = Solo()
    assert solo.tell(PeerConnected(A)) == []


def test_peers_with_no_catalogue_in_common_ask_at_each_poll_whether_they_have_one_by_now() -> None:
    ville = institution(name="Ville")
    both = Pair(holding(ville), holding(institution(name="Cité")).node)
    both.meet()
    assert both.kinds() == [AskHello]
    both.poll()
    assert both.kinds() == [AskHello, AskHello]
    learn(both.there, ville, ville.raw_root)
    both.poll()
    assert both.kinds() == [AskHello, AskHello, AskHello, AskRecon]
    assert both.effects == []


def test_only_what_both_admit_is_compared() -> None:
    ville, cite = institution(name="Ville"), institution(name="Cité")
    there = holding(ville)
    there.tell(Followed(Ticket(0), cite.catalogue, (cite.raw_root,)))
    there.tell(submitted(cite.log))
    both = Pair(holding(ville), there.node)
    both.meet()
    assert both.kinds() == [AskHello, AskRecon]
    assert isinstance(both.asked[1], AskRecon)
    assert len(both.asked[1].chosen or b"") == 1
    assert both.effects == []


def test_of_a_peer_that_cannot_name_all_it_admits_the_others_are_asked_for_in_full() -> None:
    ville = institution()
    many = tuple(CatalogueId(n.to_bytes(32, "big")) for n in range(ADMITTED_MAX))
    solo = holding(ville)
    solo.tell(PeerConnected(A))
    attempt = solo.the(AskHello).attempt
    told = Greeting((1, 2), RECONCILIATION_BYTES_MAX, 256, list_name(many), None, many, ())
    solo.tell(HelloReceived(A, attempt, told))
    assert solo.effects == [AskHeads(A, (ville.catalogue,))]


# --- What is lacking ------------------------------------------------------------------------------
def test_a_head_that_is_lacking_is_fetched_and_its_log_announced_again() -> None:
    ville = institution()
    both = pair(ville, here=1)
    both.meet()
    assert both.kinds() == [AskHello, AskRecon, AskRecords]
    [asked] = both.of(AskLog)
    assert isinstance(asked, AskLog)
    assert asked.wanted == decode_signed_head(ville.log.heads[2]).name
    effects = both.here.tell(answer(A, log_of(ville), ville.log))
    assert [type(e) for e in effects if isinstance(e, ExtendLog | Announce)] == [
        ExtendLog,
        Announce,
    ]


def test_a_head_that_is_behind_ours_is_read_once_and_not_asked_for_again() -> None:
    ville = institution()
    both = Pair(holding(ville), following_in_part(ville, 1).node)
    both.meet()
    both.poll()
    assert both.kinds() == [AskHello, AskRecon, AskRecords, AskRecon]
    assert both.effects == []


def test_a_head_that_we_held_before_is_not_asked_for() -> None:
    ville = institution(heads=2)
    both = Pair(holding(ville), holding(ville).node)
    both.meet()
    ville.log.publish(segment(3))
    both.here.tell(submitted(ville.log))
    both.poll()
    assert both.kinds() == [AskHello, AskRecon, AskRecon]


def root_after(made: Institution, times: int = 1) -> list[Version]:
    """Return roots that follow the institution's first."""
    found = [Version(made.root, made.raw_root)]
    for _ in range(times):
        found.append(found[-1].then(by=[f"{made.name} root"]))
    return found[1:]


def test_a_root_that_is_lacking_is_learnt_and_announced() -> None:
    ville = institution()
    both = pair(ville, here=3)
    [newer] = root_after(ville)
    learn(both.there, ville, newer.raw)
    both.meet()
    assert [e.raw for e in both.of(AdoptRoot) if isinstance(e, AdoptRoot)] == [newer.raw]
    [announced] = both.of(Announce)
    assert isinstance(announced, Announce)
    assert decode_notice(announced.raw).signed.digest == newer.digest


def learn(node: Node, made: Institution, *roots: bytes) -> None:
    told = Followed(Ticket(3), made.catalogue, roots)
    node.handle([told], Now(0.0, ISSUED))


def test_a_root_after_others_that_are_lacking_leads_to_a_question_for_them() -> None:
    ville = institution()
    both = pair(ville, here=3)
    learn(both.there, ville, *(version.raw for version in root_after(ville, 3)))
    both.meet()
    [asked] = both.of(AskRoots)
    assert isinstance(asked, AskRoots)
    assert (asked.peer, asked.catalogue, asked.after) == (A, ville.catalogue, 1)


def test_a_purge_that_is_lacking_is_obeyed() -> None:
    ville = institution()
    both = pair(ville, here=3)
    raw = purge_of(ville)
    learn(both.there, ville, raw)
    both.meet()
    assert [e.raw for e in both.of(AdoptRoot) if isinstance(e, AdoptRoot)] == [raw]


def purge_of(made: Institution, version: int = 1) -> bytes:
    purge = Purge(made.catalogue, version, Reason.LEGAL, ISSUED, (Digest(b"o" * 32),), ())
    return encode_signed(sign("purge", encode_purge(purge), [key_of(f"{made.name} root")]))


def test_a_purge_by_a_root_that_is_lacking_leads_to_a_question_for_it() -> None:
    ville = institution()
    both = pair(ville, here=3)
    [newer] = root_after(ville)
    learn(both.there, ville, newer.raw, purge_of(ville, 2))
    both.spoil = without_notice(newer.raw)
    both.meet()
    assert [type(e) for e in both.effects] == [AskRoots]


def without_notice(root: bytes) -> Spoil:
    """Return what keeps one root back."""

    def spoil(event: Event) -> Event:
        if isinstance(event, RecordsReceived):
            return replace(event, raws=tuple(raw for raw in event.raws if root[5:90] not in raw))
        return event

    return spoil


def forked(made: Institution) -> tuple[bytes, list[bytes]]:
    """Let the writer sign two heads after the second; return the evidence and the other history."""
    other = made.log.fork()
    made.log.publish(segment(3))
    other.publish(segment(4), issued=ISSUED + 1)
    return evidence_of(made.log.heads[-1], other.heads[-1]).raw, other.heads


def test_evidence_of_a_fork_that_is_lacking_is_kept_announced_and_followed() -> None:
    ville = institution(heads=2)
    both = pair(ville, here=2)
    raw, _ = forked(ville)
    both.there.handle([AnnouncementReceived(A, raw)], Now(0.0, ISSUED))
    both.meet()
    assert both.of(KeepFork) == [KeepFork(log_of(ville), raw)]
    assert both.of(Announce) == [Announce(raw, Topic.STATEMENTS)]
    assert len(both.of(AskLog)) == 1


def test_evidence_of_a_later_fork_than_the_one_known_is_read_once() -> None:
    ville = institution(heads=2)
    both = pair(ville, here=2)
    raw, _ = forked(ville)
    ville.log.publish(segment(5))
    early = ville.log.heads[0]
    rival = altered(early, ville.log.key, issued=ISSUED + 9)
    both.here.tell(AnnouncementReceived(A, evidence_of(early, rival).raw))
    both.there.handle([AnnouncementReceived(A, raw)], Now(0.0, ISSUED))
    both.meet()
    both.poll()
    assert both.kinds() == [AskHello, AskRecon, AskRecords, AskRecon]
    assert both.of(KeepFork) == []


def test_evidence_under_a_root_that_is_lacking_leads_to_a_question_for_it() -> None:
    ville = institution(heads=2)
    both = pair(ville, here=2)
    [newer] = root_after(ville)
    learn(both.there, ville, newer.raw)
    other = ville.log.fork()
    heads = [log.publish(segment(n), root_version=2) for n, log in ((3, ville.log), (4, other))]
    raw = evidence_of(*heads).raw
    both.there.handle([AnnouncementReceived(A, raw)], Now(0.0, ISSUED))
    both.spoil = without_notice(newer.raw)
    both.meet()
    assert [type(e) for e in both.effects] == [AskRoots]


def test_of_a_closed_log_the_last_good_head_is_compared() -> None:
    ville = institution(heads=3)
    last = decode_signed_head(ville.log.heads[1])
    closing = Version(ville.root, ville.raw_root).closing(
        "writer", LastHead(2, last.signed.digest), by=["Ville root"]
    )
    there = holding(ville)
    learn(there.node, ville, closing.raw)
    here = following_in_part(ville, 0)
    learn(here.node, ville, closing.raw)
    both = Pair(here, there.node)
    both.meet()
    [asked] = both.of(AskLog)
    assert isinstance(asked, AskLog)
    assert asked.wanted == last.name


def test_a_log_of_which_nothing_counts_is_not_compared() -> None:
    ville = institution()
    closing = Version(ville.root, ville.raw_root).closing("writer", False, by=["Ville root"])
    there, here = holding(ville), following_in_part(ville, 0)
    learn(there.node, ville, closing.raw)
    learn(here.node, ville, closing.raw)
    both = Pair(here, there.node)
    both.meet()
    assert both.kinds() == [AskHello, AskRecon]


def test_more_records_than_one_question_takes_come_by_several() -> None:
    ville = Institution("Ville")
    here, there = following_in_part(ville, 0), Solo()
    there.tell(Followed(Ticket(0), ville.catalogue, (ville.raw_root,)))
    for raw in purges(ville, COMPARED_RECORDS_MAX):
        there.tell(Followed(Ticket(0), ville.catalogue, (raw,)))
    both = Pair(here, there.node, greeting(records_max=100))
    both.meet()
    assert both.kinds() == [AskHello, AskRecon, AskRecords, AskRecords, AskRecords]
    assert len(both.of(AdoptRoot)) == COMPARED_RECORDS_MAX


def purges(made: Institution, count: int) -> Iterator[bytes]:
    for number in range(count):
        name = Digest(number.to_bytes(32, "big"))
        purge = Purge(made.catalogue, 1, Reason.LEGAL, ISSUED, (name,), ())
        yield encode_signed(sign("purge", encode_purge(purge), [key_of(f"{made.name} root")]))


def test_an_answer_that_brings_a_part_is_followed_by_a_question_for_the_rest() -> None:
    ville = Institution("Ville")
    there = Solo()
    there.tell(Followed(Ticket(0), ville.catalogue, (ville.raw_root,)))
    there.tell(Followed(Ticket(0), ville.catalogue, tuple(purges(ville, 10))))

    def in_part(event: Event) -> Event:
        return replace(event, raws=event.raws[:4]) if isinstance(event, RecordsReceived) else event

    both = Pair(following_in_part(ville, 0), there.node, in_part)
    both.meet()
    assert both.kinds() == [AskHello, AskRecon, AskRecords, AskRecords, AskRecords]
    assert len(both.of(AdoptRoot)) == 10


# --- The list of catalogues changes ---------------------------------------------------------------
def test_a_peer_that_follows_another_catalogue_by_now_says_so_and_is_compared_anew() -> None:
    ville, cite = institution(name="Ville"), institution(name="Cité")
    both = Pair(holding(ville), holding(ville).node)
    both.meet()
    learn(both.there, cite, cite.raw_root)
    both.poll()
    assert both.kinds() == [AskHello, AskRecon, AskRecon, AskRecon]
    assert isinstance(both.asked[3], AskRecon)
    assert both.asked[3].admitted == both.there.disclosure.greet(None).admitted


def test_a_peer_whose_list_always_changes_is_left_until_the_next_poll() -> None:
    both = pair(institution(), here=1)

    def restless(event: Event) -> Event:
        if isinstance(event, ReconReceived):
            return HelloReceived(A, event.attempt, both.there.disclosure.greet(None))
        return event

    both.spoil = restless
    both.meet()
    assert both.kinds() == [AskHello, AskRecon, AskRecon]
    both.poll()
    assert both.kinds() == [AskHello, *[AskRecon] * 4]


# --- Peers that break the rules, or the line ------------------------------------------------------
def recon(message: bytes) -> Spoil:
    def spoil(event: Event) -> Event:
        return replace(event, message=message) if isinstance(event, ReconReceived) else event

    return spoil


def records(*raws: bytes) -> Spoil:
    def spoil(event: Event) -> Event:
        return replace(event, raws=raws) if isinstance(event, RecordsReceived) else event

    return spoil


def test_a_malformed_message_is_its_senders_fault_and_ends_the_comparison() -> None:
    both = pair(institution(), here=1, spoil=recon(b"\x61\x00"))
    both.meet()
    assert both.blames() == [(A, Check.FRAME)]
    assert both.kinds() == [AskHello, AskRecon]


def forged(head: bytes, other: bytes) -> bytes:
    """Return a head with the signature of another."""
    signatures = decode_signed_head(other).signed.signatures
    return encode_signed(replace(decode_signed_head(head).signed, signatures=signatures))


VILLE = institution()


@pytest.mark.parametrize(
    ("raw", "check"),
    [
        (b"no record", Check.ENCODING),
        (institution(name="Cité").log.heads[0], Check.CONTENT_HASH),
        (notice_of(VILLE.catalogue, VILLE.raw_root), Check.CONTENT_HASH),
        (forged(VILLE.log.heads[2], VILLE.log.heads[1]), Check.SIGNATURE),
    ],
    ids=["malformed", "not asked for", "not asked for either", "forged"],
)
def test_a_bad_record_is_its_senders_fault_and_ends_the_comparison(
    raw: bytes, check: Check
) -> None:
    both = pair(VILLE, here=1, spoil=records(raw))
    both.meet()
    assert both.blames() == [(A, check)]
    assert both.kinds() == [AskHello, AskRecon, AskRecords]


def test_a_forged_root_is_its_senders_fault() -> None:
    ville = institution()
    both = pair(ville, here=3)
    [true] = root_after(ville)
    learn(both.there, ville, true.raw)
    stolen = encode_signed(sign("root", encode_root(true.root), [key_of("thief")]))
    both.spoil = records(notice_of(ville.catalogue, stolen))
    both.meet()
    assert both.blames() == [(A, Check.ROOT)]


def test_forged_evidence_is_its_senders_fault() -> None:
    ville = institution(heads=2)
    both = pair(ville, here=2)
    raw, heads = forked(ville)
    both.there.handle([AnnouncementReceived(A, raw)], Now(0.0, ISSUED))
    both.spoil = records(evidence_of(ville.log.heads[-1], forged(heads[-1], heads[0])).raw)
    both.meet()
    assert both.blames() == [(A, Check.SIGNATURE)]


def test_a_notice_of_a_catalogue_that_is_not_known_leads_nowhere() -> None:
    """Whoever lists a name may name anything by it; nothing is asked of an unknown catalogue."""
    cite = institution(name="Cité")
    [newer] = root_after(cite)
    message = RangeWriter(9999)
    message.add_ids(INFINITY, [newer.digest])
    both = pair(institution(), here=3)
    raw = notice_of(cite.catalogue, newer.raw)

    def spoil(event: Event) -> Event:
        return records(raw)(recon(message.raw)(event))

    both.spoil = spoil
    both.meet()
    assert both.kinds() == [AskHello, AskRecon, AskRecords]
    assert both.effects == []


def test_a_peer_that_always_differs_is_left_after_a_number_of_rounds() -> None:
    different = RangeWriter(9999)
    different.add_fingerprint(INFINITY, b"?" * 16)
    both = pair(institution(), here=3, spoil=recon(different.raw))
    both.meet()
    assert both.kinds() == [AskHello, *[AskRecon] * ROUNDS_MAX]
    both.poll()
    assert both.kinds() == [AskHello, *[AskRecon] * 2 * ROUNDS_MAX]


def test_a_peer_that_names_records_without_end_is_left_after_a_number_of_them() -> None:
    """It names more in each round, and gives none of them."""
    rng = random.Random(1)

    def endless(event: Event) -> Event:
        if not isinstance(event, ReconReceived):
            return records()(event)
        message = RangeWriter(RECONCILIATION_BYTES_MAX)
        message.add_ids((1, bytes(32)), [digest(rng) for _ in range(1700)])
        message.add_fingerprint(INFINITY, b"?" * 16)
        return replace(event, message=message.raw)

    both = pair(institution(), here=3, spoil=endless)
    both.meet()
    rounds = both.kinds().count(AskRecon)
    assert rounds == LACKED_MAX // 1700 + 1
    assert both.kinds().count(AskRecords) <= 1700 * rounds // COMPARED_RECORDS_MAX + 1
    assert both.effects == []


def test_a_peer_that_gives_nothing_of_what_it_named_costs_one_question_a_poll() -> None:
    both = pair(institution(), here=1, spoil=records())
    both.meet()
    both.poll()
    assert both.kinds() == [AskHello, AskRecon, AskRecords, AskRecon, AskRecords]
    assert both.effects == []


@pytest.mark.parametrize("kind", [AskHello, AskRecon, AskRecords])
def test_after_a_question_that_failed_the_next_poll_begins_with_hello(kind: type) -> None:
    both = pair(institution(), here=1)
    solo = both.here
    solo.tell(PeerConnected(A))
    while not solo.of(kind):
        [asked] = comparing(solo)
        solo.tell(told_by(both.there, asked))
    [failed] = comparing(solo)
    solo.tell(RequestFailed(failed, "no answer in time"))
    assert comparing(solo) == []
    both.poll()
    assert both.kinds() == [AskHello, AskRecon, AskRecords]


def test_while_a_peer_is_asked_who_it_is_it_is_not_asked_again() -> None:
    solo = following_in_part(institution(), 1)
    solo.tell(PeerConnected(A))
    for _ in range(3):
        solo.wait(2 * POLL_SECONDS)
        assert comparing(solo) == []


def test_what_comes_after_the_line_broke_is_passed_over() -> None:
    ville = institution()
    solo, there = following_in_part(ville, 1), holding(ville).node
    late: list[Event] = []
    solo.tell(PeerConnected(A))
    while asked := comparing(solo):
        late.append(told_by(there, asked[0]))
        solo.tell(late[-1])
    solo.tell(PeerDisconnected(A))
    solo.tell(PeerConnected(A))
    for event in late:
        solo.tell(event)
        assert comparing(solo) == []
        assert solo.of(AskLog) == []


def test_the_failure_of_an_earlier_question_does_not_end_a_later_one() -> None:
    both = pair(institution(), here=1)
    solo = both.here
    solo.tell(PeerConnected(A))
    early = solo.the(AskHello)
    solo.tell(PeerDisconnected(A))
    solo.tell(PeerConnected(A))
    hello = solo.the(AskHello)
    solo.tell(RequestFailed(early, "the stream broke"))
    solo.tell(told_by(both.there, hello))
    recon = solo.the(AskRecon)
    solo.tell(RequestFailed(replace(recon, attempt=early.attempt), "the stream broke"))
    solo.tell(told_by(both.there, recon))
    assert len(solo.of(AskRecords)) == 1


# --- Whatever a peer says -------------------------------------------------------------------------
@given(data=st.data())
def test_whatever_a_peer_answers_is_taken_or_is_its_fault_and_it_ends(data: st.DataObject) -> None:
    both = pair(VILLE, here=data.draw(st.integers(0, 3)))
    written = [*VILLE.log.heads, notice_of(VILLE.catalogue, VILLE.raw_root), b"", b"\x82"]

    def spoil(event: Event) -> Event:
        if not data.draw(st.booleans()):
            return event
        match event:
            case HelloReceived():
                return replace(event, greeting=None)
            case ReconReceived():
                ids = data.draw(st.lists(st.binary(min_size=32, max_size=32), max_size=4))
                message = RangeWriter(9999)
                message.add_ids(INFINITY, [Digest(name) for name in ids])
                raw = message.raw + data.draw(st.binary(max_size=5))
                return replace(event, message=raw)
            case RecordsReceived():
                raws = data.draw(st.lists(st.sampled_from(written), max_size=3))
                return replace(event, raws=tuple(raws))
            case _:
                raise AssertionError(event)

    both.spoil = spoil
    both.meet()
    both.poll()
    assert all(peer == A for peer, _ in both.blames())


def test_two_nodes_that_hold_the_same_compare_as_equal() -> None:
    ville = institution(heads=2)
    raw, _ = forked(ville)
    nodes = [Node(random.Random(n), VERIFY) for n in range(2)]
    for node in nodes:
        learn(node, ville, ville.raw_root, *(v.raw for v in root_after(ville, 2)))
        node.handle([submitted(ville.log)], Now(0.0, ISSUED))
        node.handle([AnnouncementReceived(A, raw)], Now(0.0, ISSUED))
    one, other = (node.disclosure.newest.items((ville.catalogue,)).items for node in nodes)
    assert one == other
    assert len(one) == 3
