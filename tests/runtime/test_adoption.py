"""Torrents of others as payloads: what they say is kept, what they must not say is left out."""

import hashlib
from pathlib import Path
from typing import Any

import libtorrent as lt
import pytest

from meshnode.core.entries import PayloadAdded, encode_entry
from meshnode.core.filelist import decode_file_list
from meshnode.errors import UsageError
from meshnode.runtime.maintainer.binding import payload_draft
from meshnode.runtime.payloads.adoption import adopt
from meshnode.runtime.payloads.creation import describe
from meshnode.runtime.payloads.torrent_check import check_torrent, claim_of

PIECE = 1 << 16


def torrent(**changes: Any) -> dict[bytes, Any]:
    info = {
        b"name": b"yukon.tif",
        b"piece length": PIECE,
        b"pieces": bytes(20) * 3,
        b"length": 3 * PIECE - 5,
    } | {name.replace("_", " ").encode(): value for name, value in changes.items()}
    return {
        b"announce": b"https://tracker.example.org/announce",
        b"url-list": [
            b"https://data.example.org/yukon.tif",
            b"https://data.example.org/yukon.tif",
            b"ftp://data.example.org/yukon.tif",
        ],
        b"info": {name: value for name, value in info.items() if value is not None},
    }


def written(folder: Path, value: dict[bytes, Any]) -> Path:
    path = folder / "yukon.torrent"
    path.write_bytes(bytes(lt.bencode(value)))
    return path


def test_a_torrent_becomes_a_payload_that_a_peer_takes(tmp_path: Path) -> None:
    described, seeds = adopt(written(tmp_path, torrent()))
    entry = payload_draft(described, "ortho", seeds, 0)(1)
    assert isinstance(entry, PayloadAdded)
    assert encode_entry(entry)
    info = lt.bencode(torrent()[b"info"])
    assert entry.infohash.v1 == hashlib.sha1(info, usedforsecurity=False).digest()
    assert entry.infohash.v2 is None
    assert (entry.size_bytes, entry.piece_size_bytes) == (3 * PIECE - 5, PIECE)
    assert entry.mirrors == ("https://data.example.org/yukon.tif",)
    files = decode_file_list(described.file_list)
    (file,) = files.files
    assert (file.path, file.sha256, file.root, files.infohash_v1) == (
        "yukon.tif", None, None, entry.infohash.v1,
    )  # fmt: skip
    assert check_torrent(described.torrent, claim_of(entry), files).key == entry.key


def test_what_is_published_names_no_address(tmp_path: Path) -> None:
    described, _ = adopt(written(tmp_path, torrent()))
    assert b"example.org" not in described.torrent


def test_files_of_a_folder_come_in_the_order_of_their_paths(tmp_path: Path) -> None:
    files = [{b"length": PIECE, b"path": [b"b.tif"]}, {b"length": PIECE, b"path": [b"a", b"c.tif"]}]
    described, _ = adopt(written(tmp_path, torrent(length=None, pieces=bytes(40), files=files)))
    assert [file.path for file in described.files.files] == ["yukon.tif/a/c.tif", "yukon.tif/b.tif"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"piece_length": PIECE - 1, "pieces": bytes(60)}, "pieces of 65535 bytes"),
        ({"piece_length": 1 << 13, "pieces": bytes(20 * 24)}, "pieces of 8192 bytes"),
        ({"piece_length": 32 << 20, "pieces": bytes(20)}, "not handled here"),
        ({"similar": [bytes(20)]}, "similar is not allowed"),
        ({"pieces": bytes(19)}, "cannot be published"),
    ],
    ids=str,
)
def test_a_torrent_that_no_peer_would_take_is_refused(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(UsageError, match=reason):
        adopt(written(tmp_path, torrent(**changes)))


def test_a_torrent_of_version_2_is_refused_with_the_way_to_go(tmp_path: Path) -> None:
    content = tmp_path / "yukon.tif"
    content.write_bytes(b"a map")
    path = tmp_path / "hybrid.torrent"
    path.write_bytes(describe(content).torrent)
    with pytest.raises(UsageError, match="version 2") as refused:
        adopt(path)
    assert refused.value.hint == "publish the files themselves: meshnode payload add FILE"


def test_what_is_no_torrent_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.torrent"
    with pytest.raises(UsageError, match="cannot read"):
        adopt(path)
    path.write_bytes(b"d4:infode")
    with pytest.raises(UsageError, match="cannot be published"):
        adopt(path)


def test_nine_real_torrents_are_payloads_with_their_pieces_and_web_seeds(shared: Path) -> None:
    paths = sorted((shared / "data/torrents").glob("*.torrent"))
    assert len(paths) == 9
    for path in paths:
        described, seeds = adopt(path)
        raw: Any = lt.bdecode(path.read_bytes())
        (file,) = described.files.files
        assert file.path == path.name.removesuffix(".torrent")
        assert file.size_bytes == raw[b"info"][b"length"]
        assert described.piece_size_bytes == 16 << 20
        assert list(seeds) == [each.decode() for each in raw[b"url-list"]]
        entry = payload_draft(described, "ortho", seeds, 0)(1)
        assert isinstance(entry, PayloadAdded)
        checked = check_torrent(described.torrent, claim_of(entry), described.files)
        assert checked.piece_count == len(raw[b"info"][b"pieces"]) // 20
