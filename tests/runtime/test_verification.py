"""A store checked anew: what is damaged is named, whatever it is; what is whole is left alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import apsw
import pytest

from meshnode.core.durable import ExtendLog
from meshnode.core.heads import decode_signed_head, encode_head
from meshnode.core.identifiers import object_text
from meshnode.core.signed import encode_signed
from meshnode.core.signing import sign
from meshnode.errors import StorageError
from meshnode.runtime.home import Home
from meshnode.runtime.store import Store
from meshnode.runtime.verification.reports import Report
from meshnode.runtime.verification.stores import verify_store
from tests.runtime.homes import copy_of, published_home, publisher_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Two heads: a document with two items, then one item more."""
    return published_home(tmp_path_factory.mktemp("made"), ["a", "b"], ["c"])


@pytest.fixture
def home(made: Home, tmp_path: Path) -> Home:
    return copy_of(made, tmp_path / "home")


def flipped(raw: bytes, at: int) -> bytes:
    return raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]


def change_row(home: Home, table: str, change: Callable[[bytes], bytes], number: int = 0) -> None:
    """Change one stored record, in order of its key, behind the peer's back."""
    database = apsw.Connection(str(home.log))
    keys = {"roots": "version", "heads": "seq", "entries": "position"}
    rows = list(database.execute(f"SELECT {keys[table]}, raw FROM {table} ORDER BY 1"))
    key, raw = rows[number]
    database.execute(f"UPDATE {table} SET raw = ? WHERE {keys[table]} = ?", (change(raw), key))
    database.close()


def names(report: Report) -> list[tuple[str, str]]:
    return [(fault.check, fault.where.split(" of ")[0]) for fault in report.faults]


async def test_a_whole_store_has_no_fault_and_is_not_changed(home: Home):
    before = {path: path.stat().st_mtime_ns for path in home.objects.rglob("*")}
    report = await verify_store(home)
    assert report.faults == []
    assert (report.catalogues, report.roots, report.heads, report.entries) == (1, 1, 2, 3)
    assert (report.objects, report.segments, report.items, report.missing) == (3, 2, 3, 0)
    assert before == {path: path.stat().st_mtime_ns for path in home.objects.rglob("*")}


@pytest.mark.parametrize(
    ("table", "number", "at", "named"),
    [
        ("roots", 0, 40, {"root 1"}),
        ("roots", 0, -1, {"root 1"}),
        ("heads", 0, 40, {"head 1"}),
        ("heads", 1, -1, {"head 2"}),
        ("entries", 0, 30, {"entries 0 to 1"}),
        ("entries", 2, 30, {"entries 2 to 2"}),
    ],
)
async def test_a_changed_record_is_named(home: Home, table: str, number: int, at: int, named):
    change_row(home, table, lambda raw: flipped(raw, at % len(raw)), number)
    report = await verify_store(home)
    assert {where for _, where in names(report)} == named


async def test_a_fault_in_one_log_leaves_what_came_before_it_checked(home: Home):
    change_row(home, "heads", lambda raw: flipped(raw, len(raw) - 1), 1)
    report = await verify_store(home)
    assert names(report) == [("signature", "head 2")]
    assert (report.heads, report.entries, report.segments) == (1, 2, 1)


async def test_an_entry_that_no_head_covers_is_named(home: Home):
    database = apsw.Connection(str(home.log))
    database.execute("DELETE FROM heads WHERE seq = 2")
    database.close()
    assert names(await verify_store(home)) == [("tree hash", "entries from 2")]


async def test_a_damaged_segment_is_named_twice_by_its_bytes_and_by_its_content(home: Home):
    path = max(home.objects.rglob("*"), key=lambda path: path.is_file() and path.stat().st_size)
    path.write_bytes(flipped(path.read_bytes(), 5))
    report = await verify_store(home)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert [fault.check for fault in report.faults] == ["segment content", "content hash"]
    assert report.faults[0].where.startswith(f"segment {object_text(bytes.fromhex(path.name))}")  # type: ignore[arg-type]
    assert report.faults[1].where == str(path)
    assert report.faults[1].reason == f"its bytes hash to {digest}"
    assert path.is_file()


async def test_an_object_that_is_not_here_is_counted_and_is_no_fault(home: Home):
    for path in home.objects.rglob("*"):
        if path.is_file():
            path.unlink()
    report = await verify_store(home)
    assert (report.faults, report.missing, report.segments) == ([], 3, 0)


async def test_a_database_that_cannot_be_read_is_named(home: Home):
    raw = home.log.read_bytes()
    home.log.write_bytes(raw[:100] + bytes(len(raw) - 100))
    report = await verify_store(home)
    assert [fault.check for fault in report.faults] == ["database"]
    assert str(home.log) in report.faults[0].where


async def test_what_is_no_data_directory_is_refused(tmp_path: Path):
    with pytest.raises(StorageError, match="is not a meshnode data directory"):
        await verify_store(Home(tmp_path / "nothing"))


async def test_both_branches_of_a_log_are_checked(home: Home):
    """A second history of the log, signed with the same key, as a peer keeps it."""
    store = Store(home)
    [stored] = store.restored().logs
    head = decode_signed_head(stored.heads[1])
    institution, _ = publisher_of(home)
    other = replace(head.head, issued=head.head.issued + 1)
    key = institution.writer_key(None)
    raw = encode_signed(sign("head", encode_head(other), [key]))
    first = decode_signed_head(stored.heads[0]).head.size
    store.commit([ExtendLog(stored.log, ((2, raw),), first, stored.entries[first:], branch=1)])
    store.close()
    report = await verify_store(home)
    assert report.faults == []
    assert (report.heads, report.entries) == (3, 4)

    database = apsw.Connection(str(home.log))
    sql = "UPDATE entries SET raw = ? WHERE branch = 1"
    database.execute(sql, (flipped(stored.entries[first], 20),))
    database.close()
    assert names(await verify_store(home)) == [("tree hash", f"entries {first} to {first}")]
