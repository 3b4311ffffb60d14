"""Partial objects on a real disk."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshnode.core.identifiers import sha256
from meshnode.errors import StorageError
from meshnode.runtime.network.downloads import Download

DATA = bytes(range(256)) * 100


@pytest.fixture
def small_files() -> Iterator[None]:
    """Let no file grow over 10,000 bytes, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_an_earlier_attempt_left_is_hashed_and_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "part"
    with Download(path, sha256(DATA), len(DATA)) as first:
        first.take(DATA[:400], DATA[400:1000])
        first.keep()
    with Download(path, sha256(DATA), len(DATA)) as second:
        assert second.is_begun
        second.resume()
        assert second.offset == 1000
        second.take(DATA[1000:])
        assert second.is_whole
        second.keep()
        assert second.is_right
    assert path.read_bytes() == DATA


def test_a_partial_longer_than_the_object_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "part"
    path.write_bytes(bytes(len(DATA) + 1))
    with Download(path, sha256(DATA), len(DATA)) as download:
        download.resume()
        assert download.offset == 0
        download.take(DATA)
        download.keep()
        assert download.is_right
    assert path.read_bytes() == DATA


def test_a_directory_that_is_not_there_is_the_machines_fault(tmp_path: Path) -> None:
    download = Download(tmp_path / "absent" / "part", sha256(DATA), len(DATA))
    assert not download.is_begun
    with pytest.raises(StorageError, match="No such file") as refusal:
        download.keep()
    assert "disk" in refusal.value.hint


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize("bytes_taken", [20_000, 10_001], ids=["while written", "when closed"])
def test_a_disk_that_refuses_is_the_machines_fault(tmp_path: Path, bytes_taken: int) -> None:
    part = 1_000 if bytes_taken == 10_001 else bytes_taken
    with (
        pytest.raises(StorageError, match="File too large"),
        Download(tmp_path / "part", sha256(DATA), len(DATA)) as download,
    ):
        for start in range(0, bytes_taken, part):
            download.take(DATA[start : start + part])
            download.keep()


def test_a_refusal_is_not_hidden_by_the_one_at_closing(tmp_path: Path) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        Download(tmp_path / "part", sha256(DATA), len(DATA)) as download,
    ):
        download.take(DATA[:10])
        download.keep()
        raise ZeroDivisionError
