"""What peers tell each other of mirrors, and how much it counts (protocol/05-sync.md, N-113).

A statement is a claim: it orders mirrors, and neither trusts nor bans one. Every peer verifies for
itself what it fetches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from meshnode.core.identifiers import Digest, PublicKey, sha256
from meshnode.core.statement_bodies import SeenMirror, decode_body
from meshnode.core.statements import SignedStatement

KIND: Final = "mirror-health"
HEALTH_SECONDS_MAX: Final = 3 * 86_400  # a mirror is another one after that
ISSUERS_MAX: Final = 8  # whose word counts of one mirror: many keys cost a liar nothing
UNREACHABLE_MIN: Final = 3  # failures in a row that make a doubt: servers restart
COUNT_MAX: Final = 255


@dataclass(frozen=True, slots=True)
class Word:
    """How many peers doubt a mirror, and how many vouch for it."""

    doubters: int = 0
    vouchers: int = 0


NO_WORD: Final = Word()
Heard = Callable[[Digest], Mapping[Digest, Word]]  # of a payload; by the SHA-256 of the URLs


def seen(url: str, proven: int, owed: int, failures: int) -> SeenMirror:
    """Return what is told of a mirror: `proven` in unix seconds, 0 for never."""
    wrong = min(owed, COUNT_MAX)
    return SeenMirror(sha256(url.encode()), proven or None, wrong, min(failures, COUNT_MAX))


def words(
    statements: Iterable[SignedStatement],
    own: PublicKey | None,
    now: int,
    payload: Digest | None = None,
) -> dict[Digest, Word]:
    """Add up what others say of each mirror, by the SHA-256 of its URL; of one payload, or of all.

    Of each issuer the newest statement of a mirror counts, and of a mirror those of ISSUERS_MAX
    issuers, the newest first. What is older than HEALTH_SECONDS_MAX does not count.
    """
    found: dict[Digest, dict[PublicKey, SeenMirror]] = {}
    latest = [each for each in statements if _counts(each, own, now, payload)]
    for each in sorted(latest, key=lambda each: (-each.statement.issued, each.signed.digest)):
        body = decode_body(KIND, each.statement.body)
        for mirror in body if isinstance(body, tuple) else ():
            said = found.setdefault(mirror.url_sha256, {})
            if len(said) < ISSUERS_MAX:
                said.setdefault(each.statement.issuer, mirror)
    return {name: _word(said.values()) for name, said in found.items()}


def _counts(each: SignedStatement, own: PublicKey | None, now: int, payload: Digest | None) -> bool:
    said = each.statement
    return (
        said.kind == KIND
        and said.issuer != own
        and payload in (None, said.subject)
        and said.issued > now - HEALTH_SECONDS_MAX
        and said.expires > now
    )


def _word(said: Iterable[SeenMirror]) -> Word:
    doubters = vouchers = 0
    for each in said:
        if each.wrong or each.unreachable >= UNREACHABLE_MIN:
            doubters += 1
        elif each.verified is not None:
            vouchers += 1
    return Word(doubters, vouchers)
