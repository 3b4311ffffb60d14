"""Whether bytes are a piece: of every kind of torrent, of one file and of several."""

from __future__ import annotations

import random
from pathlib import Path

import libtorrent as lt
import pytest

from meshnode.runtime.payloads.piece_check import PieceCheck
from meshnode.runtime.payloads.piece_hashes import PieceHashes
from meshnode.runtime.payloads.torrent_check import CheckedTorrent, open_torrent
from tests.runtime.test_web_seeds import KINDS, torrent_of

SIZES = (400_000, 7, 0, 1 << 18, 700_001)  # below a piece, tiny, none, a piece, several pieces


@pytest.fixture(params=["one file", "several files"])
def content(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "one file":
        path = tmp_path / "tile.bin"
        path.write_bytes(random.Random(0).randbytes(700_001))
        return path
    folder = tmp_path / "set"
    folder.mkdir()
    for number, size in enumerate(SIZES):
        (folder / f"{number}.bin").write_bytes(random.Random(number).randbytes(size))
    return folder


def read(torrent: CheckedTorrent, content: Path, index: int, part: range) -> bytes:
    path = content.parent / torrent.files.files[index].path
    return path.read_bytes()[part.start : part.stop]


@pytest.mark.parametrize("kind", KINDS)
def test_each_piece_is_known_and_a_changed_byte_is_seen(content: Path, kind: str) -> None:
    torrent = torrent_of(content, kind)
    hashes = PieceHashes(torrent)
    for piece in range(torrent.piece_count):
        parts = hashes.parts(piece)
        raws = [read(torrent, content, index, part) for index, part in parts]
        whole = hashes.assemble(piece, parts, raws)
        assert hashes.can_tell(piece)
        assert hashes.is_right(piece, whole)
        assert not hashes.is_right(piece, bytes([whole[0] ^ 1]) + whole[1:])


def test_without_its_layers_a_v2_torrent_tells_of_no_piece(tmp_path: Path) -> None:
    path = tmp_path / "tile.bin"
    path.write_bytes(random.Random(0).randbytes(700_001))
    whole = torrent_of(path, "v2")
    info = lt.bdecode(whole.raw)[b"info"]  # type: ignore[index, call-overload]
    hashes = PieceHashes(open_torrent(bytes(lt.bencode({b"info": info})), whole.files))
    assert not hashes.can_tell(1)


def test_on_the_disk_without_its_layers_only_missing_bytes_show(tmp_path: Path) -> None:
    path = tmp_path / "tile.bin"
    path.write_bytes(random.Random(0).randbytes(700_001))
    whole = torrent_of(path, "v2")
    info = lt.bdecode(whole.raw)[b"info"]  # type: ignore[index, call-overload]
    bare = open_torrent(bytes(lt.bencode({b"info": info})), whole.files)
    check = PieceCheck(bare, [path])
    assert all(check.is_right(piece) for piece in range(bare.piece_count))
    part = bare.part(0, 1)
    assert check.right_part(0, 1) == path.read_bytes()[part.start : part.stop]
    with path.open("r+b") as file:
        file.truncate(part.start + 1)
    assert not check.is_right(1)
