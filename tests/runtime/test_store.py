"""The store: what was committed is there after a restart, whole batches or nothing."""

import errno
import os
import tempfile
import threading
from dataclasses import astuple, dataclass, field
from pathlib import Path

import apsw
import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from meshnode.core.durable import (
    AdoptRoot,
    DropStatements,
    Durable,
    ExtendLog,
    KeepDenyList,
    KeepFork,
    KeepStatement,
    Restored,
    SetFollowed,
    StampEntry,
    StoredLog,
)
from meshnode.core.identifiers import CatalogueId, Digest, Kid, PublicKey, sha256
from meshnode.core.names import LogId, Stretch
from meshnode.core.statements import StatementName
from meshnode.errors import StorageError
from meshnode.runtime.files import refused_by_disk
from meshnode.runtime.log_formats import SCHEMA_VERSION
from meshnode.runtime.store import INCOMING_KEPT_SECONDS, Store
from tests.runtime.homes import MEMORY, made_home

CATALOGUES = [CatalogueId(bytes([n]) * 32) for n in range(3)]
LOGS = [LogId(catalogue, Kid(bytes([n]) * 16)) for catalogue in CATALOGUES for n in range(2)]


@dataclass
class Oracle:
    """What a store should hold, as plain dictionaries."""

    followed: dict[CatalogueId, None] = field(default_factory=dict)
    roots: dict[CatalogueId, dict[tuple[int, bytes], None]] = field(default_factory=dict)
    heads: dict[LogId, list[bytes]] = field(default_factory=dict)
    entries: dict[LogId, list[bytes]] = field(default_factory=dict)

    def follow(self, catalogue: CatalogueId, followed: bool) -> Durable:
        if followed:
            self.followed[catalogue] = None
        else:
            self.followed.pop(catalogue, None)
        return SetFollowed(catalogue, followed)

    def adopt(self, catalogue: CatalogueId, version: int, raw: bytes) -> Durable:
        self.roots.setdefault(catalogue, {})[version, raw] = None
        return AdoptRoot(catalogue, version, raw)

    def extend(self, log: LogId, entries: list[bytes], raw: bytes) -> Durable:
        heads, held = self.heads.setdefault(log, []), self.entries.setdefault(log, [])
        heads.append(raw)
        first = len(held)
        held += entries
        return ExtendLog(log, ((len(heads), raw),), first, tuple(entries))

    def restored(self) -> Restored:
        return Restored(
            followed=tuple(sorted(self.followed)),
            roots=tuple(
                (catalogue, tuple(raw for _, raw in sorted(roots)))
                for catalogue, roots in sorted(self.roots.items())
            ),
            logs=tuple(
                StoredLog(log, tuple(heads), tuple(self.entries[log]))
                for log, heads in sorted(self.heads.items())
            ),
        )


RAW = st.binary(min_size=1, max_size=40)
STEPS = st.one_of(
    st.tuples(st.just("follow"), st.sampled_from(CATALOGUES), st.booleans()),
    st.tuples(st.just("adopt"), st.sampled_from(CATALOGUES), st.integers(1, 3), RAW),
    st.tuples(st.just("extend"), st.sampled_from(LOGS), st.lists(RAW, max_size=4), RAW),
)


@pytest.mark.slow
@settings(max_examples=30)
@given(st.lists(st.lists(STEPS, max_size=5), max_size=5))
def test_a_restart_restores_exactly_what_was_committed(batches):
    oracle = Oracle()
    with tempfile.TemporaryDirectory(dir=MEMORY) as directory:
        home = made_home(Path(directory) / "home")
        for batch in batches:
            store = Store(home)
            store.commit([getattr(oracle, name)(*arguments) for name, *arguments in batch])
            store.close()
        store = Store(home)
        assert store.restored() == oracle.restored()
        store.close()


@pytest.fixture
def home(tmp_path: Path):
    return made_home(tmp_path / "home")


@pytest.fixture
def store(home):
    opened = Store(home)
    yield opened
    opened.close()


def test_each_transaction_waits_for_the_disk(store: Store):
    assert store._database.pragma("synchronous") == 2
    assert store._database.pragma("journal_mode") == "wal"


def test_a_batch_that_fails_in_its_middle_leaves_nothing(store: Store):
    fine = SetFollowed(CATALOGUES[0], True)
    twice = ExtendLog(LOGS[0], ((1, b"a"), (1, b"b")), 0, ())
    with pytest.raises(apsw.ConstraintError):
        store.commit([fine, twice])
    assert store.restored() == Restored()


def test_a_full_disk_is_an_error_of_the_machine_and_what_was_there_stays(store: Store):
    store.commit([AdoptRoot(CATALOGUES[0], 1, b"root")])
    before = store.restored()
    store._database.pragma("max_page_count", store._database.pragma("page_count") + 1)
    with pytest.raises(StorageError, match=r"cannot write .*log\.db: .*full") as caught:
        store.commit([ExtendLog(LOGS[0], ((1, b"head"),), 0, (bytes(100_000),))])
    assert "free disk space" in caught.value.hint
    assert store.restored() == before


def test_batches_of_several_threads_do_not_mix(store: Store):
    def commit(number: int) -> None:
        for seq in range(1, 20):
            store.commit([ExtendLog(LOGS[number], ((seq, b"head"),), seq - 1, (b"entry",))])
            store.heads(CATALOGUES)

    threads = [threading.Thread(target=commit, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(len(log.heads), len(log.entries)) for log in store.restored().logs] == [(19, 19)] * 4


def test_a_damaged_file_and_a_newer_format_are_refused(home):
    home.log.write_bytes(b"not a database" * 100)
    with pytest.raises(StorageError, match="cannot open"):
        Store(home)
    home.log.unlink()
    store = Store(home)
    store._database.pragma("user_version", SCHEMA_VERSION + 1)
    store.close()
    with pytest.raises(StorageError, match=f"has format {SCHEMA_VERSION + 1}") as caught:
        Store(home)
    assert caught.value.hint == "install a newer meshnode"


def write_former(path, number: int) -> None:
    """Write a store as format 1 or 2 was: a root followed, and a log of one head and entry."""
    catalogue, writer = astuple(LOGS[0])
    of_a_root = "catalogue, version" if number == 1 else "catalogue, version, raw"
    former = apsw.Connection(str(path))
    former.execute(
        f"""
        CREATE TABLE followed (catalogue BLOB PRIMARY KEY) WITHOUT ROWID;
        CREATE TABLE heads (catalogue BLOB, writer BLOB, seq INTEGER, raw BLOB NOT NULL,
                            PRIMARY KEY (catalogue, writer, seq)) WITHOUT ROWID;
        CREATE TABLE entries (catalogue BLOB, writer BLOB, position INTEGER, raw BLOB NOT NULL,
                              PRIMARY KEY (catalogue, writer, position)) WITHOUT ROWID;
        CREATE TABLE roots (catalogue BLOB, version INTEGER, raw BLOB NOT NULL,
                            PRIMARY KEY ({of_a_root})) WITHOUT ROWID;
        """
    )
    if number == 2:
        former.execute(
            "CREATE TABLE stamps (catalogue BLOB, entry BLOB, stored INTEGER NOT NULL,"
            " PRIMARY KEY (catalogue, entry)) WITHOUT ROWID"
        )
    former.execute("INSERT INTO followed VALUES (?)", (catalogue,))
    former.execute("INSERT INTO roots VALUES (?, 1, ?)", (catalogue, b"first"))
    former.execute("INSERT INTO heads VALUES (?, ?, 1, ?)", (catalogue, writer, b"head"))
    former.execute("INSERT INTO entries VALUES (?, ?, 0, ?)", (catalogue, writer, b"entry"))
    former.pragma("user_version", number)
    former.close()


def write_format_3(path) -> None:
    """Write the same store as format 3 was: branches of logs, forks and deny lists."""
    catalogue, writer = astuple(LOGS[0])
    former = apsw.Connection(str(path))
    former.execute(
        """
        CREATE TABLE followed (catalogue BLOB PRIMARY KEY) WITHOUT ROWID;
        CREATE TABLE heads (catalogue BLOB, writer BLOB, branch INTEGER, seq INTEGER,
                            raw BLOB NOT NULL,
                            PRIMARY KEY (catalogue, writer, branch, seq)) WITHOUT ROWID;
        CREATE TABLE entries (catalogue BLOB, writer BLOB, branch INTEGER, position INTEGER,
                              raw BLOB NOT NULL,
                              PRIMARY KEY (catalogue, writer, branch, position)) WITHOUT ROWID;
        CREATE TABLE forks (catalogue BLOB, writer BLOB, raw BLOB NOT NULL,
                            PRIMARY KEY (catalogue, writer)) WITHOUT ROWID;
        CREATE TABLE roots (catalogue BLOB, version INTEGER, raw BLOB NOT NULL,
                            PRIMARY KEY (catalogue, version, raw)) WITHOUT ROWID;
        CREATE TABLE stamps (catalogue BLOB, entry BLOB, stored INTEGER NOT NULL,
                             PRIMARY KEY (catalogue, entry)) WITHOUT ROWID;
        CREATE TABLE deny_lists (name TEXT PRIMARY KEY, raw BLOB NOT NULL) WITHOUT ROWID;
        """
    )
    former.execute("INSERT INTO followed VALUES (?)", (catalogue,))
    former.execute("INSERT INTO roots VALUES (?, 1, ?)", (catalogue, b"first"))
    former.execute("INSERT INTO heads VALUES (?, ?, 0, 1, ?)", (catalogue, writer, b"head"))
    former.execute("INSERT INTO entries VALUES (?, ?, 0, 0, ?)", (catalogue, writer, b"entry"))
    former.pragma("user_version", 3)
    former.close()


def write_format_4(path) -> None:
    """Write the same store as format 4 was: beginnings of logs besides."""
    write_format_3(path)
    former = apsw.Connection(str(path))
    former.execute(
        "CREATE TABLE beginnings (catalogue BLOB, writer BLOB, branch INTEGER,"
        " position INTEGER NOT NULL, raw BLOB NOT NULL, PRIMARY KEY (catalogue, writer, branch))"
    )
    former.pragma("user_version", 4)
    former.close()


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_store_of_a_former_format_keeps_what_it_held_and_takes_what_is_new(home, number):
    if number >= 3:
        (write_format_3 if number == 3 else write_format_4)(home.log)
    else:
        write_former(home.log, number)
    log, other, catalogue = LOGS[0], LOGS[1], LOGS[0].catalogue
    begun = StoredLog(other, (b"head 9",), (), 7, b"snapshot")
    kept = KeepDenyList("own", b"two"), KeepDenyList("theirs", b"rules")
    store = Store(home)
    store.commit([AdoptRoot(catalogue, 2, raw) for raw in (b"one", b"other", b"one")])
    store.commit([ExtendLog(log, ((1, b"rival"),), 0, (b"its entry",), branch=1)])
    store.commit([KeepFork(log, b"evidence"), KeepFork(other, b"of another")])
    store.commit([KeepDenyList("own", b"one"), *kept, KeepDenyList("gone", b"x")])
    store.commit([ExtendLog(other, ((9, b"head 9"),), 7, (), beginning=b"snapshot")])
    store.commit([KeepDenyList("gone", b""), StampEntry(catalogue, sha256(b"entry"), 7)])
    names = [
        StatementName(PublicKey(bytes([n]) * 32), "issue", Digest(catalogue)) for n in range(3)
    ]
    store.commit([KeepStatement(name, b"said") for name in names])
    store.commit([KeepStatement(names[1], b"newer"), DropStatements((names[2], names[2]))])
    store.close()
    store = Store(home)
    restored = store.restored()
    store.close()
    assert restored.statements == (b"said", b"newer")
    assert restored.followed == (catalogue,)
    assert restored.roots == ((catalogue, (b"first", b"one", b"other")),)
    assert restored.logs == (
        StoredLog(log, (b"head",), (b"entry",)),
        StoredLog(log, (b"rival",), (b"its entry",)),
        begun,
    )
    assert sorted(restored.forks) == [b"evidence", b"of another"]
    assert restored.stamps == (StampEntry(catalogue, sha256(b"entry"), 7),)
    assert restored.deny_lists == kept


def test_peers_are_answered_the_newest_head_of_each_log_and_all_roots(store: Store):
    store.commit(
        [
            AdoptRoot(CATALOGUES[0], 2, b"second"),
            AdoptRoot(CATALOGUES[0], 1, b"first"),
            ExtendLog(LOGS[0], ((1, b"a1"), (2, b"a2")), 0, ()),
            ExtendLog(LOGS[1], ((1, b"b1"),), 0, ()),
            ExtendLog(LOGS[2], ((1, b"elsewhere"),), 0, ()),
        ]
    )
    assert store.heads([CATALOGUES[0], CATALOGUES[2]]) == [b"a2", b"b1"]
    assert store.roots(CATALOGUES[0]) == [b"first", b"second"]
    assert store.roots(CATALOGUES[0], 1) == [b"second"]
    assert store.roots(CATALOGUES[2]) == []


def test_a_log_is_answered_in_parts_that_keep_within_their_bytes(store: Store):
    entries = tuple(bytes([n]) * 200_000 for n in range(8))
    store.commit([ExtendLog(LOGS[0], ((1, b"head"), (2, b"next")), 0, entries)])
    part = Stretch(branch=0, after_seq=1, seq=2, first=2, stop=8)
    assert store.log(LOGS[0], [part]) == ([b"next"], list(entries[2:7]))
    assert store.whole(LOGS[0], [part]) == ([b"next"], list(entries[2:]))
    assert store.log(LOGS[0], [Stretch(0, 2, 2, 7, 8)]) == ([], [entries[7]])
    assert store.log(LOGS[1], [part]) == ([], [])


def test_branches_are_kept_apart_and_read_as_one_way(store: Store):
    store.commit(
        [
            ExtendLog(LOGS[0], ((1, b"a1"), (2, b"a2"), (3, b"a3")), 0, (b"one", b"two")),
            ExtendLog(LOGS[0], ((3, b"b3"),), 1, (b"other",), branch=1),
        ]
    )
    assert store.heads([CATALOGUES[0]]) == [b"a3", b"b3"]
    way = [Stretch(0, 1, 2, 1, 1), Stretch(1, 2, 3, 1, 2)]
    assert store.log(LOGS[0], way) == ([b"a2", b"b3"], [b"other"])
    assert store.restored().logs == (
        StoredLog(LOGS[0], (b"a1", b"a2", b"a3"), (b"one", b"two")),
        StoredLog(LOGS[0], (b"b3",), (b"other",), 1),
    )


def test_of_the_evidence_about_a_log_the_last_is_kept(store: Store):
    store.commit([KeepFork(LOGS[0], b"late"), KeepFork(LOGS[1], b"other")])
    store.commit([KeepFork(LOGS[0], b"early")])
    assert sorted(store.restored().forks) == [b"early", b"other"]


def put(store: Store, data: bytes) -> Digest:
    digest = sha256(data)
    store.partial(digest).write_bytes(data)
    store.complete(digest, store.partial(digest))
    return digest


def test_an_object_is_held_under_its_hash(store: Store):
    digest = put(store, b"segment")
    assert store.read_object(digest) == b"segment"
    with store.open_object(digest) or pytest.fail("not held") as file:
        assert file.read() == b"segment"
    assert not store.partial(digest).exists()
    assert store.restored().objects == {digest}
    assert store.free_bytes() > 0


def test_an_object_that_is_not_held_is_none(store: Store):
    assert store.read_object(sha256(b"no")) is None
    assert store.open_object(sha256(b"no")) is None


def test_an_object_whose_bytes_are_gone_is_an_error_of_the_machine(store: Store):
    with pytest.raises(StorageError, match=r"cannot write .*/objects/"):
        store.complete(sha256(b"no"), store.partial(sha256(b"no")))


def test_an_object_that_was_cut_short_or_changed_is_found_and_removed(store: Store):
    for damaged in (b"seg", b"Segment", b""):
        digest = put(store, b"segment")
        assert store.is_intact(digest)
        store.object_path(digest).write_bytes(damaged)
        with structlog.testing.capture_logs() as logs:
            assert store.read_object(digest) is None
        assert str(store.object_path(digest)) in logs[0]["path"]
        assert store.restored().objects == frozenset()
    digest = put(store, b"segment")
    store.object_path(digest).write_bytes(b"seg")
    assert not store.is_intact(digest)
    assert not store.object_path(digest).exists()


@pytest.mark.parametrize(
    ("number", "hint"), [(errno.ENOSPC, "free disk space"), (errno.EROFS, "let this user write")]
)
def test_what_the_system_refuses_names_the_path_and_what_to_do(number: int, hint: str):
    error = refused_by_disk("cannot write /data/log.db", OSError(number, os.strerror(number)))
    assert str(error) == f"cannot write /data/log.db: {os.strerror(number)}"
    assert error.hint.startswith(hint)


def test_foreign_names_among_the_objects_are_passed_over(home, store: Store):
    digest = put(store, b"ours")
    (home.objects / "README").write_text("a file of somebody else's")
    (home.objects / "ab").mkdir(exist_ok=True)
    for name in ("notes.txt", "ab" * 31, digest.hex(), "AB" * 32):
        (home.objects / "ab" / name).write_text("misplaced")
    (home.objects / "ab" / ("ab" * 32)).mkdir()
    (home.objects / "lost+found").mkdir()
    assert store.restored().objects == {digest}


def test_what_nobody_came_back_for_is_removed_from_incoming(home, store: Store):
    now, old = 1_800_000_000, INCOMING_KEPT_SECONDS + 1
    left, staged = home.incoming / "a.part", home.incoming / ("ab" * 32)
    young, fresh, other = (home.incoming / name for name in ("b.part", "cd" * 32, "notes"))
    for folder in (staged, fresh):
        folder.mkdir()
        (folder / ("00" * 32)).touch()
    for path, age in ((left, old), (staged, old), (young, 60), (fresh, 60), (other, old)):
        path.touch()
        os.utime(path, (now - age, now - age))
    journal = home.keys / "towns" / "journal.cbor"
    journal.parent.mkdir()
    journal.touch()
    store.drop_stale(now)
    assert sorted(home.incoming.iterdir()) == sorted([staged, young, fresh, other])
    journal.unlink()
    store.drop_stale(now)
    assert sorted(home.incoming.iterdir()) == sorted([young, fresh, other])
