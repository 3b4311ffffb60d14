"""Bundles: the same bytes for the same state, and nothing taken of a file that is none."""

from __future__ import annotations

import io
import random
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshnode.core.entries import ObjectRef
from meshnode.core.identifiers import sha256
from meshnode.core.static_mirror import POINTER_NAME, object_path
from meshnode.errors import StorageError, UsageError
from meshnode.runtime.static_mirror.bundle import (
    BundleShelf,
    BundleWriter,
    streamed_bundle,
    written_bundle,
)
from meshnode.runtime.static_mirror.places import DamagedError, Source
from meshnode.runtime.static_mirror.shelves import read_whole

FILES = [random.Random(number).randbytes(number) for number in (1, 511, 512, 513, 300_000)]
POINTER = b"the pointer"


def add(writer: BundleWriter, raw: bytes) -> None:
    writer.add(sha256(raw), Source(sha256(raw), len(raw), raw))


def bundle_of(*files: bytes) -> bytes:
    written = io.BytesIO()
    with streamed_bundle(written) as writer:
        for raw in files:
            add(writer, raw)
        writer.replace(POINTER_NAME, POINTER)
    return written.getvalue()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bundle.tar"


def opened(path: Path, raw: bytes) -> BundleShelf:
    path.write_bytes(raw)
    return BundleShelf(path)


async def test_n_89_what_was_written_is_read(path: Path) -> None:
    shelf = opened(path, bundle_of(*FILES))
    assert await shelf.pointer() == POINTER
    assert await shelf.pointer() is None
    assert shelf.names() == {sha256(raw) for raw in FILES}
    for raw in FILES:
        assert await read_whole(shelf, ObjectRef(sha256(raw), len(raw))) == raw
    async with shelf.open(sha256(FILES[-1]), 299_000) as rest:
        assert b"".join([chunk async for chunk in rest.chunks]) == FILES[-1][299_000:]
    shelf.close()


def test_n_89_a_bundle_is_a_plain_tar_without_owners_and_times(path: Path) -> None:
    path.write_bytes(bundle_of(*FILES))
    with tarfile.open(path) as archive:
        members = archive.getmembers()
        assert [each.name for each in members] == [
            *(object_path(sha256(raw)) for raw in FILES),
            POINTER_NAME,
        ]
        assert {(m.uid, m.gid, m.mtime, m.mode, m.uname) for m in members} == {(0, 0, 0, 0o644, "")}
    assert path.stat().st_size == len(bundle_of(*FILES))


@pytest.mark.parametrize("size", [0, 100, 600, 1200, 301_000, -2100, -1530])
def test_a_bundle_that_was_cut_off_is_refused(path: Path, size: int) -> None:
    with pytest.raises(UsageError, match="is not a whole bundle"):
        opened(path, bundle_of(*FILES)[:size])


def member(name: str, data: bytes = b"x", **changes: object) -> bytes:
    header = tarfile.TarInfo(name)
    header.size = len(data)
    for field, value in changes.items():
        setattr(header, field, value)
    padded = data + bytes(-len(data) % 512)
    return header.tobuf(tarfile.USTAR_FORMAT) + padded


GOOD = object_path(sha256(b"x"))


@pytest.mark.parametrize(
    "hostile",
    [
        member("../../../etc/cron.d/job"),
        member("/etc/passwd"),
        member("objects/../../secret"),
        member(GOOD.replace("objects/", "objects/../objects/")),
        member("objects/ab/" + "0" * 64),
        member(GOOD + "0"),
        member(GOOD.upper()),
        member(GOOD + "\n"),
        member("leaving.cbor"),
        member(GOOD, type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        member(GOOD, type=tarfile.LNKTYPE, linkname="mirror.cbor"),
        member(GOOD, type=tarfile.DIRTYPE),
        member(GOOD, type=tarfile.CHRTYPE),
        member(GOOD, type=tarfile.XHDTYPE),
        member(GOOD, type=tarfile.GNUTYPE_LONGNAME),
        member(GOOD) + member(GOOD),
        member(POINTER_NAME) + member(POINTER_NAME),
        member(POINTER_NAME, bytes(600_000)),
    ],
    ids=lambda raw: raw[:12].decode(),
)
def test_a_name_or_a_kind_that_no_mirror_has_is_refused(path: Path, hostile: bytes) -> None:
    with pytest.raises(UsageError, match="is not a whole bundle"):
        opened(path, hostile + bundle_of(*FILES))
    assert list(path.parent.iterdir()) == [path]


def test_a_file_that_claims_more_than_there_is_is_refused(path: Path) -> None:
    with pytest.raises(UsageError, match="cut off"):
        opened(path, bundle_of() and member(GOOD, size=10_000)[:512] + b"x")


@given(st.integers(0, 4000), st.binary(min_size=1, max_size=40))
def test_whatever_is_changed_nothing_but_a_refusal_comes_of_it(
    tmp_path_factory: pytest.TempPathFactory, at: int, change: bytes
) -> None:
    whole = bundle_of(*FILES[:3])
    path = tmp_path_factory.mktemp("fuzz") / "bundle.tar"
    try:
        shelf = opened(path, whole[:at] + change + whole[at + len(change) :])
    except UsageError:
        return
    assert shelf.names() <= {sha256(raw) for raw in FILES[:3]}
    shelf.close()


def test_a_damaged_object_is_not_begun(tmp_path: Path) -> None:
    damaged = tmp_path / "object"
    damaged.write_bytes(b"y")
    written = io.BytesIO()
    writer = BundleWriter(written)
    with pytest.raises(DamagedError):
        writer.add(sha256(b"x"), Source(sha256(b"x"), 1, damaged))
    assert written.getvalue() == b""


def fail_with(error: BaseException) -> Callable[[BundleWriter], None]:
    def fail(writer: BundleWriter) -> None:
        add(writer, b"half")
        raise error

    return fail


@pytest.mark.parametrize("error", [StorageError("no"), KeyboardInterrupt(), OSError(28, "full")])
def test_a_bundle_that_is_not_finished_leaves_what_was_there(
    path: Path, error: BaseException
) -> None:
    path.write_bytes(b"the bundle of yesterday")
    with pytest.raises((StorageError, KeyboardInterrupt)), written_bundle(path) as writer:
        fail_with(error)(writer)
    assert path.read_bytes() == b"the bundle of yesterday"
    assert list(path.parent.iterdir()) == [path]
