"""Questions and answers between two peers, and what happens when one of them does not behave."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import msgpack
import pytest
import trio
import trio.testing

from meshnode.core.effects import AskHeads, AskLog, AskRoots, FetchObject
from meshnode.core.events import (
    HeadsReceived,
    LogReceived,
    ObjectStored,
    RequestFailed,
    RootsReceived,
)
from meshnode.core.identifiers import CatalogueId, Digest, Kid, PeerId, sha256
from meshnode.core.names import HeadName, LogId
from meshnode.core.verdicts import Check
from meshnode.errors import StorageError
from meshnode.runtime.network.frames import CHUNK_BYTES, FrameError, read_frame, write_frame
from meshnode.runtime.network.requests import Requests
from meshnode.runtime.network.serving import IN_FLIGHT_MAX, Serving
from meshnode.runtime.network.streams import StreamBrokenError
from tests.runtime.peers import (
    ANSWERER,
    ASKER,
    End,
    Folder,
    Line,
    MemoryStream,
    Shelf,
    connect,
    no_peers,
    no_provider,
)

CATALOGUE = CatalogueId(b"c" * 32)
LOG = LogId(CATALOGUE, Kid(b"w" * 16))
OTHER = PeerId("other")
BIG = random.Random(1).randbytes(2 * CHUNK_BYTES + 1000)
BIG_NAME = sha256(BIG)


@pytest.fixture
def shelf() -> Shelf:
    shelf = Shelf()
    shelf.all_heads[CATALOGUE] = [b"head 0", b"head 1"]
    shelf.all_roots[CATALOGUE] = [b"root 1"]
    shelf.entries[LOG] = [b"entry 0", b"entry 1", b"entry 2"]
    shelf.objects[BIG_NAME] = BIG
    return shelf


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.fixture
def requests(nursery: trio.Nursery, shelf: Shelf, folder: Folder) -> Requests:
    return connect(nursery, shelf, folder)


class Scripted:
    """A peer that sends given bytes, whatever it is asked, and then ends the stream."""

    def __init__(self, nursery: trio.Nursery, sends: bytes) -> None:
        self._nursery = nursery
        self._sends = sends

    async def open_stream(self, _peer: PeerId) -> MemoryStream:
        near, far = trio.testing.memory_stream_pair()
        self._nursery.start_soon(self._play, far)
        return MemoryStream(near)

    async def _play(self, far: End) -> None:
        await far.receive_some(1 << 16)
        await far.send_all(self._sends)
        await far.send_eof()


def frame(value: object) -> bytes:
    body: bytes = msgpack.packb(value)
    return len(body).to_bytes(4, "big") + body


def ask_log(wanted: int, *known: int) -> AskLog:
    """Ask for the way to a head from those known, all by their seq."""
    names = tuple(HeadName(seq, Digest(bytes([seq]) * 32)) for seq in (wanted, *known))
    return AskLog(ANSWERER, LOG, names[0], names[1:])


async def test_a_head_that_is_not_held_is_not_given(requests: Requests) -> None:
    event = await requests.perform(ask_log(1, 1))
    assert event == RequestFailed(ask_log(1, 1), "the peer does not have it")


def fetch(data: bytes, peer: PeerId = ANSWERER) -> FetchObject:
    return FetchObject(peer, sha256(data), len(data))


# --- Records --------------------------------------------------------------------------------------
async def test_heads_roots_and_log_come_as_the_library_holds_them(requests: Requests) -> None:
    assert await requests.perform(AskHeads(ANSWERER, (CATALOGUE,))) == HeadsReceived(
        ANSWERER, (b"head 0", b"head 1")
    )
    assert await requests.perform(AskRoots(ANSWERER, CATALOGUE)) == RootsReceived(
        ANSWERER, CATALOGUE, (b"root 1",)
    )
    assert await requests.perform(ask_log(2, 1)) == LogReceived(
        ANSWERER, LOG, (b"head 1",), 1, (b"entry 1", b"entry 2")
    )


async def test_a_peer_without_the_roots_is_not_at_fault(requests: Requests) -> None:
    request = AskRoots(ANSWERER, CatalogueId(b"?" * 32))
    assert await requests.perform(request) == RequestFailed(request, "the peer does not have it")


async def test_contacts_and_provider_are_what_the_other_side_says(
    nursery: trio.Nursery, shelf: Shelf, folder: Folder
) -> None:
    told = []

    def exchange(
        asker: PeerId, offered: Sequence[bytes]
    ) -> tuple[Sequence[bytes], Sequence[bytes]]:
        told.append((asker, offered))
        return [b"of the answerer"], [b"of another", b"of a third"]

    line = Line(nursery)
    line.answerers[ANSWERER] = Serving(shelf, exchange, {b"k" * 32: 6881}.get)
    requests = Requests(line.open_stream, folder, lambda: [b"mine"])
    own, others = await requests.ask_contacts(ANSWERER)
    assert (own, others) == ((b"of the answerer",), (b"of another", b"of a third"))
    assert told == [(ASKER, (b"mine",))]
    assert await requests.ask_provider(ANSWERER, b"k" * 32) == 6881
    assert await requests.ask_provider(ANSWERER, b"?" * 32) is None


@pytest.mark.parametrize(
    "sends",
    [
        b"\xff\xff\xff\xff",
        b"\x00\x00\x00\x01\xc1",
        frame("heads"),
        frame(["roots", []]),
        frame(["heads", ["text"]]),
        frame(["heads", [b"x"] * 5000]),
        frame(["heads", [b"head"], "more"]),
    ],
    ids=["length", "msgpack", "no list", "other kind", "not bytes", "too many", "too long"],
)
async def test_an_answer_of_the_wrong_shape_is_the_peers_fault(
    nursery: trio.Nursery, folder: Folder, sends: bytes
) -> None:
    requests = Requests(Scripted(nursery, sends).open_stream, folder, list)
    event = await requests.perform(AskHeads(ANSWERER, (CATALOGUE,)))
    assert isinstance(event, RequestFailed)
    assert event.check is Check.FRAME


async def test_a_log_from_nowhere_is_the_peers_fault(nursery: trio.Nursery, folder: Folder) -> None:
    answer = frame(["log", [b"head"], -7, [b"entry"]])
    requests = Requests(Scripted(nursery, answer).open_stream, folder, list)
    event = await requests.perform(ask_log(1))
    assert isinstance(event, RequestFailed)
    assert event.check is Check.FRAME


async def test_a_peer_that_never_answers_is_given_up_without_blame(folder: Folder) -> None:
    near, _far = trio.testing.memory_stream_pair()

    async def open_stream(_peer: PeerId) -> MemoryStream:
        return MemoryStream(near)

    request = AskHeads(ANSWERER, (CATALOGUE,))
    event = await Requests(open_stream, folder, list, deadline_seconds=0.05).perform(request)
    assert event == RequestFailed(request, "no answer within 0.05 s")


async def test_a_stream_that_breaks_is_nobodys_fault(nursery: trio.Nursery, folder: Folder) -> None:
    requests = Requests(Scripted(nursery, b"\x00\x00").open_stream, folder, list)
    event = await requests.perform(AskHeads(ANSWERER, (CATALOGUE,)))
    assert isinstance(event, RequestFailed)
    assert event.check is None


# --- Objects --------------------------------------------------------------------------------------
async def test_an_object_arrives_whole(requests: Requests, folder: Folder) -> None:
    assert await requests.perform(fetch(BIG)) == ObjectStored(BIG_NAME)
    assert folder.read_object(BIG_NAME) == BIG
    assert not folder.partial(BIG_NAME).exists()


async def test_an_empty_object_arrives_too(
    requests: Requests, shelf: Shelf, folder: Folder
) -> None:
    shelf.objects[sha256(b"")] = b""
    assert await requests.perform(fetch(b"")) == ObjectStored(sha256(b""))
    assert folder.read_object(sha256(b"")) == b""


async def test_a_broken_download_goes_on_where_it_ended(
    nursery: trio.Nursery, shelf: Shelf, folder: Folder
) -> None:
    half = frame(["object", len(BIG)]) + frame(BIG[:CHUNK_BYTES])
    cut = Requests(Scripted(nursery, half).open_stream, folder, list)
    event = await cut.perform(fetch(BIG))
    assert isinstance(event, RequestFailed)
    assert event.check is None
    assert folder.partial(BIG_NAME).read_bytes() == BIG[:CHUNK_BYTES]

    rest = frame(["object", len(BIG)]) + frame(BIG[CHUNK_BYTES : 2 * CHUNK_BYTES])
    rest += frame(BIG[2 * CHUNK_BYTES :])
    resumed = Requests(Scripted(nursery, rest).open_stream, folder, list)
    assert await resumed.perform(fetch(BIG)) == ObjectStored(BIG_NAME)
    assert folder.read_object(BIG_NAME) == BIG


async def test_the_answerer_serves_from_the_offset_asked_for(
    requests: Requests, folder: Folder
) -> None:
    folder.partial(BIG_NAME).write_bytes(BIG[:777])
    assert await requests.perform(fetch(BIG)) == ObjectStored(BIG_NAME)
    assert folder.read_object(BIG_NAME) == BIG


async def test_a_partial_that_was_whole_already_is_not_fetched_again(
    requests: Requests, shelf: Shelf, folder: Folder
) -> None:
    folder.partial(BIG_NAME).write_bytes(BIG)
    assert await requests.perform(fetch(BIG)) == ObjectStored(BIG_NAME)
    assert shelf.opened == []


async def test_wrong_bytes_are_blamed_by_content_hash_and_dropped(
    requests: Requests, shelf: Shelf, folder: Folder
) -> None:
    shelf.objects[BIG_NAME] = b"\x00" + BIG[1:]
    event = await requests.perform(fetch(BIG))
    assert isinstance(event, RequestFailed)
    assert event.check is Check.CONTENT_HASH
    assert list(folder.path.iterdir()) == []


async def test_nobody_is_blamed_when_another_began_the_wrong_bytes(
    nursery: trio.Nursery, shelf: Shelf, folder: Folder
) -> None:
    poison = frame(["object", len(BIG)]) + frame(bytes(CHUNK_BYTES))
    line = Line(nursery)
    line.answerers[ANSWERER] = Serving(shelf, no_peers, no_provider)
    scripted = Scripted(nursery, poison)

    async def open_stream(peer: PeerId) -> MemoryStream:
        return await (scripted if peer == OTHER else line).open_stream(peer)

    requests = Requests(open_stream, folder, list)
    await requests.perform(fetch(BIG, OTHER))
    mixed = await requests.perform(fetch(BIG))
    assert isinstance(mixed, RequestFailed)
    assert mixed.check is None
    assert await requests.perform(fetch(BIG)) == ObjectStored(BIG_NAME)


async def test_an_object_of_another_size_than_the_log_says_is_not_fetched(
    requests: Requests,
) -> None:
    event = await requests.perform(FetchObject(ANSWERER, BIG_NAME, len(BIG) - 1))
    assert isinstance(event, RequestFailed)
    assert event.check is None
    assert "has 525288 bytes" in event.reason


@pytest.mark.parametrize("chunk", [b"", b"x", bytes(CHUNK_BYTES + 1)], ids=["none", "1", "more"])
async def test_a_chunk_of_another_size_than_due_is_the_peers_fault(
    nursery: trio.Nursery, folder: Folder, chunk: bytes
) -> None:
    sends = frame(["object", len(BIG)]) + frame(chunk)
    event = await Requests(Scripted(nursery, sends).open_stream, folder, list).perform(fetch(BIG))
    assert isinstance(event, RequestFailed)
    assert event.check is Check.FRAME


async def test_an_object_that_the_peer_lacks_is_no_fault(requests: Requests) -> None:
    event = await requests.perform(fetch(b"unknown"))
    assert isinstance(event, RequestFailed)
    assert event.check is None


# --- The answering side ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    "question",
    [
        "heads",
        [],
        ["?"],
        ["heads", [b"short"]],
        ["heads", [CATALOGUE] * 1025],
        ["log", CATALOGUE, LOG.writer, [0, bytes(32)], []],
        ["log", CATALOGUE, LOG.writer, [True, bytes(32)], []],
        ["log", CATALOGUE, LOG.writer, [1], []],
        ["log", CATALOGUE, LOG.writer, [1, bytes(32)], [[1, bytes(32)]] * 257],
        ["object", BIG_NAME, -1],
        ["peers", []],
        ["contacts", ["text"]],
        ["contacts", [b"x" * 1025]],
        ["contacts", [b"x"] * 9],
        ["provider", b"short"],
    ],
    ids=repr,
)
async def test_a_question_outside_the_protocol_is_refused(
    nursery: trio.Nursery, shelf: Shelf, question: object
) -> None:
    line = Line(nursery)
    line.answerers[ANSWERER] = Serving(shelf, no_peers, no_provider)
    stream = await line.open_stream(ANSWERER)
    await write_frame(stream, question)
    assert await read_frame(stream, 100) == ["refused"]


async def test_a_disk_error_here_is_busy_there(nursery: trio.Nursery) -> None:
    class Broken(Shelf):
        def heads(self, catalogues: Sequence[CatalogueId]) -> list[bytes]:
            raise StorageError("the disk refused")

    line = Line(nursery)
    line.answerers[ANSWERER] = Serving(Broken(), no_peers, no_provider)
    stream = await line.open_stream(ANSWERER)
    await write_frame(stream, ["heads", [CATALOGUE]])
    assert await read_frame(stream, 100) == ["busy"]


async def test_a_refused_question_and_a_busy_peer_are_no_faults(
    nursery: trio.Nursery, folder: Folder
) -> None:
    for answer, reason in ((["busy"], "the peer is busy"), (["refused"], "refused the question")):
        requests = Requests(Scripted(nursery, frame(answer)).open_stream, folder, list)
        event = await requests.perform(AskHeads(ANSWERER, (CATALOGUE,)))
        assert isinstance(event, RequestFailed)
        assert event.check is None
        assert reason in event.reason


async def test_an_object_larger_than_any_segment_is_not_asked_for(requests: Requests) -> None:
    event = await requests.perform(FetchObject(ANSWERER, BIG_NAME, (64 << 20) + 1))
    assert isinstance(event, RequestFailed)
    assert event.check is None


async def test_a_question_that_is_too_long_ends_the_stream(
    nursery: trio.Nursery, shelf: Shelf
) -> None:
    line = Line(nursery)
    line.answerers[ANSWERER] = Serving(shelf, no_peers, no_provider)
    stream = await line.open_stream(ANSWERER)
    await stream.write(b"\x7f\xff\xff\xff")
    with pytest.raises(StreamBrokenError):
        await read_frame(stream, 100)


async def test_a_peer_with_too_many_questions_in_flight_hears_busy(
    nursery: trio.Nursery, shelf: Shelf
) -> None:
    line = Line(nursery, trio.testing.lockstep_stream_pair)
    line.answerers[ANSWERER] = Serving(shelf, no_peers, no_provider)
    waiting = [await line.open_stream(ANSWERER) for _ in range(IN_FLIGHT_MAX)]
    for stream in waiting:
        await write_frame(stream, ["object", BIG_NAME, 0])
        assert await read_frame(stream, 100) == ["object", len(BIG)]
    one_more = await line.open_stream(ANSWERER)
    assert await read_frame(one_more, 100) == ["busy"]
    for stream in waiting:
        await stream.reset()
    await trio.testing.wait_all_tasks_blocked()


async def test_streams_whose_question_never_comes_count_too(
    nursery: trio.Nursery, shelf: Shelf
) -> None:
    line = Line(nursery)
    line.answerers[ANSWERER] = Serving(shelf, no_peers, no_provider)
    silent = [await line.open_stream(ANSWERER) for _ in range(IN_FLIGHT_MAX)]
    await trio.testing.wait_all_tasks_blocked()
    one_more = await line.open_stream(ANSWERER)
    assert await read_frame(one_more, 100) == ["busy"]
    for stream in silent:
        await stream.reset()
    await trio.testing.wait_all_tasks_blocked()
    again = await line.open_stream(ANSWERER)
    await write_frame(again, ["contacts", []])
    assert await read_frame(again, 100) == ["contacts", [], []]


async def test_a_frame_is_measured_before_it_is_read() -> None:
    near, far = trio.testing.memory_stream_pair()
    await far.send_all((101).to_bytes(4, "big"))
    with pytest.raises(FrameError, match="101 bytes where at most 100"):
        await read_frame(MemoryStream(near), 100)


async def test_digests_are_the_only_names_of_files(requests: Requests, folder: Folder) -> None:
    request = FetchObject(ANSWERER, Digest(b"/" * 32), 10)
    assert isinstance(await requests.perform(request), RequestFailed)
    assert {path.parent for path in folder.path.iterdir()} <= {folder.path}
