"""What others say of mirrors: whose word counts, how long, and how much."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from meshnode.core.identifiers import Digest, PublicKey, sha256
from meshnode.core.mirror_health import (
    HEALTH_SECONDS_MAX,
    ISSUERS_MAX,
    KIND,
    UNREACHABLE_MIN,
    Word,
    seen,
    words,
)
from meshnode.core.signed import encode_signed
from meshnode.core.signing import public_key, sign
from meshnode.core.statement_bodies import SeenMirror, decode_body, encode_body
from meshnode.core.statements import SignedStatement, Statement, encode_statement

NOW = 1_800_000_000
PAYLOAD, OTHER = sha256(b"payload"), sha256(b"other")
URL = "https://data.example.org/tile.tif"
NAME = sha256(URL.encode())
GOOD, ROTTEN = seen(URL, NOW - 5, 0, 0), seen(URL, NOW - 5, 1, 1)


def key(number: int) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(number.to_bytes(32, "big"))


def issuer(number: int) -> PublicKey:
    return public_key(key(number))


def said(
    by: int,
    mirrors: Iterable[SeenMirror],
    *,
    subject: Digest = PAYLOAD,
    issued: int = NOW - 60,
    kind: str = KIND,
) -> SignedStatement:
    body = encode_body(tuple(mirrors))
    stated = Statement(kind, issuer(by), subject, issued, issued, NOW + 1000, body)
    signed = sign("statement", encode_statement(stated), [key(by)])
    return SignedStatement(stated, signed, encode_signed(signed))


def test_n_114_what_is_told_is_read_again() -> None:
    body = encode_body((GOOD, seen("https://b.example.org/", 0, 999, 300)))
    assert decode_body(KIND, body) == (
        SeenMirror(NAME, NOW - 5, 0, 0),
        SeenMirror(sha256(b"https://b.example.org/"), None, 255, 255),
    )


def test_n_115_each_issuer_counts_once_by_its_latest_word() -> None:
    earlier = said(1, [ROTTEN], subject=OTHER, issued=NOW - 100)
    assert words([earlier, said(1, [GOOD])], None, NOW) == {NAME: Word(0, 1)}
    assert words([said(1, [GOOD]), earlier], None, NOW) == {NAME: Word(0, 1)}
    assert words([earlier, said(1, [GOOD])], None, NOW, OTHER) == {NAME: Word(1, 0)}


@pytest.mark.parametrize(
    ("mirror", "word"),
    [
        (GOOD, Word(0, 1)),
        (ROTTEN, Word(1, 0)),
        (seen(URL, NOW, 0, UNREACHABLE_MIN), Word(1, 0)),
        (seen(URL, NOW, 0, UNREACHABLE_MIN - 1), Word(0, 1)),
        (seen(URL, 0, 0, 1), Word(0, 0)),
    ],
)
def test_n_115_a_word_vouches_or_doubts(mirror: SeenMirror, word: Word) -> None:
    assert words([said(1, [mirror])], None, NOW) == {NAME: word}


def test_n_115_ones_own_word_and_old_ones_and_other_kinds_do_not_count() -> None:
    old = said(2, [ROTTEN], issued=NOW - HEALTH_SECONDS_MAX)
    other = said(3, [ROTTEN], kind="mirror-wealth")
    assert words([said(1, [ROTTEN]), old, other], issuer(1), NOW) == {}


def test_n_115_many_keys_of_a_liar_are_eight_at_most() -> None:
    liars = [said(number, [ROTTEN]) for number in range(1, 40)]
    (word,) = words(liars, None, NOW).values()
    assert word == Word(ISSUERS_MAX, 0)


def test_a_body_that_says_nothing_is_passed_over() -> None:
    broken = said(1, [GOOD])
    stated = Statement(KIND, issuer(1), PAYLOAD, 1, NOW - 60, NOW + 60, b"\x01")
    assert words([SignedStatement(stated, broken.signed, broken.raw)], None, NOW) == {}
