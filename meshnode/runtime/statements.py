"""Saying something as this peer: a statement is signed with its own key and told to the node.

What a statement says is decided by those who make one; which are kept and passed on, by the node.
"""

from __future__ import annotations

import trio

from meshnode.core.events import Stated
from meshnode.core.identifiers import Digest
from meshnode.core.signed import encode_signed
from meshnode.core.signing import public_key, sign
from meshnode.core.statements import (
    SignedStatement,
    Statement,
    StatementName,
    encode_statement,
)
from meshnode.errors import UsageError
from meshnode.runtime.clock import unix_now
from meshnode.runtime.keys import load_or_create_key
from meshnode.runtime.peer import Peer


async def state(
    peer: Peer, kind: str, subject: Digest, body: bytes, seconds: int
) -> SignedStatement:
    """Sign a statement that stands for `seconds`, and have the node keep and announce it.

    Raises:
        UsageError: the node refuses it, with its reason.
    """
    key = await trio.to_thread.run_sync(load_or_create_key, peer.home.identity)
    issuer, now = public_key(key), unix_now()
    name = StatementName(issuer, kind, subject)
    seq = _next_seq(peer, name, now)
    said = Statement(kind, issuer, subject, seq, now, now + seconds, body)
    signed = sign("statement", encode_statement(said), [key])
    raw = encode_signed(signed)
    if refusal := await peer.tickets.ask(peer.tell, lambda ticket: Stated(ticket, raw)):
        raise UsageError(refusal, hint="meshnode catalogue list: what this peer follows")
    return SignedStatement(said, signed, raw)


def _next_seq(peer: Peer, name: StatementName, now: int) -> int:
    """Return a seq above that of the last one of this name; a peer that lost it goes by time."""
    last = (
        each.seq
        for each in peer.node.claims.of_kind(name.kind, name.subject)
        if each.issuer == name.issuer
    )
    return max(now, *(seq + 1 for seq in last), 0)
