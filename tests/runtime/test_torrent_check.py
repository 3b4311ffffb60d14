"""The guard: a torrent is used only if it is exactly what the entry and the file list say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import libtorrent as lt
import pytest

from meshnode.core.filelist import FileList, PayloadFile, in_order
from meshnode.core.identifiers import Digest
from meshnode.errors import PeerError, UsageError
from meshnode.runtime.payloads.creation import PayloadFiles, describe
from meshnode.runtime.payloads.torrent_check import (
    CheckedTorrent,
    PayloadClaim,
    check_torrent,
    open_torrent,
)


@pytest.fixture
def made(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "a").write_bytes(b"a" * 70_000)
    (folder / "b").write_bytes(b"b" * 2_000_000)
    return describe(folder)


def claim_of(made: PayloadFiles) -> PayloadClaim:
    return PayloadClaim(
        made.key, made.files.size_bytes, made.piece_size_bytes, made.infohash_v2, made.infohash_v1
    )


def test_what_was_published_passes(made):
    checked = check_torrent(made.torrent, claim_of(made), made.files)

    assert checked.key == made.key
    assert checked.spans == (range(1), range(1, 3))


def test_every_address_inside_a_torrent_is_dropped(made):
    decoded: Any = lt.bdecode(made.torrent)
    decoded |= {
        b"announce": b"http://10.0.0.1/announce",
        b"announce-list": [[b"udp://10.0.0.1:1"]],
        b"url-list": [b"http://127.0.0.1/admin/reboot"],
        b"httpseeds": [b"http://127.0.0.1/x"],
        b"nodes": [[b"127.0.0.1", 1]],
    }

    checked = check_torrent(lt.bencode(decoded), claim_of(made), made.files)

    parameters = lt.load_torrent_buffer(checked.raw)
    assert checked.raw == made.torrent
    assert not (parameters.trackers or parameters.url_seeds or parameters.dht_nodes)


@pytest.mark.parametrize(
    "change",
    [
        {"key": Digest(b"k" * 32)},
        {"size_bytes": 1},
        {"piece_size_bytes": 1 << 14},
        {"infohash_v2": None},
        {"infohash_v1": b"1" * 20},
    ],
)
def test_a_torrent_that_the_entry_does_not_describe_is_refused(made, change):
    with pytest.raises(PeerError, match=next(iter(change))):
        check_torrent(made.torrent, replace(claim_of(made), **change), made.files)


@pytest.mark.parametrize(
    "change", [{"path": "set/c"}, {"size_bytes": 5}, {"root": Digest(b"r" * 32)}, {"root": None}]
)
def test_a_torrent_of_other_files_is_refused(made, change):
    files = FileList((made.files.files[0], replace(made.files.files[1], **change)))

    with pytest.raises(PeerError, match="file list"):
        open_torrent(made.torrent, files)


@pytest.mark.parametrize("key", [b"similar", b"collections", b"ssl-cert"])
def test_a_torrent_that_reaches_for_others_is_refused(made, key):
    decoded: Any = lt.bdecode(made.torrent)
    decoded[b"info"][key] = [b"x" * 20]

    with pytest.raises(PeerError, match=key.decode()):
        open_torrent(lt.bencode(decoded), made.files)


def test_pieces_larger_than_are_handled_here_are_nobodys_fault(tmp_path):
    path = tmp_path / "tile.tif"
    path.write_bytes(bytes(1000))
    creator = lt.create_torrent(lt.list_files(str(path)), 32 << 20, 0)
    lt.set_piece_hashes(creator, str(tmp_path))

    with pytest.raises(UsageError, match=r"pieces of 32 MiB is not handled here: 16 MiB"):
        open_torrent(lt.bencode(creator.generate()), describe(path).files)


def test_a_torrent_of_ten_megabytes_is_not_even_parsed(made):
    with pytest.raises(PeerError, match="the limit is"):
        open_torrent(b"d" * ((10 << 20) + 1), made.files)


def torrent_files(shared: Path) -> list[Path]:
    return sorted((shared / "vectors/libtorrent-test-torrents/test").glob("*/*.torrent"))


def test_no_torrent_of_the_reference_suite_passes_for_another_payload(shared, made):
    found = torrent_files(shared)

    assert len(found) > 80
    for path in found:
        with pytest.raises((PeerError, UsageError), match=r"torrent|not handled here"):
            check_torrent(path.read_bytes(), claim_of(made), made.files)


def test_torrents_of_the_reference_suite_write_below_their_own_directory_only(shared, tmp_path):
    opened = [found for path in torrent_files(shared) if (found := open_as_it_says(path))]

    assert opened
    for checked in opened:
        places = tuple(tmp_path / str(i) for i in range(len(checked.places)))
        parameters = checked.parameters(tmp_path, places)
        assert not (parameters.trackers or parameters.url_seeds or parameters.dht_nodes)
        assert set(parameters.renamed_files.values()) == {str(place) for place in places}


def open_as_it_says(path: Path) -> CheckedTorrent | None:
    """Give the torrent a file list made from its own words; None where it is refused all the same.

    The list is what a lying publisher would sign.
    """
    try:
        loaded: Any = lt.load_torrent_buffer(path.read_bytes())
        layout = loaded.ti.layout()
        files = [file for i in range(layout.num_files()) if (file := own_file(layout, i))]
        return open_torrent(path.read_bytes(), FileList(in_order(files)))
    except (PeerError, UsageError, RuntimeError):
        return None


def own_file(layout: lt.file_storage, index: int) -> PayloadFile | None:
    if int(layout.file_flags(index)) & lt.file_storage.flag_pad_file:
        return None
    root = layout.root(index).to_bytes()
    return PayloadFile(
        layout.file_path(index),
        layout.file_size(index),
        Digest(b"s" * 32),
        Digest(root) if any(root) else None,
    )
