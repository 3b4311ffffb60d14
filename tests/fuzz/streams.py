"""Targets of what comes in over sockets: frames, questions, answers, control lines."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import msgpack
import trio
from libp2p.crypto.ed25519 import create_new_key_pair
from pydantic import ValidationError

from meshnode.control import encode_line, read_lines
from meshnode.core.durable import AdoptRoot, ExtendLog
from meshnode.core.effects import AskHeads, AskLog, AskRoots, FetchObject, Request
from meshnode.core.events import Event, ObjectStored, RequestFailed
from meshnode.core.exchange import AskHello, AskRecon, AskRecords
from meshnode.core.heads import decode_signed_head
from meshnode.core.identifiers import CatalogueId, Digest, Kid, PeerId, catalogue_text, sha256
from meshnode.core.limits import RECONCILIATION_BYTES_MAX
from meshnode.core.names import HeadName, LogId
from meshnode.core.reconciliation import ItemSet, Reconciler
from meshnode.core.verdicts import Check
from meshnode.errors import MeshnodeError, PeerError, UsageError
from meshnode.runtime import operator
from meshnode.runtime.home import Home
from meshnode.runtime.network.comparing import write_greeting
from meshnode.runtime.network.frames import ANSWER_BYTES_MAX, read_frame
from meshnode.runtime.network.peer_records import read_record, seal
from meshnode.runtime.network.requests import Requests
from meshnode.runtime.network.serving import Serving
from meshnode.runtime.store import Store
from tests.core.solo import holding, institution
from tests.fuzz.target import Target
from tests.runtime.peers import Folder, no_peers, no_provider

ANSWERER = PeerId("answerer")
CATALOGUE = CatalogueId(bytes(range(32)))
LOG = LogId(CATALOGUE, Kid(bytes(16)))
CONTENT = b"an object's bytes"
CHUNKS_BYTES = 7  # how a case's bytes are cut: frames span reads
VILLE = institution()
DISCLOSURE = holding(VILLE).node.disclosure
ADMITTED = DISCLOSURE.greet(None).admitted
NEWEST = decode_signed_head(VILLE.log.heads[-1])


class Tape:
    """A stream that plays bytes and remembers what was written to it."""

    def __init__(self, raw: bytes) -> None:
        self._left = raw
        self.written = bytearray()

    async def read(self, bytes_max: int) -> bytes:
        size = min(bytes_max, max(CHUNKS_BYTES, len(self._left) // 4))
        part, self._left = self._left[:size], self._left[size:]
        return part

    async def write(self, data: bytes) -> None:
        self.written += data

    async def close(self) -> None:
        pass

    async def reset(self) -> None:
        pass


class Lines(trio.abc.ReceiveStream):
    """A socket that plays bytes."""

    def __init__(self, raw: bytes) -> None:
        self._left = raw

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        part, self._left = self._left[:CHUNKS_BYTES], self._left[CHUNKS_BYTES:]
        return part

    async def aclose(self) -> None:
        pass


def framed(*values: object) -> bytes:
    bodies = [msgpack.packb(value) for value in values]
    return b"".join(len(body).to_bytes(4, "big") + body for body in bodies)


MADE = 1_800_000_000
RECORD = seal(create_new_key_pair(bytes(32)), "/ip4/9.9.9.9/tcp/4001", MADE)
QUESTIONS: list[list[Any]] = [
    ["heads", [CATALOGUE, bytes(32)]],
    ["objects", [[bytes(32), 0], [bytes(32), 7]]],
    ["roots", CATALOGUE, 0],
    ["log", CATALOGUE, bytes(16), [1, bytes(32)], [[1, bytes(32)]]],
    ["object", sha256(CONTENT), 3],
    ["contacts", [RECORD]],
    ["dialback", 4001],
    ["provider", bytes(32)],
    ["hello", None],
    ["recon", ADMITTED, None, Reconciler(ItemSet(()), RECONCILIATION_BYTES_MAX).first()],
    ["records", [NEWEST.signed.digest, bytes(32)]],
]
HEAD = HeadName(1, Digest(bytes(32)))
REQUESTS: list[tuple[Request, list[Any]]] = [
    (
        AskHeads(ANSWERER, (CATALOGUE,)),
        [["heads", [b"head", b"other"], [[CATALOGUE, 1, bytes(32)]]]],
    ),
    (AskRoots(ANSWERER, CATALOGUE, 0), [["roots", [b"root"]]]),
    (AskLog(ANSWERER, LOG, HEAD, ()), [["log", [b"head"], 3, [b"entry"]]]),
    (FetchObject(ANSWERER, sha256(CONTENT), len(CONTENT)), [["object", len(CONTENT)], CONTENT]),
    (AskHello(ANSWERER, None), [["hello", *write_greeting(DISCLOSURE.greet(None))]]),
    (AskRecon(ANSWERER, ADMITTED, None, b"\x61"), [["recon", b"\x61"]]),
    (AskRecords(ANSWERER, (NEWEST.signed.digest,)), [["records", [NEWEST.raw]]]),
]


class Answerer:
    """A peer's answering side over a real store."""

    def __init__(self, held: ExitStack) -> None:
        home = Home(Path(held.enter_context(tempfile.TemporaryDirectory())) / "home")
        home.make()
        self._store = held.enter_context(closing(Store(home)))
        self._store.commit(
            [
                AdoptRoot(CATALOGUE, 1, b"root"),
                ExtendLog(LOG, ((1, b"head"),), 0, (b"entry",)),
            ]
        )
        path = self._store.partial(sha256(CONTENT))
        path.write_bytes(CONTENT)
        self._store.complete(sha256(CONTENT), path)

    def take_frames(self, raw: bytes) -> None:
        """Whatever comes over a stream, it is answered, refused, or the stream ends."""
        trio.run(self._answered, raw)

    def take(self, raw: bytes) -> None:
        """The same for what comes in a right frame.

        Raises:
            PeerError: it was refused, or is no value at all.
        """
        said = trio.run(self._answered, len(raw).to_bytes(4, "big") + raw)
        if not said or msgpack.unpackb(said[4 : 4 + int.from_bytes(said[:4], "big")]) == [
            "refused"
        ]:
            raise PeerError("refused")

    async def _answered(self, raw: bytes) -> bytes:
        tape = Tape(raw)
        serving = Serving(self._store, no_peers, no_provider, disclosure=DISCLOSURE)
        await serving.serve(PeerId("asker"), tape)
        return bytes(tape.written)


async def _performed(request: Request, raw: bytes) -> Event:
    async def open_stream(_: PeerId) -> Tape:
        return Tape(raw)

    with tempfile.TemporaryDirectory() as folder:
        requests = Requests(open_stream, Folder(Path(folder)), list)
        event = await requests.perform(request)
        if isinstance(event, ObjectStored):
            stored = await trio.Path(folder, event.digest.hex()).read_bytes()
            assert Digest(sha256(stored)) == event.digest
        return event


def take_answer(raw: bytes) -> None:
    """Whatever the answer, each request ends in an event; a wrong one is a fault with a name."""
    for request, _ in REQUESTS:
        event = trio.run(_performed, request, raw)
        if isinstance(event, RequestFailed):
            assert event.check in (None, Check.FRAME, Check.CONTENT_HASH)


def take_frame(raw: bytes) -> None:
    trio.run(read_frame, Tape(raw), ANSWER_BYTES_MAX)


async def _read_all(raw: bytes) -> list[Any]:
    return [message async for message in read_lines(Lines(raw))]


def take_control_lines(raw: bytes) -> None:
    assert all(isinstance(message, dict) for message in trio.run(_read_all, raw))


def take_action(raw: bytes) -> None:
    """The arguments of each action are taken, or refused as `operator.answer` expects."""
    said = _decoded(raw)
    for kind, _ in operator.ACTIONS.values():
        with suppress(ValidationError, MeshnodeError):
            kind.model_validate(said)


def _decoded(raw: bytes) -> Any:
    (message,) = trio.run(_read_all, raw.replace(b"\n", b" ") + b"\n")
    return message


ARGUMENTS: list[dict[str, Any]] = [
    {},
    {"catalogue": catalogue_text(CATALOGUE), "roots": ["00"]},
    {"catalogue": catalogue_text(CATALOGUE), "writer": "00" * 16},
    {"ids": ["a"], "collections": ["b"], "bbox": [1, 2, 3, 4], "datetime": "..", "limit": 3},
    {
        "catalogue": catalogue_text(CATALOGUE),
        "heads": ["00"],
        "first": 0,
        "entries": ["00"],
        "staged": ["00" * 32],
    },
]


def targets(held: ExitStack) -> list[Target]:
    answerer = Answerer(held)
    answers = tuple(framed(*values) for _, values in REQUESTS)
    questions = tuple(map(framed, QUESTIONS))
    lines = tuple(encode_line({"do": "search", "with": said}) for said in ARGUMENTS)
    return [
        Target("frame", None, (*questions, *answers), take_frame, (PeerError,)),
        Target("question-frames", None, questions, answerer.take_frames, ()),
        Target(
            "question",
            "msgpack",
            tuple(msgpack.packb(question) for question in QUESTIONS),
            answerer.take,
            (PeerError,),
        ),
        Target("answer-frames", None, answers, take_answer, ()),
        Target(
            "answer",
            "msgpack",
            tuple(msgpack.packb(values[0]) for _, values in REQUESTS),
            lambda raw: take_answer(len(raw).to_bytes(4, "big") + raw),
            (),
        ),
        Target(
            "peer-record", None, (RECORD,), lambda raw: read_record(raw, MADE), (MeshnodeError,)
        ),
        Target("control-lines", None, lines, take_control_lines, (UsageError,)),
        Target(
            "control-arguments",
            "json",
            tuple(encode_line(said) for said in ARGUMENTS),
            take_action,
            (UsageError,),
        ),
    ]
