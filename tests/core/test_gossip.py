"""The three verdicts on gossip, one test for every check that gives one (L-70 to L-74, N-20)."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from meshnode.core.catalogue import Catalogue
from meshnode.core.encoding import MalformedRecordError, encode
from meshnode.core.gossip import CLOCK_SKEW_SECONDS_MAX, REMEMBERED_MAX, Gate, Refusal, announce
from meshnode.core.heads import (
    AnnouncedHead,
    Announcement,
    SignedHead,
    decode_announcement,
    decode_signed_head,
    encode_announcement,
)
from meshnode.core.identifiers import Digest, PublicKey
from meshnode.core.limits import (
    ANNOUNCED_ENTRIES_MAX,
    ANNOUNCED_ENTRY_BYTES_MAX,
    ANNOUNCEMENT_BYTES_MAX,
)
from meshnode.core.log import Extension
from meshnode.core.notices import notice_of
from meshnode.core.roots import LastHead
from meshnode.core.signing import verify
from meshnode.core.trust import RootChain
from meshnode.core.verdicts import Check, Verdict
from tests.core.ceremonies import Version
from tests.core.institutions import ISSUED, Institution, altered, key_of, segment

VILLE = Institution("Ville")
for number in range(1, 4):
    VILLE.log.publish(segment(number))
STRANGER = Institution("Stranger")
STRANGER.log.publish(segment(1))
REJECT, IGNORE = Verdict.REJECT, Verdict.IGNORE


class Counted:
    """Verifies for real, and counts how often."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, key: PublicKey, signature: bytes, message: bytes) -> bool:
        self.calls += 1
        return verify(key, signature, message)


def gate(*, heads: int = 0, check: Counted | None = None) -> Gate:
    """Return a gate that knows the catalogue of Ville, whose log is held up to a head."""
    catalogue = Catalogue(VILLE.catalogue, followed=True, chain=RootChain.begin(VILLE.raw_root))
    if heads:
        offered = [decode_signed_head(raw) for raw in VILLE.log.heads[:heads]]
        extension = catalogue.consider(VILLE.log.writer, offered, 0, VILLE.log.entries)
        assert isinstance(extension, Extension)
        catalogue.adopt(VILLE.log.writer, extension)
    return Gate({VILLE.catalogue: catalogue}, check or Counted())


def message(*raw_heads: bytes, entries: Sequence[bytes] = ()) -> bytes:
    heads = (decode_signed_head(raw) for raw in raw_heads)
    items = (AnnouncedHead(head.signed, 0, tuple(entries)) for head in heads)
    return encode_announcement(Announcement(tuple(items)))


def verdict(judging: Gate, raw: bytes, now_unix: int = ISSUED) -> tuple[Verdict, Check] | None:
    refusal = judging.judge(raw, now_unix)
    return (refusal.verdict, refusal.check) if isinstance(refusal, Refusal) else None


def test_an_authentic_head_is_forwarded_with_whatever_entries() -> None:
    assert verdict(gate(), message(VILLE.log.heads[0], entries=VILLE.log.entries[:1])) is None
    assert verdict(gate(), message(VILLE.log.heads[0], entries=[b"anything"])) is None


def test_a_head_after_a_gap_or_of_a_fork_is_forwarded() -> None:
    fork = altered(VILLE.log.heads[1], VILLE.log.key, issued=ISSUED + 1)
    assert verdict(gate(heads=1), message(VILLE.log.heads[2])) is None
    assert verdict(gate(heads=2), message(fork)) is None


def test_l_70_a_message_that_is_too_long_is_rejected() -> None:
    raw = bytes(ANNOUNCEMENT_BYTES_MAX + 1)
    assert verdict(gate(), raw) == (REJECT, Check.ENCODING)


@given(st.binary(max_size=80))
def test_l_72_bytes_that_are_no_announcement_are_rejected(raw: bytes) -> None:
    assert verdict(gate(), raw) == (REJECT, Check.ENCODING)


def test_l_72_a_payload_that_is_no_head_is_rejected() -> None:
    [item] = decode_announcement(message(VILLE.log.heads[0])).items
    signatures = [[s.kid, s.signature] for s in item.head.signatures]
    raw = encode([[[encode(["head", 1]), signatures], 0, []]])
    assert verdict(gate(), raw) == (REJECT, Check.ENCODING)


def test_l_73_an_unknown_catalogue_is_ignored() -> None:
    assert verdict(gate(), message(STRANGER.log.heads[0])) == (IGNORE, Check.ROOT)


def test_l_73_a_catalogue_whose_root_is_not_known_yet_is_ignored() -> None:
    waiting = Gate({VILLE.catalogue: Catalogue(VILLE.catalogue)}, verify)
    assert verdict(waiting, message(VILLE.log.heads[0])) == (IGNORE, Check.ROOT)


def test_l_73_a_root_version_or_a_writer_that_is_not_known_is_ignored_and_says_what_lacks() -> None:
    newer = altered(VILLE.log.heads[0], VILLE.log.key, root_version=2)
    later_writer = altered(VILLE.log.heads[0], key_of("later"), writer=STRANGER.log.writer)
    for raw in (newer, later_writer):
        refusal = gate().judge(message(raw), ISSUED)
        assert refusal is not None
        assert (refusal.verdict, refusal.check) == (IGNORE, Check.ROOT)
        assert refusal.lacks_roots == VILLE.catalogue


def test_l_74_a_head_signed_by_another_is_rejected() -> None:
    forged = altered(VILLE.log.heads[0], key_of("thief"))
    assert verdict(gate(), message(forged)) == (REJECT, Check.SIGNATURE)


@given(st.data())
def test_l_74_a_flipped_bit_is_never_forwarded(data: st.DataObject) -> None:
    raw = bytearray(message(VILLE.log.heads[0]))
    bit = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[bit // 8] ^= 1 << bit % 8
    [item] = decode_announcement(message(VILLE.log.heads[0])).items
    try:
        [other] = decode_announcement(bytes(raw)).items
    except MalformedRecordError:
        assert verdict(gate(), bytes(raw)) == (REJECT, Check.ENCODING)
        return
    is_the_same = other.head == item.head
    assert (verdict(gate(), bytes(raw)) is None) == is_the_same


def test_l_37_a_head_from_the_future_is_ignored_until_its_time_comes() -> None:
    raw = message(VILLE.log.heads[0])
    early = ISSUED - CLOCK_SKEW_SECONDS_MAX
    judging = gate()
    assert verdict(judging, raw, early - 1) == (IGNORE, Check.CLOCK)
    assert verdict(judging, raw, early) is None


def test_an_old_head_that_is_held_is_not_carried_round_again() -> None:
    judging = gate(heads=2)
    assert verdict(judging, message(VILLE.log.heads[0])) == (IGNORE, Check.CHAIN)
    assert verdict(judging, message(VILLE.log.heads[1])) is None


def test_n_21_one_bad_head_rejects_a_message_and_one_good_head_carries_it() -> None:
    forged = altered(VILLE.log.heads[0], key_of("thief"))
    good, unknown = VILLE.log.heads[0], STRANGER.log.heads[0]
    assert verdict(gate(), message(good, forged)) == (REJECT, Check.SIGNATURE)
    assert verdict(gate(), message(unknown, forged)) == (REJECT, Check.SIGNATURE)
    assert verdict(gate(), message(unknown, good)) is None
    assert verdict(gate(), message(unknown, unknown)) == (IGNORE, Check.ROOT)


def test_a_signature_is_checked_once_until_it_is_forgotten() -> None:
    check = Counted()
    judging = gate(check=check)
    raw = message(VILLE.log.heads[0])
    judging.judge(raw, ISSUED)
    judging.judge(raw, ISSUED)
    assert check.calls == 1
    for number in range(REMEMBERED_MAX):
        judging._remember(Digest(number.to_bytes(32, "big")))
    judging.judge(raw, ISSUED)
    assert check.calls == 2


def test_a_head_is_announced_with_its_entries_only_where_they_fit() -> None:
    head: SignedHead = decode_signed_head(VILLE.log.heads[0])

    def carried(entries: list[bytes]) -> int:
        [item] = decode_announcement(announce(head, 0, entries)).items
        return len(item.entries)

    assert carried([b"e"] * ANNOUNCED_ENTRIES_MAX) == ANNOUNCED_ENTRIES_MAX
    assert carried([b"e"] * (ANNOUNCED_ENTRIES_MAX + 1)) == 0
    assert carried([bytes(ANNOUNCED_ENTRY_BYTES_MAX)]) == 1
    assert carried([bytes(ANNOUNCED_ENTRY_BYTES_MAX), b"e"]) == 0


ROOT = Version(VILLE.root, VILLE.raw_root)
LAST = LastHead(1, decode_signed_head(VILLE.log.heads[0]).signed.digest)
CLOSING = ROOT.closing("writer", LAST, by=["Ville root"])


def test_l_60_a_head_beyond_the_closing_is_ignored_and_the_last_good_one_is_not() -> None:
    judging = gate()
    catalogue = judging.catalogues[VILLE.catalogue]
    assert catalogue.chain is not None
    catalogue.obey(catalogue.chain.extend([CLOSING.raw]))
    assert verdict(judging, message(VILLE.log.heads[0])) is None
    refusal = judging.judge(message(VILLE.log.heads[1]), ISSUED)
    assert refusal == Refusal(IGNORE, Check.ROOT, "the log is closed before head 2")


def test_a_notice_of_a_newer_root_is_forwarded_until_it_is_held() -> None:
    judging, raw = gate(), notice_of(VILLE.catalogue, CLOSING.raw)
    assert verdict(judging, raw) is None
    catalogue = judging.catalogues[VILLE.catalogue]
    assert catalogue.chain is not None
    catalogue.obey(catalogue.chain.extend([CLOSING.raw]))
    assert verdict(judging, raw) == (IGNORE, Check.ROOT)


def test_a_notice_that_follows_a_root_which_is_not_held_is_ignored() -> None:
    later = CLOSING.then(by=["Ville root"], meta={"title": "Later"})
    assert verdict(gate(), notice_of(VILLE.catalogue, later.raw)) == (IGNORE, Check.ROOT)


def test_a_notice_of_an_unknown_catalogue_or_one_without_its_root_is_ignored() -> None:
    raw = notice_of(STRANGER.catalogue, STRANGER.raw_root)
    assert verdict(gate(), raw) == (IGNORE, Check.ROOT)
    waiting = Gate({VILLE.catalogue: Catalogue(VILLE.catalogue)}, verify)
    assert verdict(waiting, notice_of(VILLE.catalogue, CLOSING.raw)) == (IGNORE, Check.ROOT)


def test_a_notice_that_nobody_with_a_say_signed_is_rejected() -> None:
    forged = ROOT.then(by=["thief"], meta={"title": "Mine"})
    assert verdict(gate(), notice_of(VILLE.catalogue, forged.raw)) == (REJECT, Check.ROOT)
    other = notice_of(VILLE.catalogue, STRANGER.raw_root)
    assert verdict(gate(), other) == (REJECT, Check.ROOT)


@given(st.data())
def test_a_notice_with_a_changed_byte_is_never_forwarded(data: st.DataObject) -> None:
    raw = bytearray(notice_of(VILLE.catalogue, CLOSING.raw))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    found = verdict(gate(), bytes(raw))
    assert found is not None
    assert found[1] in (Check.ENCODING, Check.ROOT)
