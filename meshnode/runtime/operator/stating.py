"""What peers and people claim: `statements` lists what is kept, `report` states an issue.

Which statements are kept and passed on is decided by the node.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from ipaddress import ip_address
from typing import Annotated, Any, Final

from pydantic import Field

from meshnode.control import Message
from meshnode.core.entries import ItemName
from meshnode.core.identifiers import CatalogueId, catalogue_text, object_text, peer_id, sha256
from meshnode.core.limits import NAME_BYTES_MAX
from meshnode.core.statement_bodies import (
    DAY_SECONDS,
    NOTE_BYTES_MAX,
    Endpoint,
    Issue,
    Problem,
    Provider,
    SeenMirror,
    decode_body,
    encode_body,
)
from meshnode.core.statements import SignedStatement, Statement
from meshnode.errors import UsageError
from meshnode.runtime.operator.arguments import Action, Arguments, HexDigest
from meshnode.runtime.operator.refusals import refused
from meshnode.runtime.peer import Peer
from meshnode.runtime.statements import state

LISTED_MAX: Final = 1_000  # the latest; a program that wants more asks by subject or kind
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
    try:
        stated = await state(peer, _KIND, asked.subject, body, asked.days * DAY_SECONDS)
    except UsageError as error:
        if peer.node.read_only:
            raise refused(peer, str(error)) from error
        raise
    yield {"result": _shown(peer, stated)}


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


def _said(said: Statement) -> dict[str, Any]:
    """Return what a statement says; kinds that are not shown in words are CBOR in hex."""
    body = decode_body(said.kind, said.body)
    if isinstance(body, Issue):
        about = [body.about.collection, body.about.id] if body.about else None
        return {"problem": body.problem.name.lower(), "item": about, "note": body.note}
    if isinstance(body, Provider):
        return {"endpoints": [_endpoint_text(each) for each in body.endpoints]}
    if isinstance(body, tuple):
        return {"mirrors": [_seen(each) for each in body]}
    return {"hex": said.body.hex()}


def _endpoint_text(endpoint: Endpoint) -> str:
    ip = ip_address(endpoint.address)
    return f"[{ip}]:{endpoint.port}" if ip.version == 6 else f"{ip}:{endpoint.port}"


def _seen(mirror: SeenMirror) -> dict[str, Any]:
    return {
        "url_sha256": mirror.url_sha256.hex(),
        "verified": mirror.verified,
        "wrong": mirror.wrong,
        "unreachable": mirror.unreachable,
    }


ACTIONS: dict[str, Action] = {"statements": (Listed, statements), "report": (Report, report)}
