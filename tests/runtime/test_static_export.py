"""A static mirror written: what is in it, what leaves it, and what its readers see meanwhile."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from meshnode.control import Control, Message
from meshnode.core.heads import decode_signed_head
from meshnode.core.identifiers import (
    CatalogueId,
    Digest,
    catalogue_text,
    object_text,
    parse_catalogue,
    sha256,
)
from meshnode.core.static_mirror import (
    POINTER_NAME,
    CatalogueIndex,
    decode_index,
    decode_pointer,
    decode_stretch,
    object_path,
)
from meshnode.core.verdicts import Check
from meshnode.errors import StorageError, UsageError
from meshnode.runtime.home import Home
from meshnode.runtime.service import offline
from meshnode.runtime.static_mirror.directory import Directory
from meshnode.runtime.static_mirror.export import Export, Report
from meshnode.runtime.static_mirror.places import Source
from meshnode.runtime.verification.static_mirrors import verify_static_mirror
from tests.cli.command_line import tree
from tests.core.institutions import Institution, segment
from tests.runtime.homes import copy_of, publish, published_home, publisher_of

pytestmark = pytest.mark.slow

NOW = 1_800_000_000
GRACE = 3600


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """The catalogue `towns`: two items, then one more."""
    return published_home(tmp_path_factory.mktemp("made"), ["a", "b"], ["c"])


@pytest.fixture
def home(made: Home, tmp_path: Path) -> Home:
    return copy_of(made, tmp_path / "home")


@pytest.fixture
def www(tmp_path: Path) -> Path:
    return tmp_path / "www"


async def exported(home: Home, www: Path, now: int = NOW, **options: Any) -> Report:
    """Export all that is followed, with the same node that the command works with."""
    async with offline(home.root):
        control = Control(home.control)
        status = await control.ask("status")
        names = [parse_catalogue(each["id"]) for each in status["catalogues"]]
        export = Export(control, Directory(www), grace_seconds=GRACE, **options)
        return await export.run(names, now)


def towns(home: Home) -> CatalogueId:
    return publisher_of(home)[0].catalogue


def index_of(www: Path) -> CatalogueIndex:
    [only] = decode_pointer((www / POINTER_NAME).read_bytes()).catalogues
    return decode_index((www / object_path(only.index.digest)).read_bytes())


async def publish_to(home: Home, folder: Path, *ids: str) -> None:
    _, publisher = publisher_of(home)
    async with offline(home.root):
        await publish(publisher, folder, *ids)


async def deny(home: Home, name: str) -> None:
    async with offline(home.root):
        await Control(home.control).ask("deny_edit", add=[f"/ipfs/{name}"])


def written_at(www: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in www.rglob("*") if path.is_file()}


async def test_a_mirror_has_every_object_and_all_that_was_signed(home: Home, www: Path) -> None:
    report = await exported(home, www)
    found = await verify_static_mirror(www)
    assert (found.faults, found.missing) == ([], 0)
    assert (found.catalogues, found.heads, found.entries, found.items) == (1, 2, 3, 3)
    assert (report.written, report.files) == (len(tree(www)) - 1, len(tree(www)) - 1)
    assert report.written_bytes == sum(len(raw) for raw in tree(www / "objects").values())


async def test_an_export_with_nothing_new_writes_nothing(home: Home, www: Path) -> None:
    await exported(home, www)
    before = written_at(www)
    report = await exported(home, www, NOW + 1)
    assert (report.written, report.removed, report.leaving) == (0, 0, 0)
    assert before == written_at(www)


async def test_two_peers_write_the_same_files(home: Home, made: Home, tmp_path: Path) -> None:
    await exported(home, tmp_path / "one")
    await publish_to(home, tmp_path, "d")
    await exported(home, tmp_path / "one")
    await exported(home, tmp_path / "one", NOW + GRACE)
    await exported(home, tmp_path / "other")
    one, other = tree(tmp_path / "one"), tree(tmp_path / "other")
    assert {name: raw for name, raw in one.items() if name != "leaving.cbor"} == other


async def test_a_dry_run_says_what_would_be_written_and_writes_nothing(
    home: Home, www: Path
) -> None:
    said = await exported(home, www, dry_run=True)
    assert not Directory(www).held()
    assert said == await exported(home, www)


async def test_who_reads_while_an_update_is_written_sees_the_state_before_as_a_whole(
    home: Home, www: Path, tmp_path: Path
) -> None:
    await exported(home, www)
    before = index_of(www)
    await publish_to(home, tmp_path, "d")
    watching = Watching(www)
    async with offline(home.root):
        export = Export(Control(home.control), watching, grace_seconds=GRACE)
        await export.run([towns(home)], NOW)
    assert watching.seen and all(index == before for index in watching.seen)
    assert index_of(www).ways[0].head.head.seq == 3
    for part in before.ways[0].stretches:  # who began to read before goes on
        assert decode_stretch((www / object_path(part.file.digest)).read_bytes()).heads


class Watching(Directory):
    """A directory of which a reader reads all after each file that is put."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.seen: list[CatalogueIndex] = []

    def add(self, digest: Digest, source: Source) -> None:
        super().add(digest, source)
        self.seen.append(index_of(self.root))


@dataclass
class Full(Directory):
    """A directory in which so many changes succeed, and then none."""

    root: Path
    room: int = 0

    def add(self, digest: Digest, source: Source) -> None:
        self._take_place()
        super().add(digest, source)

    def replace(self, name: str, raw: bytes) -> None:
        self._take_place()
        super().replace(name, raw)

    def remove(self, digests: Iterable[Digest]) -> None:
        self._take_place()
        super().remove(digests)

    def _take_place(self) -> None:
        if not self.room:
            raise StorageError("no space left")
        self.room -= 1


@pytest.mark.parametrize("room", range(6))
async def test_an_update_may_break_off_anywhere(
    home: Home, www: Path, tmp_path: Path, room: int
) -> None:
    """It puts the segment, a file of the log, the index and the pointer, then lets go."""
    await exported(home, www)
    await publish_to(home, tmp_path, "d")
    async with offline(home.root):
        export = Export(Control(home.control), Full(www, room), grace_seconds=GRACE)
        with pytest.raises(StorageError, match="no space left"):
            await export.run([towns(home)], NOW)
    assert index_of(www).ways[0].head.head.seq == (2 if room <= 3 else 3)
    report = await verify_static_mirror(www)
    assert (report.faults, report.missing) == ([], 0)
    again = await exported(home, www)
    assert again.written == max(0, 3 - room)
    assert (await verify_static_mirror(www)).items == 4


async def test_what_is_not_named_any_more_leaves_after_the_grace(
    home: Home, www: Path, tmp_path: Path
) -> None:
    await exported(home, www)
    await publish_to(home, tmp_path, "d")
    first = await exported(home, www, NOW)
    before_its_end = await exported(home, www, NOW + GRACE - 1)
    at_its_end = await exported(home, www, NOW + GRACE)
    assert [r.leaving for r in (first, before_its_end, at_its_end)] == [1, 1, 0]
    assert [r.removed for r in (first, before_its_end, at_its_end)] == [0, 0, 1]
    assert len(tree(www / "objects")) == at_its_end.files


async def test_an_object_that_is_denied_leaves_at_once(home: Home, www: Path) -> None:
    await exported(home, www)
    [(_, digest), *_] = await _segments(home)
    assert digest in Directory(www).held()
    await deny(home, object_text(digest))
    report = await exported(home, www)
    assert (report.withheld, report.removed) == (1, 1)
    assert digest not in Directory(www).held()
    assert (await verify_static_mirror(www)).missing == 1


async def test_a_catalogue_that_is_denied_leaves_at_once_with_its_log(
    home: Home, www: Path
) -> None:
    await exported(home, www)
    await deny(home, catalogue_text(towns(home)))
    report = await exported(home, www)
    assert (report.catalogues, report.files, report.leaving) == (0, 0, 0)
    assert tree(www / "objects") == {}


async def test_a_damaged_object_is_left_out_and_named(home: Home, www: Path) -> None:
    [(_, digest), *_] = await _segments(home)
    path = home.objects / digest.hex()[:2] / digest.hex()
    path.write_bytes(path.read_bytes()[:-1])
    report = await exported(home, www)
    assert len(report.damaged) == 1 and digest.hex() in report.damaged[0]
    assert digest not in Directory(www).held()


async def _segments(home: Home) -> list[tuple[str, Digest]]:
    async with offline(home.root) as peer:
        return list(peer.node.catalogues[towns(home)].contents.segments)


def test_a_directory_with_other_files_is_not_written(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("a page")
    with (
        pytest.raises(UsageError, match=r"holds other files: index\.html"),
        Directory(tmp_path).opened(),
    ):
        pass


def test_two_exports_do_not_write_one_directory(www: Path) -> None:
    with (
        Directory(www).opened(),
        pytest.raises(UsageError, match="another export"),
        Directory(www).opened(),
    ):
        pass


def test_what_a_killed_export_left_is_removed_by_the_next(www: Path) -> None:
    with Directory(www).opened():
        Directory(www).add(sha256(b"x"), Source(sha256(b"x"), 1, b"x"))
        unfinished = (www / object_path(sha256(b"x"))).with_name(".half")
        unfinished.write_bytes(b"ha")
    with Directory(www).opened():
        assert not unfinished.exists()
        assert Directory(www).held() == {sha256(b"x"): 1}


# --- Long logs ------------------------------------------------------------------------------------
@dataclass
class LogPeer(Control):
    """A peer in memory that holds one log, and no objects; `asked` is which seqs it gave."""

    institution: Institution
    asked: list[int] = field(default_factory=list)

    async def ask(self, action: str, **arguments: Any) -> Message:
        if action == "withheld":
            return {"withheld": []}
        assert action == "mirrored_way"
        log, known = self.institution.log, arguments["known"]
        names = [decode_signed_head(raw).name for raw in log.heads]
        is_held = known is not None and names[known[0] - 1].digest.hex() == known[1]
        after = known[0] if known and is_held else 0
        heads = log.heads[after : after + 50]  # an answer brings some of the way
        self.asked += range(after + 1, after + len(heads) + 1)
        first = log.sizes[after - 1] if after else 0
        entries = log.entries[first : log.sizes[after + len(heads) - 1]]
        return {
            "heads": [raw.hex() for raw in heads],
            "first": first,
            "entries": [raw.hex() for raw in entries],
        }

    async def follow(self, action: str, **_: Any) -> AsyncGenerator[Message, None]:
        assert action == "mirrored"
        log = self.institution.log
        way = {"writer": log.writer.hex(), "newest": log.heads[-1].hex()}
        told = {"names": [], "forks": [], "missing": 0, "withheld": 0}
        yield {"result": {**told, "roots": [self.institution.raw_root.hex()], "ways": [way]}}

    async def export(self, www: Path) -> Report:
        self.asked.clear()
        export = Export(self, Directory(www), grace_seconds=0)
        return await export.run([self.institution.catalogue], NOW)


async def test_an_update_of_a_long_log_reads_and_writes_its_newest_heads_alone(www: Path) -> None:
    institution = Institution("city")
    for clock in range(1, 601):
        institution.log.publish(segment(clock))
    peer = LogPeer(institution)
    await peer.export(www)
    assert peer.asked == list(range(1, 601))
    assert [(p.first_seq, p.last_seq) for p in index_of(www).ways[0].stretches] == [
        (1, 256),
        (257, 512),
        (513, 576),
        (577, 592),
        (593, 600),
    ]
    institution.log.publish(segment(601))
    report = await peer.export(www)
    assert min(peer.asked) == 513
    assert report.written == 2  # the newest file of the log, and the index
    assert (await peer.export(www)).written == 0
    assert peer.asked == []
    assert (await verify_static_mirror(www)).heads == 601


async def test_a_log_that_was_cut_otherwise_before_is_cut_anew(www: Path) -> None:
    ours, theirs = Institution("city"), Institution("city")
    for clock in range(1, 301):
        ours.log.publish(segment(clock))
        theirs.log.publish(segment(clock, f"other {clock}"))
    await LogPeer(ours).export(www)
    peer = LogPeer(theirs)
    await peer.export(www)
    assert set(range(1, 301)) <= set(peer.asked)
    assert index_of(www).ways[0].newest == theirs.log.heads[-1]
    report = await verify_static_mirror(www)
    assert (report.faults, report.heads) == ([], 300)


def damaged_places(www: Path) -> Iterable[tuple[Path, int]]:
    for path in sorted(path for path in www.rglob("*") if path.is_file()):
        size = path.stat().st_size
        yield from ((path, at) for at in {0, size // 3, size // 2, size - 1})


async def test_every_changed_byte_of_a_mirror_is_in_a_file_that_is_named(
    home: Home, www: Path
) -> None:
    await exported(home, www)
    for path, at in damaged_places(www):
        whole = path.read_bytes()
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        faults = (await verify_static_mirror(www)).faults
        named = any(path.name in fault.where for fault in faults)
        # A changed name in the pointer is that of a file that is not there.
        assert named or (path.name == POINTER_NAME and faults), (path, at)
        path.write_bytes(whole)
    assert (await verify_static_mirror(www)).faults == []


async def test_a_missing_file_of_the_log_is_named(home: Home, www: Path) -> None:
    await exported(home, www)
    name = object_path(index_of(www).ways[0].stretches[0].file.digest)
    os.remove(www / name)
    faults = (await verify_static_mirror(www)).faults
    assert [(fault.check, fault.where) for fault in faults] == [
        (Check.CONTENT_HASH.value, str(www / name))
    ]
