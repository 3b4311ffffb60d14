"""From files on disk to a file list and a torrent: the same bytes as the reference makes."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import Any

import libtorrent as lt
import pytest

from meshnode.core.filelist import decode_file_list
from meshnode.errors import UsageError
from meshnode.runtime.payloads.creation import describe, piece_size_for

MIB = 1 << 20


def fill(path: Path, size_bytes: int, seed: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(random.Random(seed).randbytes(size_bytes))
    return path


def reference_torrent(content: Path, piece_size: int) -> bytes:
    creator = lt.create_torrent(lt.list_files(str(content)), piece_size, 0)
    creator.set_creation_date(0)
    lt.set_piece_hashes(creator, str(content.parent))
    return lt.bencode(creator.generate())


@pytest.mark.parametrize(
    "size_bytes", [1, 16 << 10, (16 << 10) + 1, MIB - 1, MIB, MIB + 1, 3 * MIB + 12345]
)
def test_a_file_makes_the_torrent_that_libtorrent_makes(tmp_path, size_bytes):
    path = fill(tmp_path / "tile.tif", size_bytes)

    made = describe(path)

    assert made.torrent == reference_torrent(path, MIB)


def test_a_folder_makes_the_torrent_that_libtorrent_makes(tmp_path):
    folder = tmp_path / "set"
    for i, (name, size) in enumerate(
        [("b c.bin", 2 * MIB + 5), ("a/z.bin", MIB), ("d.b", 3), ("é.txt", 10), ("empty", 0)]
    ):
        fill(folder / name, size, seed=i)

    made = describe(folder)

    assert made.torrent == reference_torrent(folder, MIB)


def test_files_beside_a_folder_of_the_same_beginning_stand_in_the_order_of_the_tree(tmp_path):
    for name in ("a b", "a/z", "a.b"):
        fill(tmp_path / "set" / name, 3)

    loaded: Any = lt.load_torrent_buffer(describe(tmp_path / "set").torrent)
    layout = loaded.ti.layout()

    # libtorrent's own creator orders these by whole path, and then refuses to load its torrent.
    paths = [layout.file_path(i) for i in range(layout.num_files())]
    assert [path for path in paths if ".pad" not in path] == ["set/a/z", "set/a b", "set/a.b"]


def test_the_description_carries_the_hashes_and_bindings(tmp_path):
    data = fill(tmp_path / "set" / "data.tif", 2 * MIB + 7)
    fill(tmp_path / "set" / "notes.txt", 9)

    made = describe(tmp_path / "set", {"set/data.tif": [("item-2", "data"), ("item-1", "data")]})

    file = made.files.files[0]
    assert file.path == "set/data.tif"
    assert file.sha256 == hashlib.sha256(data.read_bytes()).digest()
    assert file.bindings == (("item-1", "data"), ("item-2", "data"))
    assert decode_file_list(made.file_list) == made.files
    loaded = lt.load_torrent_buffer(made.torrent)
    assert loaded.info_hashes.v1.to_bytes() == made.infohash_v1
    assert loaded.info_hashes.v2.to_bytes() == made.infohash_v2
    assert not loaded.trackers
    assert not loaded.url_seeds


def test_progress_ends_at_the_whole_size(tmp_path):
    reported = []

    describe(
        fill(tmp_path / "f", 2 * MIB + 1), on_progress=lambda done, of: reported.append((done, of))
    )

    assert reported == [(MIB, 2 * MIB + 1), (2 * MIB, 2 * MIB + 1), (2 * MIB + 1, 2 * MIB + 1)]


def test_piece_sizes_grow_with_the_payload():
    sizes = [piece_size_for(size) for size in (0, (1 << 30) - 1, 1 << 30, 64 << 30)]

    assert sizes == [MIB, MIB, 4 * MIB, 16 * MIB]


def test_what_is_not_a_plain_file_is_refused_by_name(tmp_path):
    fill(tmp_path / "set" / "a", 1)
    (tmp_path / "set" / "link").symlink_to("/etc/passwd")

    with pytest.raises(UsageError, match="link is not a plain file"):
        describe(tmp_path / "set")
    with pytest.raises(UsageError, match="missing is not a file or folder"):
        describe(tmp_path / "missing")


def test_a_name_that_other_peers_would_refuse_is_refused_here(tmp_path):
    with pytest.raises(UsageError, match="backslash"):
        describe(fill(tmp_path / "a\\b", 1))


def test_a_binding_to_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UsageError, match="other"):
        describe(fill(tmp_path / "f", 1), {"other": [("item", "data")]})
