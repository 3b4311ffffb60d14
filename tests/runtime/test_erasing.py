"""What is withdrawn to be erased: served to nobody, and gone from the disk when it is due."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import msgpack
import pytest
import trio

from meshnode.core.durable import StampEntry
from meshnode.core.effects import AskHeads, AskLog, AskRoots, FetchObject, HideItems, PurgeItems
from meshnode.core.events import Event, HeadsReceived, ObjectsPurged, ObjectStored, RequestFailed
from meshnode.core.identifiers import CatalogueId, Digest, Kid, PeerId, sha256
from meshnode.core.names import HeadName, LogId, RootName, SegmentRef
from meshnode.core.verdicts import Check
from meshnode.errors import UsageError
from meshnode.runtime.index.index import Index
from meshnode.runtime.index.indexing import Indexing
from meshnode.runtime.index.query import Query
from meshnode.runtime.network.requests import Requests
from meshnode.runtime.network.serving import Serving
from meshnode.runtime.payloads.creation import describe
from meshnode.runtime.payloads.torrent_check import open_torrent
from meshnode.runtime.segments.checker import SegmentChecker
from meshnode.runtime.store import Store
from tests.runtime.homes import made_home
from tests.runtime.peers import (
    ANSWERER,
    Folder,
    Line,
    Shelf,
    no_peers,
    no_provider,
)
from tests.runtime.test_index import add, ids, ref, row
from tests.runtime.test_torrents import LOCAL, running

CITY = CatalogueId(bytes([1]) * 32)
SEGMENT = b"bytes of a segment"
NAME = sha256(SEGMENT)
ROOT = RootName(CITY, 3, sha256(b"root 3"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(made_home(tmp_path / "home"))
    yield store
    store.close()


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    index = Index.open(tmp_path / "index.db")
    yield index
    index.close()


def keep(store: Store, data: bytes) -> Digest:
    """Store an object."""
    digest = sha256(data)
    partial = store.partial(digest)
    partial.write_bytes(data)
    store.complete(digest, partial)
    return digest


def asker(nursery: trio.Nursery, folder: Path, serving: Serving) -> Requests:
    line = Line(nursery)
    line.answerers[ANSWERER] = serving
    return Requests(line.open_stream, Folder(folder), list)


@pytest.mark.parametrize("withheld", [True, False])
async def test_an_object_that_is_withheld_is_served_to_nobody(
    nursery: trio.Nursery, tmp_path: Path, withheld: bool
) -> None:
    shelf = Shelf()
    shelf.objects[NAME] = SEGMENT

    async def withholds(digest: Digest) -> bool:
        return withheld and digest == NAME

    serving = Serving(shelf, no_peers, no_provider, withholds=withholds)
    request = FetchObject(ANSWERER, NAME, len(SEGMENT))
    answer = await asker(nursery, tmp_path, serving).perform(request)
    expected = RequestFailed(request, "the peer does not have it") if withheld else None
    assert answer == (expected or ObjectStored(NAME))
    assert shelf.opened == ([] if withheld else [NAME])


async def test_n_72_the_newest_roots_are_named_with_the_heads(
    nursery: trio.Nursery, tmp_path: Path
) -> None:
    shelf = Shelf()
    shelf.all_heads[CITY] = [b"head"]
    serving = Serving(shelf, no_peers, no_provider, newest_roots=lambda asked: [ROOT] * len(asked))
    answer = await asker(nursery, tmp_path, serving).perform(AskHeads(ANSWERER, (CITY,)))
    assert answer == HeadsReceived(ANSWERER, (b"head",), (ROOT,))


@pytest.mark.parametrize(
    "names",
    [
        b"no list",
        [b"no list"],
        [[CITY, 3]],
        [[CITY, 3, ROOT.digest, 0]],
        [[CITY, 0, ROOT.digest]],
        [[CITY, 3, b"short"]],
        [[CITY, 3, ROOT.digest]] * 4097,
    ],
    ids=["bytes", "flat", "two", "four", "version", "digest", "many"],
)
async def test_n_50_names_of_roots_of_another_shape_are_a_fault(
    nursery: trio.Nursery, tmp_path: Path, names: object
) -> None:
    class Misshapen(Serving):
        async def _look_up(self, peer: PeerId, question: object) -> list[object]:
            return ["heads", [], msgpack.unpackb(msgpack.packb(names))]

    serving = Misshapen(Shelf(), no_peers, no_provider)
    answer = await asker(nursery, tmp_path, serving).perform(AskHeads(ANSWERER, (CITY,)))
    assert isinstance(answer, RequestFailed)
    assert answer.check is Check.FRAME


def test_an_erased_object_is_gone_with_what_was_on_its_way(store: Store) -> None:
    digest = keep(store, SEGMENT)
    store.partial(digest).write_bytes(SEGMENT[:5])
    store.erase(digest)
    store.erase(digest)
    assert store.restored().objects == frozenset()
    assert not store.partial(digest).exists()


def test_when_an_entry_was_stored_is_remembered_and_not_overwritten(store: Store) -> None:
    first, later = (StampEntry(CITY, NAME, second) for second in (100, 200))
    store.commit([first])
    store.commit([later])
    assert store.restored().stamps == (first,)


async def test_items_that_are_due_go_with_the_segments_that_hold_them(
    nursery: trio.Nursery, index: Index, store: Store
) -> None:
    told: list[Event] = []
    done = trio.Event()

    async def tell(event: Event) -> None:
        told.append(event)
        done.set()

    digest = keep(store, SEGMENT)
    log = LogId(CITY, Kid(b"a" * 16))
    box = (0, 0, 0, 0)
    held = SegmentRef(log, "ortho", digest, len(SEGMENT), 2, 1, 3, box, (None, None))
    add(index, held, row("a"), row("b"))
    add(index, ref("other", 4), row("c"))
    indexing = Indexing(index, SegmentChecker(), store, tell)
    nursery.start_soon(indexing.run)

    indexing.queue(HideItems(CITY, "ortho", ("a",), 9, erases=True))
    indexing.queue(PurgeItems(CITY, "ortho", ("a",), 9))
    with trio.fail_after(10):
        await done.wait()

    assert told == [ObjectsPurged((digest,))]
    assert store.restored().objects == frozenset()
    assert ids(index, limit=10) == ["b", "c"]
    assert index.search(Query(("a",))) == []


@pytest.mark.slow
async def test_a_stopped_payload_is_not_served_and_an_erased_one_leaves_nothing_of_ours(
    tmp_path: Path,
) -> None:
    content = tmp_path / "published" / "one.bin"
    content.parent.mkdir()
    content.write_bytes(random.Random(1).randbytes(100_000))
    made = describe(content)
    torrent = open_torrent(made.torrent, made.files)
    async with running(LOCAL, tmp_path / "payloads") as torrents:
        await torrents.seed(torrent, content)
        await torrents.stop(torrent.key, erase=False)
        assert not torrents.holds(torrent.key)
        assert (tmp_path / "payloads" / torrent.key.hex()).is_dir()
        await torrents.resume(torrent.key)
        assert torrents.holds(torrent.key)
        await torrents.stop(torrent.key, erase=True)
        await torrents.stop(torrent.key, erase=True)
    assert list((tmp_path / "payloads").iterdir()) == []
    assert content.stat().st_size == 100_000


@pytest.mark.slow
async def test_a_download_of_a_payload_that_is_stopped_ends_and_says_why(tmp_path: Path) -> None:
    content = tmp_path / "one.bin"
    content.write_bytes(random.Random(2).randbytes(100_000))
    made = describe(content)
    torrent = open_torrent(made.torrent, made.files)
    async with running(LOCAL, tmp_path / "payloads") as torrents:
        with pytest.raises(UsageError, match="withdrawn or denied meanwhile"):
            async with aclosing(torrents.download(torrent)) as steps:
                async for _ in steps:
                    await torrents.stop(torrent.key, erase=True)
    assert list((tmp_path / "payloads").iterdir()) == []


async def test_of_a_denied_catalogue_nothing_is_told(nursery: trio.Nursery, tmp_path: Path) -> None:
    shelf = Shelf()
    shelf.all_heads[CITY], shelf.all_roots[CITY] = [b"head"], [b"root"]
    log = LogId(CITY, Kid(bytes(16)))
    shelf.entries[log] = [b"entry"]
    serving = Serving(
        shelf,
        no_peers,
        no_provider,
        denies=lambda catalogue: catalogue == CITY,
        stretches=shelf.stretches,
    )
    requests = asker(nursery, tmp_path, serving)
    heads = await requests.perform(AskHeads(ANSWERER, (CITY,)))
    assert heads == HeadsReceived(ANSWERER, ())
    request = AskRoots(ANSWERER, CITY)
    roots = await requests.perform(request)
    assert roots == RequestFailed(request, "the peer does not have it")
    question = AskLog(ANSWERER, log, HeadName(1, sha256(b"head")), known=())
    answer = await requests.perform(question)
    assert answer == RequestFailed(question, "the peer does not have it")
