"""What peers and people claim: `statements` lists what is kept, `report` states an issue.

Signs with the peer's own key. Which statements are kept and passed on is decided by the node.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Annotated, Any, Final

import trio
from pydantic import Field

from meshnode.control import Message
from meshnode.core import events as ev
from meshnode.core.entries import ItemName
from meshnode.core.identifiers import (
    CatalogueId,
    catalogue_text,
    object_text,
    peer_id,
    sha256,
)
from meshnode.core.limits import NAME_BYTES_MAX
from meshnode.core.signed import encode_signed
from meshnode.core.signing import public_key, sign
from meshnode.core.statement_bodies import NOTE_BYTES_MAX, Issue, Problem, decode_body, encode_body
from meshnode.core.statements import (
    SignedStatement,
    Statement,
    StatementName,
    encode_statement,
)
from meshnode.errors import UsageError
from meshnode.runtime.clock import unix_now
from meshnode.runtime.keys import load_or_create_key
from meshnode.runtime.operator.arguments import Action, Arguments, HexDigest
from meshnode.runtime.operator.refusals import refused
from meshnode.runtime.peer import Peer

LISTED_MAX: Final = 1_000  # the latest; a program that wants more asks by subject or kind
DAY_SECONDS: Final = 86_400
DAYS_MAX: Final = 366

_KIND: Final = "issue"


class Listed(Arguments):
    """Which statements: all, or those about one thing, or of one kind."""

    subject: HexDigest | None = None
    kind: str | None = None


class Report(Arguments):
    """An issue with a catalogue, a segment or a payload, for `days`."""

    subject: HexDigest
    problem: Annotated[int, Field(ge=0, lt=len(Problem))]
    about: (
        tuple[Annotated[str, Field(min_length=1)], Annotated[str, Field(min_length=1)]] | None
    ) = None
    note: str = ""
    days: Annotated[int, Field(ge=1, le=DAYS_MAX)] = 90


async def statements(peer: Peer, asked: Listed) -> AsyncGenerator[Message, None]:
    """Return the latest statements, and how many there are."""
    found = [
        each
        for each in peer.node.claims
        if asked.subject in (None, each.statement.subject)
        and asked.kind in (None, each.statement.kind)
    ]
    found.sort(key=lambda each: (-each.statement.issued, each.signed.digest))
    shown = [_shown(peer, each) for each in found[:LISTED_MAX]]
    yield {"result": {"count": len(found), "statements": shown}}


async def report(peer: Peer, asked: Report) -> AsyncGenerator[Message, None]:
    """State that something is wrong; the result is the statement. Raises UsageError."""
    about = ItemName(*asked.about) if asked.about else None
    body = encode_body(Issue(Problem(asked.problem), about, asked.note))
    if decode_body(_KIND, body) is None:
        limits = f"a note has at most {NOTE_BYTES_MAX:,} bytes, a name {NAME_BYTES_MAX}"
        raise UsageError(limits, hint="make them shorter")
    key = await trio.to_thread.run_sync(load_or_create_key, peer.home.identity)
    now, issuer = unix_now(), public_key(key)
    stated = Statement(
        kind=_KIND,
        issuer=issuer,
        subject=asked.subject,
        seq=_next_seq(peer, StatementName(issuer, _KIND, asked.subject), now),
        issued=now,
        expires=now + asked.days * DAY_SECONDS,
        body=body,
    )
    signed = sign("statement", encode_statement(stated), [key])
    raw = encode_signed(signed)
    if refusal := await peer.tickets.ask(peer.tell, lambda ticket: ev.Stated(ticket, raw)):
        if peer.node.read_only:
            raise refused(peer, refusal)
        raise UsageError(refusal, hint="meshnode catalogue list: what this peer follows")
    yield {"result": _shown(peer, SignedStatement(stated, signed, raw))}


def _next_seq(peer: Peer, name: StatementName, now: int) -> int:
    """Return a seq above that of the last one of this name; a peer that lost it goes by time."""
    last = (each.statement.seq for each in peer.node.claims if each.name == name)
    return max(now, *(seq + 1 for seq in last), 0)


def _shown(peer: Peer, each: SignedStatement) -> dict[str, Any]:
    said = each.statement
    return {
        "kind": said.kind,
        "issuer": peer_id(said.issuer),
        "own": peer_id(said.issuer) == peer.id,
        "subject": said.subject.hex(),
        "about": _subject_text(peer, said),
        "seq": said.seq,
        "issued": said.issued,
        "expires": said.expires,
        "name": each.signed.digest.hex(),
        "says": _said(said),
    }


def _subject_text(peer: Peer, said: Statement) -> str:
    """Name what a statement is about as commands name it."""
    if said.subject == sha256(said.issuer):
        return "its issuer"
    catalogues = peer.node.catalogues
    if CatalogueId(said.subject) in catalogues:
        return catalogue_text(CatalogueId(said.subject))
    keys = (key for c in catalogues.values() for _, key in c.contents.payloads)
    return f"payload:{said.subject.hex()}" if said.subject in keys else object_text(said.subject)


def _said(said: Statement) -> dict[str, Any] | None:
    """Return what an issue says; other kinds are shown as what they are, CBOR in hex."""
    body = decode_body(said.kind, said.body)
    if isinstance(body, Issue):
        about = [body.about.collection, body.about.id] if body.about else None
        return {"problem": body.problem.name.lower(), "item": about, "note": body.note}
    return {"hex": said.body.hex()}


ACTIONS: dict[str, Action] = {"statements": (Listed, statements), "report": (Report, report)}
