"""Files handed to the user: whole or not at all, and without a second copy where that can be."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest

from meshnode.core.identifiers import sha256
from meshnode.errors import StorageError, UsageError
from meshnode.runtime.payloads.delivery import Handover, deliver

SUM = sha256(b"data").hex()


@pytest.fixture
def held(tmp_path: Path) -> Path:
    path = tmp_path / "held"
    path.write_bytes(b"data")
    (tmp_path / "out").mkdir()
    return path


@pytest.fixture
def plain_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Play a file system on which files cannot share blocks, as ext4 is one."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(fcntl, "ioctl", refuse)


def test_a_delivered_file_is_the_users_own(held: Path) -> None:
    there, how = deliver(held, held.parent / "out", "folder/name.tif", SUM)
    assert there == held.parent / "out/name.tif"
    there.write_bytes(b"changed")
    assert held.read_bytes() == b"data"
    assert how in (Handover.CLONE, Handover.COPY)


@pytest.mark.usefixtures("plain_disk")
def test_where_it_may_a_file_becomes_a_second_name_that_nobody_writes_to(held: Path) -> None:
    there, how = deliver(held, held.parent / "out", "name.tif", SUM, may_link=True)
    assert how is Handover.LINK
    assert there.samefile(held)
    assert there.stat().st_mode & 0o777 == held.stat().st_mode & 0o777 == 0o444


@pytest.mark.usefixtures("plain_disk")
def test_on_another_file_system_a_file_is_copied(
    held: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    there, how = deliver(held, held.parent / "out", "name.tif", SUM, may_link=True)
    assert how is Handover.COPY
    assert there.read_bytes() == b"data"


@pytest.mark.usefixtures("plain_disk")
def test_the_file_of_another_user_is_copied(held: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: held.stat().st_uid + 1)
    there, how = deliver(held, held.parent / "out", "name.tif", SUM, may_link=True)
    assert how is Handover.COPY
    assert not there.samefile(held)


def test_a_delivered_file_takes_the_place_of_an_older_one(held: Path) -> None:
    (held.parent / "out/name.tif").write_bytes(b"older and longer")
    there, _ = deliver(held, held.parent / "out", "name.tif", SUM, may_link=True)
    assert there.read_bytes() == b"data"
    assert len(list((held.parent / "out").iterdir())) == 1


def test_a_damaged_file_is_not_delivered(held: Path) -> None:
    with pytest.raises(StorageError, match="is damaged"):
        deliver(held, held.parent / "out", "name.tif", sha256(b"other").hex(), may_link=True)
    assert list((held.parent / "out").iterdir()) == []


def test_a_delivery_without_a_folder_or_a_source_says_so(held: Path) -> None:
    with pytest.raises(UsageError, match="is not a folder"):
        deliver(held, held.parent / "none", "name", None)
    with pytest.raises(StorageError, match="cannot write"):
        deliver(held.parent / "lost", held.parent / "out", "name", None)
