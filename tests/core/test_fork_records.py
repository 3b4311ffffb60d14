"""Fork evidence: what two signed records must have in common to prove that both cannot be meant."""

from __future__ import annotations

import pytest

from meshnode.core.encoding import MalformedRecordError
from meshnode.core.forks import Fork, decode_fork, encode_fork
from meshnode.core.limits import FORK_BYTES_MAX
from meshnode.core.signed import Signed, decode_signed
from tests.core.ceremonies import Ceremony, Signers, Version
from tests.core.institutions import ISSUED, Institution, altered, segment

VILLE = Institution("Ville")
FIRST = VILLE.log.publish(segment(1))
ROOT = Ceremony(Signers(("alice",))).first


def read(raw: bytes) -> Signed:
    return decode_signed(raw, FORK_BYTES_MAX)


def fork(one: bytes, other: bytes) -> Fork:
    a, b = sorted((read(one), read(other)), key=lambda side: side.payload)
    return Fork(a, b)


def titled(root: Version, title: str) -> bytes:
    return root.then(by=["alice"], meta={"title": title}).raw


@pytest.mark.parametrize(
    "evidence",
    [
        fork(FIRST, altered(FIRST, VILLE.log.key, issued=ISSUED + 1)),
        fork(titled(ROOT, "one"), titled(ROOT, "other")),
    ],
    ids=["two heads of one seq", "two roots of one version"],
)
def test_two_that_cannot_both_be_meant_are_evidence_in_one_order_alone(evidence: Fork) -> None:
    assert decode_fork(encode_fork(evidence)) == evidence
    with pytest.raises(MalformedRecordError, match="the smaller bytes first"):
        decode_fork(encode_fork(Fork(evidence.b, evidence.a)))


SECOND = VILLE.log.publish(segment(2))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(FIRST, SECOND, id="heads of two seqs"),
        pytest.param(ROOT.raw, titled(ROOT, "later"), id="roots of two versions"),
        pytest.param(FIRST, ROOT.raw, id="a head and a root"),
        pytest.param(
            FIRST,
            altered(FIRST, VILLE.log.key, catalogue=Institution("Other").catalogue),
            id="heads of two catalogues",
        ),
        pytest.param(
            FIRST,
            altered(FIRST, VILLE.log.key, writer=Institution("Other").log.writer),
            id="heads of two writers",
        ),
    ],
)
def test_two_that_may_both_be_meant_are_no_evidence(one: bytes, other: bytes) -> None:
    with pytest.raises(MalformedRecordError, match="not of one seq of one log"):
        decode_fork(encode_fork(fork(one, other)))


def test_the_same_record_twice_is_no_evidence() -> None:
    with pytest.raises(MalformedRecordError, match="the two sides differ"):
        decode_fork(encode_fork(Fork(read(FIRST), read(FIRST))))
