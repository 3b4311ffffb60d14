"""Many objects of one peer: in one question, each with an end of its own."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
import trio.testing

from meshnode.core.effects import FetchObject
from meshnode.core.events import Event, ObjectStored, RequestFailed
from meshnode.core.identifiers import Digest, PeerId, sha256
from meshnode.core.limits import OBJECT_BYTES_MAX
from meshnode.core.verdicts import Check
from meshnode.runtime.network import fetches as fetching
from meshnode.runtime.network.fetches import OBJECTS_MAX, attempt_seconds_max
from meshnode.runtime.network.frames import CHUNK_BYTES, FrameError, read_frame, write_frame
from meshnode.runtime.network.requests import DEADLINE_SECONDS, Requests
from meshnode.runtime.network.serving import Serving
from meshnode.runtime.network.streams import StreamBrokenError
from tests.runtime.peers import (
    ANSWERER,
    Folder,
    Line,
    MemoryStream,
    Shelf,
    no_peers,
    no_provider,
)

OpenMemoryStream = Callable[[PeerId], Awaitable[MemoryStream]]

COUNT = 12
CONTENTS = [random.Random(n).randbytes(n * 1_000) for n in range(1, COUNT + 1)]
NAMES = [sha256(content) for content in CONTENTS]


class OldServing(Serving):
    """A peer of before the question `objects`."""

    async def _look_up(self, peer: PeerId, question: object) -> object:  # type: ignore[override]
        if isinstance(question, list) and question[0] == "objects":
            raise FrameError("not a question of this protocol")
        return await super()._look_up(peer, question)


class Gathered:
    """Fetches all contents of one peer at once; its streams open when all have joined."""

    def __init__(
        self, path: Path, open_stream: Callable[[PeerId], Awaitable[MemoryStream]]
    ) -> None:
        self.folder = Folder(path)
        self.requests = Requests(self._open, self.folder, list, deadline_seconds=20)
        self.opened = 0
        self._open_stream = open_stream

    async def fetch(self) -> dict[Digest, Event]:
        events: dict[Digest, Event] = {}

        async def one(content: bytes) -> None:
            request = FetchObject(ANSWERER, sha256(content), len(content))
            events[request.digest] = await self.requests.perform(request)

        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                for content in CONTENTS:
                    nursery.start_soon(one, content)
        return events

    async def _open(self, peer: PeerId) -> MemoryStream:
        self.opened += 1
        if self.opened == 1:
            gathering = self.requests._fetches._gathering
            while len(gathering[peer].wanted) < COUNT:  # noqa: ASYNC110 - worker threads
                await trio.sleep(0.001)
        return await self._open_stream(peer)


def stored(events: dict[Digest, Event]) -> list[Digest]:
    return [name for name in NAMES if events[name] == ObjectStored(name)]


@pytest.fixture
def shelf() -> Shelf:
    shelf = Shelf()
    shelf.objects = dict(zip(NAMES, CONTENTS, strict=True))
    return shelf


@pytest.fixture
def line(nursery: trio.Nursery, shelf: Shelf) -> Line:
    line = Line(nursery)
    line.answerers[ANSWERER] = Serving(shelf, no_peers, no_provider)
    return line


async def test_what_is_wanted_at_once_comes_over_one_stream(tmp_path: Path, line: Line) -> None:
    gathered = Gathered(tmp_path, line.open_stream)
    assert stored(await gathered.fetch()) == NAMES
    assert gathered.opened == 1
    assert [gathered.folder.read_object(name) for name in NAMES] == CONTENTS


async def test_what_the_peer_lacks_holds_up_nothing_else(
    tmp_path: Path, line: Line, shelf: Shelf
) -> None:
    for name in NAMES[::3]:
        del shelf.objects[name]
    gathered = Gathered(tmp_path, line.open_stream)
    events = await gathered.fetch()
    assert stored(events) == [name for name in NAMES if name in shelf.objects]
    lacking = [events[name] for name in NAMES[::3]]
    assert all(isinstance(each, RequestFailed) and each.check is None for each in lacking)
    assert gathered.opened == 1


async def test_wrong_bytes_are_blamed_alone(tmp_path: Path, line: Line, shelf: Shelf) -> None:
    shelf.objects[NAMES[5]] = bytes(len(CONTENTS[5]))
    events = await Gathered(tmp_path, line.open_stream).fetch()
    assert stored(events) == [name for name in NAMES if name != NAMES[5]]
    wrong = events[NAMES[5]]
    assert isinstance(wrong, RequestFailed)
    assert wrong.check is Check.CONTENT_HASH


async def test_an_object_of_another_size_ends_the_stream_without_blame(
    tmp_path: Path, line: Line, shelf: Shelf
) -> None:
    shelf.objects = {name: bytes(7) for name in NAMES}
    events = await Gathered(tmp_path, line.open_stream).fetch()
    assert stored(events) == []
    checks = [each.check for each in events.values() if isinstance(each, RequestFailed)]
    assert checks == [None] * COUNT


async def test_a_stream_that_breaks_fails_all_that_had_not_come(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    async def answer_two(far: MemoryStream) -> None:
        question = await read_frame(far, 1 << 16)
        assert isinstance(question, list)
        for name, _offset in question[1][:2]:
            content = CONTENTS[NAMES.index(name)]
            await write_frame(far, ["object", len(content)])
            await write_frame(far, content)
        await far.close()

    async def open_stream(_peer: PeerId) -> MemoryStream:
        near, far = trio.testing.memory_stream_pair()
        nursery.start_soon(answer_two, MemoryStream(far))
        return MemoryStream(near)

    events = await Gathered(tmp_path, open_stream).fetch()
    assert len(stored(events)) == 2
    failed = [each for each in events.values() if isinstance(each, RequestFailed)]
    assert [each.check for each in failed] == [None] * (COUNT - 2)


async def test_a_stream_that_does_not_open_fails_all(tmp_path: Path) -> None:
    async def open_stream(_peer: PeerId) -> MemoryStream:
        raise StreamBrokenError("no way")

    events = await Gathered(tmp_path, open_stream).fetch()
    assert stored(events) == []


async def test_a_peer_of_an_older_version_is_asked_for_each_alone_and_remembered(
    tmp_path: Path, line: Line, shelf: Shelf
) -> None:
    line.answerers[ANSWERER] = OldServing(shelf, no_peers, no_provider)
    gathered = Gathered(tmp_path, line.open_stream)
    assert stored(await gathered.fetch()) == NAMES
    assert gathered.opened == 1 + COUNT
    for name in NAMES:
        (gathered.folder.path / name.hex()).unlink()
    assert stored(await gathered.fetch()) == NAMES
    assert gathered.opened == 1 + 2 * COUNT


async def test_who_is_cancelled_takes_the_stream_away_from_nobody_for_long(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    """One that waits for its turn is given up: the others fail at once, and can ask again."""
    asked = trio.Event()

    async def stall(far: MemoryStream) -> None:
        await read_frame(far, 1 << 16)
        asked.set()
        await trio.sleep_forever()

    async def open_stream(_peer: PeerId) -> MemoryStream:
        near, far = trio.testing.memory_stream_pair()
        nursery.start_soon(stall, MemoryStream(far))
        return MemoryStream(near)

    gathered = Gathered(tmp_path, open_stream)
    events: list[dict[Digest, Event]] = []
    scope = trio.CancelScope()

    async def fetch() -> None:
        with scope:
            events.append(await gathered.fetch())

    nursery.start_soon(fetch)
    await asked.wait()
    scope.cancel()
    with trio.fail_after(10):
        while gathered.requests._fetches._fetching:  # noqa: ASYNC110 - worker threads
            await trio.sleep(0.001)
    assert events == []


async def test_a_peer_that_is_too_slow_is_given_up_though_each_chunk_is_in_time(
    tmp_path: Path, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = bytes(64 * CHUNK_BYTES)
    sent = 0

    async def drip(far: MemoryStream) -> None:
        nonlocal sent
        await read_frame(far, 1 << 16)
        await write_frame(far, ["object", len(content)])
        for _ in range(64):
            await trio.sleep(0.1)
            await write_frame(far, bytes(CHUNK_BYTES))
            sent += 1

    async def open_stream(_peer: PeerId) -> MemoryStream:
        near, far = trio.testing.memory_stream_pair()
        nursery.start_soon(drip, MemoryStream(far))
        return MemoryStream(near)

    monkeypatch.setattr(fetching, "BYTES_PER_SECOND_MIN", 1 << 40)
    folder = Folder(tmp_path)
    requests = Requests(open_stream, folder, list, deadline_seconds=1)
    event = await requests.perform(FetchObject(ANSWERER, sha256(content), len(content)))
    assert isinstance(event, RequestFailed)
    assert event.check is None
    assert 0 < folder.partial(sha256(content)).stat().st_size < len(content)
    nursery.cancel_scope.cancel()


def test_how_long_a_peer_may_take_follows_from_the_constants() -> None:
    assert attempt_seconds_max(0, DEADLINE_SECONDS) == DEADLINE_SECONDS
    largest = attempt_seconds_max(OBJECT_BYTES_MAX, DEADLINE_SECONDS)
    assert largest == DEADLINE_SECONDS + 2048


async def test_the_answerer_waits_once_for_what_is_on_its_way(
    nursery: trio.Nursery, shelf: Shelf
) -> None:
    waited_for: list[Digest] = []

    async def arrives(digest: Digest) -> bool:
        waited_for.append(digest)
        return False

    line = Line(nursery)
    line.answerers[ANSWERER] = Serving(shelf, no_peers, no_provider, arrives=arrives)
    missing = [sha256(b"missing %d" % number) for number in range(3)]
    stream = await line.open_stream(ANSWERER)
    await write_frame(stream, ["objects", [[name, 0] for name in (*missing, NAMES[1])]])
    assert [await read_frame(stream, 100) for _ in range(4)] == [
        ["none"],
        ["none"],
        ["none"],
        ["object", 2_000],
    ]
    assert waited_for == missing[:1]


@pytest.mark.parametrize(
    "named",
    [
        [[NAMES[0], 0]] * (OBJECTS_MAX + 1),
        [[NAMES[0]]],
        [[NAMES[0], -1]],
        [[NAMES[0][:-1], 0]],
        NAMES[0],
    ],
)
async def test_a_question_of_another_shape_is_refused(line: Line, named: object) -> None:
    stream = await line.open_stream(ANSWERER)
    await write_frame(stream, ["objects", named])
    assert await read_frame(stream, 100) == ["refused"]
