"""The files of a payload as one record, and the payload's key (protocol/06-payloads.md).

The record names each file's path, size and hashes and the item assets that are this file. The key
covers the content alone: binding the same files to other items does not move a single byte.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from meshnode.core.encoding import MalformedRecordError, decode, encode
from meshnode.core.identifiers import DIGEST_BYTES, Digest, sha256

FILE_LIST_BYTES_MAX: Final = 16 << 20  # held in memory while it is decoded
FILES_MAX: Final = 65_536  # what libtorrent opens in a fraction of a second
FILE_BYTES_MAX: Final = 8 << 40  # beyond it the hash tree of one file costs 100s of MB
PAYLOAD_BYTES_MAX: Final = 2**48  # the largest offset that BitTorrent engines calculate with
PATH_BYTES_MAX: Final = 1024
NAME_BYTES_MAX: Final = 240  # a path's part: what file systems hold, with room for a suffix
PATH_DEPTH_MAX: Final = 32
BINDINGS_MAX: Final = 4096  # items that share one file
ID_BYTES_MAX: Final = 255
INFOHASH_V1_BYTES: Final = 20

_KIND: Final = "files"
_VERSION: Final = 1

Binding = tuple[str, str]  # item id, asset key


@dataclass(frozen=True, slots=True)
class PayloadFile:
    """One file. `path` has parts joined by "/"; it is a name to show and to ask a mirror for.

    `root` is the BEP 52 root of the file's 16 KiB Merkle tree, None for an empty file and where
    the torrent has none. `sha256` is None only in a list that names a v1 info-hash instead.
    """

    path: str
    size_bytes: int
    sha256: Digest | None
    root: Digest | None
    bindings: tuple[Binding, ...] = ()


@dataclass(frozen=True, slots=True)
class FileList:
    """All files of a payload, by rising UTF-8 bytes of their paths.

    Either every file has its SHA-256 and `infohash_v1` is None, or none has and the info-hash of
    a v1 torrent stands for their content.
    """

    files: tuple[PayloadFile, ...]
    infohash_v1: bytes | None = None

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)

    @property
    def key(self) -> Digest:
        """The payload's name: SHA-256 over the content, bindings left out."""
        content = [[f.path, f.size_bytes, f.sha256, f.root] for f in self.files]
        return sha256(encode(["payload", _VERSION, self.infohash_v1, content]))

    def find(self, item: str, asset: str) -> int | None:
        """Return the index of the file that is this asset of this item."""
        bound = (i for i, file in enumerate(self.files) if (item, asset) in file.bindings)
        return next(bound, None)


def in_order(files: Iterable[PayloadFile]) -> tuple[PayloadFile, ...]:
    return tuple(sorted(files, key=lambda file: file.path.encode()))


def encode_file_list(files: FileList) -> bytes:
    """Return the record's bytes; raises MalformedRecordError if it breaks a rule."""
    _check_list(files)
    rows = [
        [f.path, f.size_bytes, f.sha256, f.root, [list(binding) for binding in f.bindings]]
        for f in files.files
    ]
    raw = encode([_KIND, _VERSION, files.infohash_v1, rows])
    _require(len(raw) <= FILE_LIST_BYTES_MAX, f"file list of {len(raw)} bytes")
    return raw


def decode_file_list(raw: bytes) -> FileList:
    """Read the record from untrusted bytes.

    Raises:
        MalformedRecordError: not canonical, another shape, or beyond a limit.
    """
    match decode(raw, FILE_LIST_BYTES_MAX):
        case [str(kind), int(version), (bytes() | None) as infohash, list(rows)] if (
            kind == _KIND and version == _VERSION
        ):
            _require(len(rows) <= FILES_MAX, f"{len(rows)} files")
            files = FileList(tuple(_file(row) for row in rows), infohash)
        case _:
            raise MalformedRecordError("not a file list of version 1")
    _check_list(files)
    return files


def _file(row: object) -> PayloadFile:
    match row:
        case [
            str(path),
            int(size),
            (bytes() | None) as sha,
            (bytes() | None) as root,
            list(bindings),
        ]:
            return PayloadFile(
                path, size, _digest(sha), _digest(root), tuple(_binding(each) for each in bindings)
            )
        case _:
            raise MalformedRecordError("a file of another shape")


def _digest(value: bytes | None) -> Digest | None:
    return None if value is None else Digest(value)


def _binding(value: object) -> Binding:
    match value:
        case [str(item), str(asset)]:
            return item, asset
        case _:
            raise MalformedRecordError("a binding of another shape")


def _check_list(files: FileList) -> None:
    _require(1 <= len(files.files) <= FILES_MAX, f"{len(files.files)} files")
    infohash = files.infohash_v1
    _require(infohash is None or len(infohash) == INFOHASH_V1_BYTES, "info-hash of another length")
    for file in files.files:
        _check_file(file, hashed=infohash is None)
    _require(files.size_bytes <= PAYLOAD_BYTES_MAX, f"{files.size_bytes} bytes")
    _check_paths([file.path for file in files.files])


def _check_file(file: PayloadFile, *, hashed: bool) -> None:
    size_fits = not isinstance(file.size_bytes, bool) and 0 <= file.size_bytes <= FILE_BYTES_MAX
    _require(size_fits, f"file of {file.size_bytes} bytes")
    _require((file.sha256 is not None) == hashed, "SHA-256 of a file missing or out of place")
    for digest in (file.sha256, file.root):
        _require(digest is None or len(digest) == DIGEST_BYTES, "digest of another length")
    _require(file.root is None or (hashed and file.size_bytes > 0), "v2 root out of place")
    _require(len(file.bindings) <= BINDINGS_MAX, f"{len(file.bindings)} bindings of one file")
    _require(_rising(file.bindings), "bindings out of order")
    for item, asset in file.bindings:
        _require(1 <= len(item.encode()) <= ID_BYTES_MAX, "item id of a binding")
        _require(1 <= len(asset.encode()) <= ID_BYTES_MAX, "asset key of a binding")


def _check_paths(paths: list[str]) -> None:
    """Paths are safe, rise, and lie in one folder; or it is one file without a folder."""
    for path in paths:
        _check_path(path)
    _require(_rising([path.encode() for path in paths]), "paths out of order")
    if len(paths) > 1:
        tops = {path.partition("/")[0] for path in paths}
        _require(len(tops) == 1 and all("/" in path for path in paths), "more than one top folder")
    folders = {path[:end] for path in paths for end in _slashes(path)}
    _require(folders.isdisjoint(paths), "a path is a file and a folder")


def _check_path(path: str) -> None:
    _require(len(path.encode()) <= PATH_BYTES_MAX, "path too long")
    names = path.split("/")
    _require(len(names) <= PATH_DEPTH_MAX, "path too deep")
    _require(path.isprintable() and "\\" not in path, f"path {path!r}: unprintable or backslash")
    for name in names:
        _require(name not in ("", ".", ".."), f"path {path!r} is not plain")
        _require(len(name.encode()) <= NAME_BYTES_MAX, "name in a path too long")


def _slashes(path: str) -> list[int]:
    return [i for i, letter in enumerate(path) if letter == "/"]


def _rising(values: tuple[Binding, ...] | list[bytes]) -> bool:
    keys = [tuple(part.encode() for part in v) if isinstance(v, tuple) else (v,) for v in values]
    return all(a < b for a, b in pairwise(keys))


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise MalformedRecordError(f"file list: {what}")
