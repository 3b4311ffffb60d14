"""Torrents that were made to break engines: each is refused with its reason, or does no harm.

They are those of libtorrent's own tests. The file list is what a lying publisher would sign: it
says of the files what the torrent says.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
import trio

from meshnode.core.filelist import FileList, PayloadFile, encode_file_list, in_order
from meshnode.core.identifiers import Digest
from meshnode.errors import PeerError, UsageError
from meshnode.runtime.payloads import torrent_check
from meshnode.runtime.payloads.torrent_check import CheckedTorrent, open_torrent
from meshnode.runtime.payloads.torrents import Torrents
from tests.runtime.test_torrents import LOCAL

pytestmark = pytest.mark.slow

REFUSED: Final = {
    "bad_name": "missing name",
    "collection2": "collections is not allowed",
    "duplicate_files": "stands in it twice",
    "duplicate_files2": "too many duplicate filenames",
    "empty_path_multi": "stands in it twice",
    "invalid_directory_name": "stands in it twice",
    "invalid_file_size": "invalid length",
    "invalid_filename2": "stands in it twice",
    "invalid_info": "missing or invalid 'info'",
    "invalid_name": "missing name",
    "invalid_path_list": "possible exploit attempt",
    "invalid_piece_len": "invalid or missing 'piece length'",
    "invalid_pieces": "invalid or missing 'pieces'",
    "invalid_symlink": "possible exploit attempt",
    "large_piece_size": "pieces of 511 MiB is not handled here",
    "long_name": "name in a path too long",
    "many_pieces": "too many pieces",
    "missing_path_list": "missing name",
    "missing_piece_len": "invalid or missing 'piece length'",
    "negative_file_size": "invalid length",
    "negative_piece_len": "invalid or missing 'piece length'",
    "negative_size": "invalid length",
    "no_files": "no files in torrent",
    "no_name": "missing name",
    "overlapping_symlinks": "is a link, hidden or executable",
    "similar2": "similar is not allowed",
    "string": "not a dictionary",
    "symlink1": "is a link, hidden or executable",
    "symlink2": "is a link, hidden or executable",
    "symlink_filtered_path": "is a link, hidden or executable",
    "symlink_zero_size": "is a link, hidden or executable",
    "unaligned_pieces": "incorrect number of piece hashes",
    "v2_bad_file_alignment": "v1 and v2 file metadata does not match",
    "v2_deep_recursion": "nesting depth exceeded",
    "v2_empty_filename": "failed to parse files",
    "v2_hybrid": "is a link, hidden or executable",
    "v2_hybrid-missing-tailpad": "is a link, hidden or executable",
    "v2_invalid_file": "failed to parse files",
    "v2_invalid_filename2": "stands in it twice",
    "v2_invalid_pad_file": "has the pad attribute set",
    "v2_invalid_piece_layer": "a piece layer is invalid",
    "v2_invalid_piece_layer_root": "a piece layer is invalid",
    "v2_invalid_piece_layer_size": "a piece layer is invalid",
    "v2_invalid_root_hash": "a piece layer is invalid",
    "v2_large_file": "invalid length",
    "v2_large_offset": "too many pieces",
    "v2_mismatching_metadata": "v1 and v2 file metadata does not match",
    "v2_missing_file_root_invalid_symlink": "has no root hash",
    "v2_no_power2_piece": "invalid or missing 'piece length'",
    "v2_non_multiple_piece_layer": "a piece layer is invalid",
    "v2_overlong_integer": "invalid bencoding",
    "v2_piece_layer_invalid_file_hash": "a piece layer is invalid",
    "v2_piece_size": "invalid or missing 'piece length'",
    "v2_symlinks": "is a link, hidden or executable",
    "v2_unknown_piece_layer_entry": "a piece layer is invalid",
    "v2_unordered_files": "invalid bencoding",
    "v2_zero_root": "has no root hash",
    "v2_zero_root_small": "has no root hash",
    "zero": "invalid length",
    "zero2": "invalid length",
}
# Names that lead out of a folder, addresses, odd orders: what is not used cannot do harm.
HARMLESS_NAMES: Final = """
absolute_filename backslash_path base collection creation_date dht_nodes duplicate_web_seeds
empty-files-1 empty-files-2 empty-files-3 empty-files-4 empty-files-5 empty_httpseed empty_path
hidden_parent_path httpseed invalid_filename invalid_name2 invalid_name3 large no_creation_date
pad_file pad_file_no_path parent_path sample similar single_multi_file slash_path slash_path2
slash_path3 unordered url_list url_list2 url_list3 url_seed url_seed_multi
url_seed_multi_single_file url_seed_multi_space url_seed_multi_space_nolist v2 v2_empty_file
v2_incomplete_piece_layer v2_invalid_filename v2_multipiece_file v2_multiple_files
v2_no_piece_layers v2_only whitespace_url
"""
HARMLESS: Final = frozenset(HARMLESS_NAMES.split())


def torrents_of(shared: Path) -> dict[str, bytes]:
    folder = shared / "vectors/libtorrent-test-torrents/test/test_torrents"
    return {path.stem: path.read_bytes() for path in sorted(folder.glob("*.torrent"))}


def opened(raw: bytes) -> CheckedTorrent:
    """Open a torrent with the file list that its own words make."""
    loaded = torrent_check._load(raw)
    info, hashes = loaded.ti, loaded.info_hashes
    assert info is not None
    layout, has_roots = info.layout(), hashes.has_v2()
    files = FileList(
        in_order(
            PayloadFile(
                layout.file_path(index),
                layout.file_size(index),
                Digest(bytes(32)) if has_roots else None,
                Digest(layout.root(index).to_bytes())
                if has_roots and layout.file_size(index)
                else None,
            )
            for index in range(layout.num_files())
            if not int(layout.file_flags(index)) & torrent_check._PAD_FLAG
        ),
        None if has_roots else hashes.v1.to_bytes(),
    )
    checked = open_torrent(raw, files)
    encode_file_list(files)
    return checked


def files_below(folder: Path) -> list[Path]:
    """Return every file where it really lies, links followed."""
    return [path.resolve() for path in folder.rglob("*") if path.is_symlink() or path.is_file()]


def test_every_torrent_of_the_suite_has_a_verdict(shared: Path) -> None:
    assert set(torrents_of(shared)) == set(REFUSED) | HARMLESS
    assert not set(REFUSED) & HARMLESS


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_hostile_torrent_is_refused_with_its_reason(shared: Path, name: str) -> None:
    with pytest.raises((PeerError, UsageError)) as caught:
        opened(torrents_of(shared)[name])
    assert REFUSED[name] in str(caught.value)


@pytest.mark.parametrize("name", sorted(HARMLESS))
async def test_a_harmless_torrent_names_nobody_and_writes_below_its_own_folder(
    shared: Path, tmp_path: Path, nursery: trio.Nursery, name: str
) -> None:
    torrents = Torrents(LOCAL, tmp_path / "payloads")
    with trio.fail_after(30):
        await nursery.start(torrents.run)
        checked = opened(torrents_of(shared)[name])
        transfer = await torrents.open(checked)
        await transfer.until_checked()
        assert transfer.failure is None
        assert (transfer.handle.current.trackers(), transfer.handle.url_seeds()) == ([], [])
        await transfer.save()
    own = tmp_path / "payloads" / checked.key.hex()
    written = await trio.to_thread.run_sync(files_below, tmp_path)
    assert written
    assert all(path.is_relative_to(own) for path in written)


def test_a_torrent_whose_keys_are_in_no_order_keeps_its_name(shared: Path) -> None:
    """The info-hash is of the bytes as they are: peers know the torrent by it."""
    raw = torrents_of(shared)["unordered"]
    loaded = torrent_check._load(raw)
    assert opened(raw).claim.infohash_v1 == loaded.info_hashes.v1.to_bytes()
