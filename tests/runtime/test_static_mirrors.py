"""A static mirror asked like a peer: the same answers, the same faults, and its own troubles."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing

from meshnode.config import parse
from meshnode.control import Control
from meshnode.core.effects import AskHeads, AskLog, AskRoots, AskSnapshot, FetchObject
from meshnode.core.events import (
    AnnouncementReceived,
    Event,
    HeadsReceived,
    LogReceived,
    ObjectStored,
    PeerConnected,
    PeerDisconnected,
    RequestFailed,
    RootsReceived,
    SnapshotReceived,
)
from meshnode.core.forks import evidence_of
from meshnode.core.heads import SNAPSHOT_SEQ, decode_signed_head
from meshnode.core.identifiers import CatalogueId, PeerId, catalogue_text, sha256
from meshnode.core.names import HeadName, LogId
from meshnode.core.static_mirror import CatalogueIndex, Pointer, StretchRef, encode_pointer
from meshnode.core.verdicts import Check
from meshnode.errors import UsageError
from meshnode.runtime.network.requests import Requests
from meshnode.runtime.service import running
from meshnode.runtime.static_mirror.mirror import Mirror
from meshnode.runtime.static_mirror.mirrors import Mirrors, Watched, no_peers
from meshnode.runtime.static_mirror.shelves import folder_url
from tests.core.institutions import Institution, LogCopy, segment
from tests.runtime.homes import made_home
from tests.runtime.peers import Folder
from tests.runtime.static_files import MemoryShelf

NAME = PeerId("https://data.example.org/mesh/")


@pytest.fixture
def institution() -> Institution:
    institution = Institution("city")
    for clock in range(1, 9):
        institution.log.publish(segment(clock))
    return institution


@pytest.fixture
def shelf(institution: Institution) -> MemoryShelf:
    shelf = MemoryShelf()
    shelf.show(institution, institution.log)
    return shelf


class Reader:
    """The half of a peer that reads mirrors; `told` is what its node would hear."""

    def __init__(self, folder: Path, *followed: CatalogueId) -> None:
        self.told: list[Event] = []
        self.followed = list(followed)
        self.mirrors = Mirrors(self._tell, lambda: self.followed, random.Random(1))
        self.requests = Requests(self.mirrors.routed(no_peers), Folder(folder), list)
        self.mirrors.asked_through(self.requests.perform)

    async def _tell(self, event: Event) -> None:
        self.told.append(event)

    @asynccontextmanager
    async def reading(self, shelf: MemoryShelf) -> AsyncIterator[Watched]:
        watched = await self.mirrors.attach(NAME, shelf)
        try:
            yield watched
        finally:
            await self.mirrors.detach(watched)


@pytest.fixture
def reader(tmp_path: Path, institution: Institution) -> Reader:
    return Reader(tmp_path, institution.catalogue)


def log_of(institution: Institution) -> LogId:
    return LogId(institution.catalogue, institution.log.writer)


def named(log: LogCopy, seq: int) -> HeadName:
    return decode_signed_head(log.heads[seq - 1]).name


async def asked(reader: Reader, log: LogCopy, wanted: int, *known: HeadName) -> Event:
    """Ask a mirror for the way to a head of this history."""
    name = LogId(log.state.catalogue, log.writer)
    return await reader.requests.perform(AskLog(NAME, name, named(log, wanted), known))


# --- The same answers -----------------------------------------------------------------------------
async def test_n_84_heads_and_roots_come_from_the_files(
    reader: Reader, shelf: MemoryShelf, institution: Institution
) -> None:
    async with reader.reading(shelf):
        heads = await reader.requests.perform(AskHeads(NAME, (institution.catalogue,)))
        roots = await reader.requests.perform(AskRoots(NAME, institution.catalogue))
        later = await reader.requests.perform(AskRoots(NAME, institution.catalogue, 1))
    assert heads == HeadsReceived(NAME, (institution.log.heads[-1],))
    assert roots == RootsReceived(NAME, institution.catalogue, (institution.raw_root,))
    assert isinstance(later, RequestFailed) and later.check is None


async def test_a_catalogue_that_it_does_not_have_is_no_fault(
    reader: Reader, shelf: MemoryShelf
) -> None:
    other = CatalogueId(bytes(32))
    async with reader.reading(shelf):
        assert await reader.requests.perform(AskHeads(NAME, (other,))) == HeadsReceived(NAME, ())
        roots = await reader.requests.perform(AskRoots(NAME, other))
    assert isinstance(roots, RequestFailed) and roots.check is None


@pytest.mark.parametrize("known", [0, 1, 3, 5, 7])
async def test_n_84_a_way_begins_after_the_newest_known_head(
    reader: Reader, shelf: MemoryShelf, institution: Institution, known: int
) -> None:
    log = institution.log
    names = [named(log, seq) for seq in range(1, known + 1)]
    heads: list[bytes] = []
    async with reader.reading(shelf):
        while len(heads) < 8 - known:  # the answer of a file, then of the next
            answer = await asked(reader, log, 8, *names)
            assert isinstance(answer, LogReceived)
            assert answer.entries == tuple(log.entries[answer.first :])[: len(answer.entries)]
            heads += answer.heads
            names = [named(log, known + len(heads))]
    assert heads == log.heads[known:]


async def test_a_way_ends_at_the_head_that_is_asked_for(
    reader: Reader, shelf: MemoryShelf, institution: Institution
) -> None:
    async with reader.reading(shelf):
        answer = await asked(reader, institution.log, 5, named(institution.log, 2))
    assert isinstance(answer, LogReceived)
    assert answer.heads == tuple(institution.log.heads[2:5])


async def test_a_head_that_is_not_there_is_no_fault(
    reader: Reader, shelf: MemoryShelf, institution: Institution
) -> None:
    ahead = institution.log.fork()
    ahead.publish(segment(20))
    async with reader.reading(shelf):
        answer = await asked(reader, ahead, 9, named(ahead, 8))
    assert isinstance(answer, RequestFailed) and answer.check is None


async def test_the_way_on_each_branch_is_found_by_the_heads_that_are_known(
    reader: Reader, institution: Institution
) -> None:
    shelf, ours = MemoryShelf(), institution.log
    theirs = LogCopy(ours.key, Institution("city").log.state)
    for clock in (1, 2, 3):
        theirs.publish(segment(clock))
    theirs.publish(segment(4, "theirs"))
    shelf.show(institution, ours, theirs)
    async with reader.reading(shelf):
        answer = await asked(reader, theirs, 4, *(named(ours, seq) for seq in (8, 7, 5, 3, 1)))
        back = await asked(reader, ours, 8, named(theirs, 4), named(theirs, 3))
    assert isinstance(answer, LogReceived) and answer.heads == (theirs.heads[3],)
    assert isinstance(back, LogReceived) and back.heads == tuple(ours.heads[3:])


async def test_n_54_a_way_may_begin_with_the_head_of_a_snapshot(
    reader: Reader, institution: Institution
) -> None:
    shelf, log = MemoryShelf(), institution.log
    raw = log.snapshot()
    ref = log.begin_snapshot(raw)
    log.publish(segment(30))
    shelf.show(institution, log)
    shelf.put(raw)
    async with reader.reading(shelf):
        fetched = await reader.requests.perform(AskSnapshot(NAME, log_of(institution), ref))
        answer = await asked(reader, log, 10, HeadName(SNAPSHOT_SEQ, ref.object))
    assert isinstance(fetched, SnapshotReceived)
    assert isinstance(answer, LogReceived)
    assert (answer.heads[0], answer.first) == (log.heads[8], ref.index)


async def test_an_object_is_fetched_resumed_and_kept(reader: Reader, tmp_path: Path) -> None:
    shelf, data = MemoryShelf(), random.Random(1).randbytes(600_000)
    shelf.put(data)
    shelf.pointed = encode_pointer(Pointer(()))
    partial = Folder(tmp_path).partial(sha256(data))
    partial.write_bytes(data[:100_000])
    async with reader.reading(shelf):
        event = await reader.requests.perform(FetchObject(NAME, sha256(data), len(data)))
    assert event == ObjectStored(sha256(data))
    assert shelf.opened == [(sha256(data), 100_000)]


async def test_a_whole_peer_comes_to_both_histories_and_the_evidence_from_a_mirror(
    tmp_path: Path, institution: Institution
) -> None:
    ours = institution.log
    theirs = LogCopy(ours.key, Institution("city").log.state)
    for clock in range(1, 4):
        theirs.publish(segment(clock))
    theirs.publish(segment(4, "theirs"))
    shelf = MemoryShelf()
    shelf.show(institution, ours, theirs)
    home = made_home(tmp_path / "home")
    settings = parse("[network]\nhttps_only = true", "the test")
    async with running(home.root, settings, online=True) as peer:
        catalogue = catalogue_text(institution.catalogue)
        await Control(home.control).ask("follow", catalogue=catalogue)
        with peer.journal.notices.watch(lambda _: True) as watcher, trio.fail_after(60):
            watched = await peer.mirrors.attach(NAME, shelf)
            held = peer.node.catalogues[institution.catalogue]
            while len(held.log(ours.writer).branches) < 2 or not held.forks:
                await watcher.receive()
            await peer.mirrors.detach(watched)
        names = [named(log, len(log.heads)) for log in (ours, theirs)]
        assert all(held.log(ours.writer).holds(name) for name in names)
        assert held.disputed == {ours.writer: 4}
        assert not peer.journal.blames


async def test_an_object_that_is_not_there_is_asked_for_again_when_there_are_news(
    reader: Reader, institution: Institution, autojump_clock: object
) -> None:
    data = b"comes later"
    shelf = MemoryShelf()
    shelf.show(institution, institution.log)
    fetch = FetchObject(NAME, sha256(data), len(data))

    async def ask() -> bool:
        return isinstance(await reader.requests.perform(fetch), ObjectStored)

    async with reader.reading(shelf) as watched:
        assert [await ask() for _ in range(5)] == [False] * 5
        assert [name for name, _ in shelf.opened].count(sha256(data)) == 1
        shelf.put(data)
        assert not await ask()
        institution.log.publish(segment(50))
        shelf.show(institution, institution.log)
        assert await watched.mirror.refresh()
        assert await ask()


async def test_an_object_that_was_not_there_is_asked_for_again_after_a_while(
    reader: Reader, institution: Institution, autojump_clock: object
) -> None:
    shelf, data = MemoryShelf(), b"comes later"
    shelf.show(institution, institution.log)
    fetch = FetchObject(NAME, sha256(data), len(data))
    async with reader.reading(shelf):
        await reader.requests.perform(fetch)
        shelf.put(data)
        await trio.sleep(1000)
        assert await reader.requests.perform(fetch) == ObjectStored(sha256(data))


# --- Faults ---------------------------------------------------------------------------------------
async def test_n_88_an_object_of_other_bytes_is_the_mirrors_fault(reader: Reader) -> None:
    shelf, data = MemoryShelf(), b"what was signed"
    shelf.files[sha256(data)] = b"something else "
    shelf.pointed = encode_pointer(Pointer(()))
    async with reader.reading(shelf):
        event = await reader.requests.perform(FetchObject(NAME, sha256(data), len(data)))
    assert isinstance(event, RequestFailed) and event.check is Check.CONTENT_HASH


async def test_n_88_a_changed_file_of_the_log_is_the_mirrors_fault(
    reader: Reader, shelf: MemoryShelf, institution: Institution
) -> None:
    index = await _index_of(shelf, institution)
    name = index.ways[0].stretches[0].file.digest
    shelf.files[name] = shelf.files[name][:-1] + b"\0"
    async with reader.reading(shelf):
        answer = await asked(reader, institution.log, 3)
    assert isinstance(answer, RequestFailed) and answer.check is Check.CONTENT_HASH


async def test_n_88_a_file_that_is_no_stretch_is_the_mirrors_fault(
    reader: Reader, institution: Institution
) -> None:
    shelf = MemoryShelf()
    shelf.show(institution, institution.log)
    index = await _index_of(shelf, institution)
    way = replace(index.ways[0], stretches=(StretchRef(1, 8, shelf.put(b"no stretch")),))
    shelf.point_to(replace(index, ways=(way,)))
    async with reader.reading(shelf):
        answer = await asked(reader, institution.log, 8)
    assert isinstance(answer, RequestFailed) and answer.check is Check.CONTENT_HASH


async def test_a_file_that_has_left_is_no_fault(
    reader: Reader, shelf: MemoryShelf, institution: Institution
) -> None:
    index = await _index_of(shelf, institution)
    del shelf.files[index.ways[0].stretches[0].file.digest]
    async with reader.reading(shelf):
        answer = await asked(reader, institution.log, 8)
    assert isinstance(answer, RequestFailed) and answer.check is None


async def _index_of(shelf: MemoryShelf, institution: Institution) -> CatalogueIndex:
    mirror = Mirror(MemoryShelf(shelf.files, shelf.pointed))
    await mirror.refresh()
    index = await mirror.index(institution.catalogue)
    assert index is not None
    return index


# --- Watching -------------------------------------------------------------------------------------
@asynccontextmanager
async def watching(reader: Reader, shelf: MemoryShelf) -> AsyncIterator[Watched]:
    """Watch a mirror as on the web, in virtual time; looked at once when the block begins."""
    reader.mirrors.open_shelf = lambda url, allow_local: shelf
    async with trio.open_nursery() as nursery:
        await nursery.start(reader.mirrors.run, [NAME])
        [watched] = reader.mirrors.all()
        await until(lambda: bool(watched.checked or watched.failing_since))
        yield watched
        nursery.cancel_scope.cancel()


async def until(holds: Callable[[], bool]) -> None:
    """Wait in virtual time, which passes while threads work."""
    while not holds():  # noqa: ASYNC110 - nothing tells of it
        await trio.sleep(1)


async def test_a_mirror_that_is_read_is_a_peer_that_tells_its_heads(
    reader: Reader, shelf: MemoryShelf, institution: Institution, autojump_clock: object
) -> None:
    async with watching(reader, shelf) as watched:
        assert watched.is_connected and watched.checked
    assert reader.told == [
        PeerConnected(NAME),
        HeadsReceived(NAME, (institution.log.heads[-1],)),
        PeerDisconnected(NAME),
    ]


async def test_news_come_at_the_next_poll_and_only_then(
    reader: Reader, shelf: MemoryShelf, institution: Institution, autojump_clock: object
) -> None:
    async with watching(reader, shelf):
        opened = len(shelf.opened)
        await trio.sleep(200)
        assert len(shelf.opened) == opened  # the pointer is as it was
        institution.log.publish(segment(40))
        shelf.show(institution, institution.log)
        news = HeadsReceived(NAME, (institution.log.heads[8],))
        await until(lambda: news in reader.told)


async def test_evidence_of_forks_comes_like_gossip(
    reader: Reader, institution: Institution, autojump_clock: object
) -> None:
    log = institution.log
    other = LogCopy(log.key, Institution("city").log.state)
    other.publish(segment(1, "other"))
    fork = evidence_of(log.heads[0], other.heads[0]).raw
    shelf = MemoryShelf()
    shelf.show(institution, log, forks=[fork])
    async with watching(reader, shelf):
        pass
    assert AnnouncementReceived(NAME, fork) in reader.told


async def test_a_mirror_that_fails_is_asked_ever_less_often_and_comes_back(
    reader: Reader, shelf: MemoryShelf, autojump_clock: object
) -> None:
    async with watching(reader, shelf) as watched:
        shelf.is_down = True
        await until(lambda: watched.reason == "it is down")
        assert watched.failing_since
        assert not watched.is_connected
        attempts = Counting(shelf)
        await trio.sleep(24 * 3600)
        assert 20 <= attempts.number <= 60  # at most hourly in the end, and not given up
        shelf.is_down = False
        await until(lambda: watched.is_connected)
        await until(lambda: not watched.failing_since)
        assert watched.reason == ""
    kinds = [type(event) for event in reader.told]
    assert kinds.count(PeerConnected) == kinds.count(PeerDisconnected) == 2


class Counting:
    """Counts from now on how often a mirror is asked for its pointer."""

    def __init__(self, shelf: MemoryShelf) -> None:
        self.number = 0
        self._pointer = shelf.pointer
        shelf.pointer = self._ask  # type: ignore[method-assign]

    async def _ask(self) -> bytes | None:
        self.number += 1
        return await self._pointer()


async def test_a_mirror_that_goes_back_in_time_is_shown_and_tells_nothing_new(
    reader: Reader, shelf: MemoryShelf, institution: Institution, autojump_clock: object
) -> None:
    older = institution.log.fork()
    del older.heads[5:]
    async with watching(reader, shelf) as watched:
        shelf.show(institution, older)
        await until(lambda: bool(watched.reason))
        assert "it went back in time: head 5 of" in watched.reason
        assert "head 8 before" in watched.reason
        shelf.show(institution, institution.log)
        await until(lambda: not watched.reason)


async def test_a_changed_index_is_blamed_and_the_mirror_is_left(
    reader: Reader, shelf: MemoryShelf, autojump_clock: object
) -> None:
    mirror = Mirror(MemoryShelf(shelf.files, shelf.pointed))
    await mirror.refresh()
    [file] = mirror.catalogues.values()
    shelf.files[file.digest] = shelf.files[file.digest][:-1] + b"\0"
    async with watching(reader, shelf) as watched:
        assert not watched.is_connected
    [failed] = reader.told
    assert isinstance(failed, RequestFailed) and failed.check is Check.CONTENT_HASH


async def test_a_mirror_that_gives_a_byte_now_and_then_is_left_for_a_while(
    reader: Reader, shelf: MemoryShelf, autojump_clock: object
) -> None:
    class Slow(MemoryShelf):
        async def pointer(self) -> bytes | None:
            await trio.sleep(10_000)
            return await super().pointer()

    async with watching(reader, Slow(shelf.files, shelf.pointed)) as watched:
        assert watched.reason == "it did not give its indices within 600 s"
    assert reader.told == []


async def test_what_is_no_mirror_is_shown_and_blamed_on_nobody(
    reader: Reader, autojump_clock: object
) -> None:
    async with watching(reader, MemoryShelf(pointed=b"<html>Sign in</html>")) as watched:
        assert "it is not a static mirror" in watched.reason
    assert reader.told == []


async def test_a_mirror_is_dropped_and_no_peer_any_more(
    reader: Reader, shelf: MemoryShelf, autojump_clock: object
) -> None:
    async with watching(reader, shelf):
        assert reader.mirrors.drop(NAME)
        await trio.testing.wait_all_tasks_blocked()
        assert reader.mirrors.all() == ()
        assert not reader.mirrors.drop(NAME)
    assert reader.told[-1] == PeerDisconnected(NAME)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://data.example.org/mesh", "https://data.example.org/mesh/"),
        ("https://data.example.org/mesh/mirror.cbor", "https://data.example.org/mesh/"),
        ("http://127.0.0.1:80/", "http://127.0.0.1:80/"),
    ],
)
def test_a_mirror_is_named_by_its_folder(text: str, url: str) -> None:
    assert folder_url(text) == url


@pytest.mark.parametrize(
    "text",
    [
        "ftp://data.example.org/",
        "https://",
        "https://me:secret@data.example.org/",
        "https://data.example.org/?a=b",
        "https://data.example.org/ mesh",
        "https://data.example.org:99999/",
        "https://data.example.org/" + "a" * 1100,
    ],
)
def test_what_is_no_address_of_a_mirror_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not the address of a static mirror"):
        folder_url(text)
