"""Who a peer is and what it holds: questions over a stream, and peers of two versions that meet."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from meshnode.control import Control
from meshnode.core.disclosure import Disclosure
from meshnode.core.effects import AskHeads, AskLog, FetchObject, Request
from meshnode.core.events import Event, Now, RequestFailed, Unfollowed
from meshnode.core.exchange import (
    AskHello,
    AskRecon,
    AskRecords,
    HelloReceived,
    ReconReceived,
    RecordsReceived,
)
from meshnode.core.heads import decode_signed_head
from meshnode.core.identifiers import Digest
from meshnode.core.limits import COMPARED_RECORDS_MAX
from meshnode.core.names import Ticket
from meshnode.core.node import Node
from meshnode.core.reconciliation import ItemSet, Reconciler
from meshnode.core.verdicts import Check
from meshnode.runtime.home import Home
from meshnode.runtime.network import network
from meshnode.runtime.network.frames import ANSWER_BYTES_MAX, read_frame, write_frame
from meshnode.runtime.network.requests import Requests
from meshnode.runtime.network.serving import COMPARING_BURST, Serving
from meshnode.runtime.service import offline, running
from tests.core.solo import holding, institution
from tests.runtime import homes
from tests.runtime.homes import WITHIN_SECONDS, follow, ids_found, loopback, made_home
from tests.runtime.peers import ANSWERER, ASKER, Folder, Line, Shelf, no_peers, no_provider
from tests.runtime.test_requests import Scripted, frame

VILLE = institution()
HEAD = decode_signed_head(VILLE.log.heads[-1])
OTHER = Digest(b"?" * 32)
EMPTY = Reconciler(ItemSet(()), 9999).first()


@pytest.fixture
def node() -> Node:
    return holding(VILLE).node


@pytest.fixture
def line(nursery: trio.Nursery, node: Node) -> Line:
    line = Line(nursery)
    line.answerers[ANSWERER] = Serving(Shelf(), no_peers, no_provider, disclosure=node.disclosure)
    return line


@pytest.fixture
def requests(line: Line, tmp_path: Path) -> Requests:
    return Requests(line.open_stream, Folder(tmp_path), list)


# --- Questions ------------------------------------------------------------------------------------
async def test_a_peer_says_who_it_is_what_it_holds_and_gives_it(
    requests: Requests, node: Node
) -> None:
    hello = await requests.perform(AskHello(ANSWERER, None, 3))
    greeting = node.disclosure.greet(None)
    assert hello == HelloReceived(ANSWERER, 3, greeting)
    recon = await requests.perform(AskRecon(ANSWERER, greeting.admitted, None, EMPTY, 4))
    assert isinstance(recon, ReconReceived)
    assert recon.attempt == 4
    assert Reconciler(ItemSet(()), 9999).take(recon.message).lacked == (HEAD.signed.digest,)
    records = await requests.perform(AskRecords(ANSWERER, (HEAD.signed.digest, OTHER), 5))
    assert records == RecordsReceived(ANSWERER, 5, (HEAD.raw,))


async def test_a_part_of_the_list_is_compared(requests: Requests, node: Node) -> None:
    greeting = node.disclosure.greet(None)
    recon = await requests.perform(AskRecon(ANSWERER, greeting.admitted, b"\x00", EMPTY))
    assert isinstance(recon, ReconReceived)
    assert Reconciler(ItemSet(()), 9999).take(recon.message).lacked == ()


async def test_a_message_about_a_former_list_is_answered_with_the_changes(
    requests: Requests, node: Node
) -> None:
    before = node.disclosure.greet(None).admitted
    node.handle([Unfollowed(Ticket(9), VILLE.catalogue)], Now(0.0, 0))
    event = await requests.perform(AskRecon(ANSWERER, before, None, EMPTY, 6))
    assert event == HelloReceived(ANSWERER, 6, node.disclosure.greet(before))
    assert isinstance(event, HelloReceived)
    assert event.greeting is not None
    assert event.greeting.removed == (VILLE.catalogue,)


async def test_a_peer_of_version_1_refuses_hello_and_is_no_failure(
    nursery: trio.Nursery, tmp_path: Path
) -> None:
    line = Line(nursery)
    line.answerers[ANSWERER] = Serving(Shelf(), no_peers, no_provider)
    requests = Requests(line.open_stream, Folder(tmp_path), list)
    assert await requests.perform(AskHello(ANSWERER, None, 1)) == HelloReceived(ANSWERER, 1, None)
    for request in (AskRecon(ANSWERER, OTHER, None, EMPTY), AskRecords(ANSWERER, (OTHER,))):
        refused = RequestFailed(request, "the peer refused the question")
        assert await requests.perform(request) == refused


@pytest.mark.parametrize(
    "question",
    [
        ["hello"],
        ["hello", b"short"],
        ["hello", 3],
        ["recon", OTHER, None],
        ["recon", b"short", None, EMPTY],
        ["recon", OTHER, "text", EMPTY],
        ["recon", OTHER, None, "text"],
        ["records", [b"short"]],
        ["records", [OTHER] * (COMPARED_RECORDS_MAX + 1)],
        ["records", OTHER],
    ],
)
async def test_a_question_of_another_shape_is_refused(line: Line, question: list[object]) -> None:
    assert await ask(line, question) == ["refused"]


@pytest.mark.parametrize(("chosen", "message"), [(None, b"no message"), (b"\x02", EMPTY)])
async def test_a_message_that_is_none_is_refused(
    line: Line, node: Node, chosen: bytes | None, message: bytes
) -> None:
    admitted = node.disclosure.greet(None).admitted
    assert await ask(line, ["recon", admitted, chosen, message]) == ["refused"]


async def ask(line: Line, question: list[object]) -> object:
    stream = await line.open_stream(ANSWERER)
    await write_frame(stream, question)
    return await read_frame(stream, ANSWER_BYTES_MAX)


async def test_a_peer_that_compares_without_end_hears_that_this_one_is_busy(line: Line) -> None:
    for _ in range(int(COMPARING_BURST)):
        answered = await ask(line, ["hello", None])
        assert isinstance(answered, list)
        assert answered[0] == "hello"
    assert await ask(line, ["hello", None]) == ["busy"]
    assert await ask(line, ["recon", OTHER, None, EMPTY]) == ["busy"]
    assert await ask(line, ["contacts", []]) == ["contacts", [], []]
    assert ASKER != ANSWERER


GREETING: list[Any] = [[1, 2], [57344, 256], OTHER, None, [], []]


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (AskHello(ANSWERER, None), ["hello", *GREETING[:5]]),
        (AskHello(ANSWERER, None), ["hello", [0, 2], *GREETING[1:]]),
        (AskHello(ANSWERER, None), ["hello", [1, 2, 3], *GREETING[1:]]),
        (AskHello(ANSWERER, None), ["hello", [1, 2], [57344], *GREETING[2:]]),
        (AskHello(ANSWERER, None), ["hello", [1, 2], [1, 1, *[1] * 17], *GREETING[2:]]),
        (AskHello(ANSWERER, None), ["hello", *GREETING[:2], b"short", None, [], []]),
        (AskHello(ANSWERER, None), ["hello", *GREETING[:3], b"short", [], []]),
        (AskHello(ANSWERER, None), ["hello", *GREETING[:4], [b"short"], []]),
        (AskHello(ANSWERER, None), ["hello", *GREETING[:5], b"no list"]),
        (AskHello(ANSWERER, None), ["recon", b"a"]),
        (AskRecon(ANSWERER, OTHER, None, EMPTY), ["recon", "text"]),
        (AskRecon(ANSWERER, OTHER, None, EMPTY), ["recon", b"a", b"b"]),
        (AskRecon(ANSWERER, OTHER, None, EMPTY), ["hello", *GREETING[:5]]),
        (AskRecon(ANSWERER, OTHER, None, EMPTY), [b"recon", b"a"]),
        (AskRecords(ANSWERER, (OTHER,)), ["records", [3]]),
        (AskRecords(ANSWERER, (OTHER,)), ["records", b"no list"]),
    ],
)
async def test_an_answer_of_another_shape_is_the_peers_fault(
    nursery: trio.Nursery, tmp_path: Path, request_: Request, answer: list[object]
) -> None:
    peer = Scripted(nursery, frame(answer))
    event = await Requests(peer.open_stream, Folder(tmp_path), list).perform(request_)
    assert isinstance(event, RequestFailed)
    assert event.check is Check.FRAME


async def test_limits_that_a_later_version_adds_are_passed_over(
    nursery: trio.Nursery, tmp_path: Path
) -> None:
    answer = ["hello", [2, 3], [57344, 256, 7], OTHER, None, [], []]
    peer = Scripted(nursery, frame(answer))
    requests = Requests(peer.open_stream, Folder(tmp_path), list)
    event = await requests.perform(AskHello(ANSWERER, None))
    assert isinstance(event, HelloReceived)
    assert event.greeting is not None
    assert (event.greeting.versions, event.greeting.records_max) == ((2, 3), 256)


# --- Peers of two versions ------------------------------------------------------------------------
class Recording(Requests):
    """Requests that remember what they were asked to do."""

    performed: list[Request]

    async def perform(self, request: Request) -> Event:
        self.performed.append(request)
        return await super().perform(request)


class FormerRequests(Recording):
    """The asking side of version 1: it knows no hello, and takes everybody for one of its kind."""

    async def perform(self, request: Request) -> Event:
        if isinstance(request, AskHello):
            return HelloReceived(request.peer, request.attempt, None)
        return await super().perform(request)


class FormerServing(Serving):
    """The answering side of version 1."""

    def __init__(self, *arguments: Any, disclosure: Disclosure, **others: Any) -> None:
        super().__init__(*arguments, **others)


@asynccontextmanager
async def online(
    home: Home, version: int, seeds: list[str], patch: pytest.MonkeyPatch
) -> AsyncIterator[list[Request]]:
    """Run a peer of a version; yield what it asks."""
    performed: list[Request] = []
    kind = {1: FormerRequests, 2: Recording}[version]
    async with AsyncExitStack() as stack:
        with patch.context() as changed:
            changed.setattr(network, "Requests", type("Asking", (kind,), {"performed": performed}))
            changed.setattr(network, "Serving", {1: FormerServing, 2: Serving}[version])
            await stack.enter_async_context(running(home.root, loopback(*seeds), online=True))
        yield performed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("publisher", "newcomer", "asked"),
    [
        (2, 2, {AskHello, AskRecon, AskRecords}),
        (1, 2, {AskHello, AskHeads}),
        (2, 1, {AskHeads}),
    ],
)
async def test_a_peer_catches_up_from_another_of_either_version(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    publisher: int,
    newcomer: int,
    asked: set[type],
) -> None:
    home = await trio.to_thread.run_sync(homes.published_home, tmp_path, ["a"], ["b"])
    institution_, _ = homes.publisher_of(home)
    other = made_home(tmp_path / "other")
    async with offline(other.root):
        await follow(other, institution_)
    async with online(home, publisher, [], monkeypatch):
        addresses = (await Control(home.control).ask("status"))["addresses"]
        async with online(other, newcomer, addresses, monkeypatch) as performed:
            with trio.fail_after(WITHIN_SECONDS):
                while await ids_found(other) != ["a", "b"]:
                    pass
    found = {type(request) for request in performed} - {AskLog, FetchObject}
    assert found == asked
