"""The questions by which two peers find out what one lacks, as frames: both sides in one place.

Implements protocol/05-sync.md, "Hello" and "Reconciliation", on a stream. What a greeting or a
message means is decided by the node; deadlines and budgets are those of `requests` and `serving`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, assert_never

from meshnode.core.disclosure import Disclosure
from meshnode.core.effects import Comparing
from meshnode.core.encoding import MalformedRecordError
from meshnode.core.events import Event
from meshnode.core.exchange import (
    AskHello,
    AskRecon,
    AskRecords,
    HelloReceived,
    ReconReceived,
    RecordsReceived,
)
from meshnode.core.hello import Greeting
from meshnode.core.identifiers import DIGEST_BYTES, CatalogueId, Digest, PeerId
from meshnode.core.limits import ADMITTED_MAX, COMPARED_RECORDS_MAX, INTEGER_MAX
from meshnode.runtime.network.frames import FrameError, expect_bytes, expect_int, expect_list

HELLO_FIELDS: Final = 6  # of the answer, beside its kind
LIMITS_MAX: Final = 16  # that a greeting states beside the two; they are of later versions

# Asks one question; returns which of these kinds the answer is, and as many fields as that has.
Ask = Callable[[PeerId, list[object], Mapping[str, int]], Awaitable[tuple[str, list[object]]]]


# --- Asking ---------------------------------------------------------------------------------------
async def compare(request: Comparing, ask: Ask) -> Event:
    """Ask one of these questions; return what came of it. Raises PeerError, trio.TooSlowError."""
    peer, attempt = request.peer, request.attempt
    match request:
        case AskHello(_, known):
            kinds = {"hello": HELLO_FIELDS, "refused": 0}
            kind, fields = await ask(peer, ["hello", known], kinds)
            greeting = None if kind == "refused" else _read_greeting(fields)
            return HelloReceived(peer, attempt, greeting)
        case AskRecon(_, admitted, chosen, message):
            kinds = {"hello": HELLO_FIELDS, "recon": 1}
            kind, fields = await ask(peer, ["recon", admitted, chosen, message], kinds)
            if kind == "hello":
                return HelloReceived(peer, attempt, _read_greeting(fields))
            return ReconReceived(peer, attempt, expect_bytes(fields[0]))
        case AskRecords(_, names):
            _, (found,) = await ask(peer, ["records", list(names)], {"records": 1})
            raws = expect_list(found, COMPARED_RECORDS_MAX)
            return RecordsReceived(peer, attempt, tuple(map(expect_bytes, raws)))
        case _:
            assert_never(request)


def _read_greeting(fields: list[object]) -> Greeting:
    match fields:
        case [[least, greatest], [message_bytes, records, *later], name, base, added, removed]:
            expect_list(later, LIMITS_MAX)
            return Greeting(
                (expect_int(least, 1, INTEGER_MAX), expect_int(greatest, 1, INTEGER_MAX)),
                expect_int(message_bytes, 0, INTEGER_MAX),
                expect_int(records, 0, INTEGER_MAX),
                _digest(name),
                None if base is None else _digest(base),
                tuple(map(_catalogue, expect_list(added, ADMITTED_MAX))),
                tuple(map(_catalogue, expect_list(removed, ADMITTED_MAX))),
            )
        case _:
            raise FrameError("not a greeting")


# --- Answering ------------------------------------------------------------------------------------
def disclosed(disclosure: Disclosure, question: object) -> list[object]:
    """Answer one of these questions. Raises FrameError: it is none."""
    match question:
        case ["hello", known]:
            greeting = disclosure.greet(None if known is None else _digest(known))
            return ["hello", *write_greeting(greeting)]
        case ["recon", name, chosen, message]:
            return _reconciled(disclosure, name, chosen, message)
        case ["records", named]:
            names = expect_list(named, COMPARED_RECORDS_MAX)
            return ["records", list(disclosure.records([_digest(name) for name in names]))]
        case _:
            raise FrameError("not a question of this protocol")


def _reconciled(
    disclosure: Disclosure, name: object, chosen: object, message: object
) -> list[object]:
    bitmap = None if chosen is None else expect_bytes(chosen)
    try:
        answer = disclosure.reconcile(_digest(name), bitmap, expect_bytes(message))
    except MalformedRecordError as error:
        raise FrameError(str(error)) from error
    return ["hello", *write_greeting(answer)] if isinstance(answer, Greeting) else ["recon", answer]


def write_greeting(greeting: Greeting) -> list[object]:
    """Return the fields of the answer `hello`."""
    return [
        list(greeting.versions),
        [greeting.message_bytes_max, greeting.records_max],
        greeting.admitted,
        greeting.base,
        list(greeting.added),
        list(greeting.removed),
    ]


def _digest(value: object) -> Digest:
    return Digest(expect_bytes(value, DIGEST_BYTES))


def _catalogue(value: object) -> CatalogueId:
    return CatalogueId(expect_bytes(value, DIGEST_BYTES))
