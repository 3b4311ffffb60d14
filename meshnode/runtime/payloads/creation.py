"""The publisher's half of a payload: files on disk become a file list and a torrent.

One pass over the bytes yields the SHA-256 of each file, its BEP 52 tree and the BEP 3 pieces. The
torrent is hybrid and the same for the same files: no date, no tracker, no mirror inside.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import libtorrent as lt

from meshnode.core.filelist import (
    FILES_MAX,
    Binding,
    FileList,
    PayloadFile,
    encode_file_list,
    in_order,
)
from meshnode.core.identifiers import Digest, sha256
from meshnode.errors import PeerError, StorageError, UsageError
from meshnode.runtime.files import refused_by_disk

BLOCK_BYTES: Final = 16 << 10  # the leaf of a BEP 52 tree
_MIB: Final = 1 << 20
# Bigger pieces keep the bitmaps of large archives small; smaller ones waste less when one is bad.
_PIECE_SIZES: Final = ((1 << 30, 1 * _MIB), (64 << 30, 4 * _MIB))
_PIECE_SIZE_LARGEST: Final = 16 * _MIB

OnProgress = Callable[[int, int], None]  # bytes hashed, bytes in all


@dataclass(frozen=True, slots=True)
class PayloadFiles:
    """All that a `payload+` entry says of files, and the two objects that it names."""

    files: FileList
    file_list: bytes
    piece_size_bytes: int
    torrent: bytes
    infohash_v2: Digest | None
    infohash_v1: bytes

    @property
    def key(self) -> Digest:
        return self.files.key


@dataclass(frozen=True, slots=True)
class _Hashed:
    size_bytes: int
    sha256: Digest
    root: Digest | None
    layer: bytes  # the tree's row of piece hashes; empty for a file within one piece
    pieces: tuple[bytes, ...]  # SHA-1 of each piece, the last one padded where a file follows


def describe(
    content: Path,
    bindings: Mapping[str, Sequence[Binding]] | None = None,
    on_progress: OnProgress = lambda done, total: None,
) -> PayloadFiles:
    """Hash a file or a folder; `bindings` by path as in the file list. Blocks: use a thread.

    Raises:
        UsageError: nothing there, a symbolic link, a name that cannot be published, or a binding
            to a file that is not there.
        StorageError: a file cannot be read, or changed meanwhile.
    """
    paths = _paths(content)
    sizes = {name: _size(path) for name, path in paths.items()}
    piece_size = piece_size_for(sum(sizes.values()))
    progress = _Progress(sum(sizes.values()), on_progress)
    padded = content.is_dir()
    hashed = {
        name: _hash_file(path, sizes[name], piece_size, progress, padded=padded)
        for name, path in paths.items()
    }
    files = _file_list(hashed, bindings or {})
    try:
        file_list = encode_file_list(files)
    except PeerError as error:
        raise UsageError(
            f"{content} cannot be published: {error}", hint="rename the file, or move it out"
        ) from error
    torrent = _torrent(content.name, hashed, piece_size, padded=padded)
    decoded: Any = lt.bdecode(torrent)
    info = lt.bencode(decoded[b"info"])
    v1 = hashlib.sha1(info, usedforsecurity=False).digest()
    return PayloadFiles(files, file_list, piece_size, torrent, sha256(info), v1)


def piece_size_for(size_bytes: int) -> int:
    """Return the piece size, in bytes, of a payload of this size."""
    fitting = (piece for limit, piece in _PIECE_SIZES if size_bytes < limit)
    return next(fitting, _PIECE_SIZE_LARGEST)


class _Progress:
    """Adds up what was hashed, for the one who watches."""

    def __init__(self, total_bytes: int, report: OnProgress) -> None:
        self._done_bytes, self._total_bytes, self._report = 0, total_bytes, report

    def add(self, count: int) -> None:
        self._done_bytes += count
        self._report(self._done_bytes, self._total_bytes)


def _paths(content: Path) -> dict[str, Path]:
    """Name the files as the file list does, in the order of a BEP 52 file tree."""
    if content.is_symlink() or not content.exists():
        raise UsageError(f"{content} is not a file or folder", hint="name the data itself")
    if content.is_file():
        return {content.name: content}
    found = [path for path in content.rglob("*") if path.is_symlink() or not path.is_dir()]
    if not 1 <= len(found) <= FILES_MAX:
        raise UsageError(f"{content} has {len(found)} files; a payload has 1 to {FILES_MAX}")
    for path in found:
        if path.is_symlink() or not path.is_file():
            raise UsageError(f"{path} is not a plain file", hint="replace it by what it stands for")
    ordered = sorted(found, key=lambda path: [_bytes(part) for part in path.parts])
    return {str(path.relative_to(content.parent)): path for path in ordered}


def _bytes(name: str) -> bytes:
    try:
        return name.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"the name {name!r} is not UTF-8", hint="rename the file") from error


def _size(path: Path) -> int:
    _bytes(path.name)
    return path.stat().st_size


def _hash_file(
    path: Path, size_bytes: int, piece_size: int, progress: _Progress, *, padded: bool
) -> _Hashed:
    whole, row, pieces = hashlib.sha256(), [], []
    read_bytes = 0
    for piece in _pieces(path, piece_size):
        whole.update(piece)
        row.append(piece_root(piece, piece_size if size_bytes > piece_size else 0))
        tail = bytes(piece_size - len(piece)) if padded else b""
        pieces.append(hashlib.sha1(piece + tail, usedforsecurity=False).digest())
        read_bytes += len(piece)
        progress.add(len(piece))
    if read_bytes != size_bytes:
        raise StorageError(f"{path} changed while it was read", hint="publish it when it is whole")
    root = Digest(merkle_root(row, _zero_root(piece_size))) if row else None
    layer = b"".join(row) if len(row) > 1 else b""
    return _Hashed(size_bytes, Digest(whole.digest()), root, layer, tuple(pieces))


def _pieces(path: Path, piece_size: int) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while piece := file.read(piece_size):
                yield piece
    except OSError as error:
        raise refused_by_disk(f"cannot read {path}", error) from error


def piece_root(piece: bytes, piece_size: int) -> bytes:
    """Hash a piece's tree (BEP 52); `piece_size` 0: the file is one piece, its tree as wide as it
    needs.
    """
    starts = range(0, len(piece), BLOCK_BYTES)
    view = memoryview(piece)
    leaves = [hashlib.sha256(view[at : at + BLOCK_BYTES]).digest() for at in starts]
    leaves += [bytes(32)] * (piece_size // BLOCK_BYTES - len(leaves))
    return merkle_root(leaves, bytes(32))


def merkle_root(row: Sequence[bytes], padding: bytes) -> bytes:
    """Return the SHA-256 tree's root over a row, padded to a power of two (BEP 52)."""
    nodes = [*row, *[padding] * ((1 << (len(row) - 1).bit_length()) - len(row))]
    while len(nodes) > 1:
        pairs = zip(nodes[::2], nodes[1::2], strict=True)
        nodes = [hashlib.sha256(left + right).digest() for left, right in pairs]
    return nodes[0]


def _zero_root(piece_size: int) -> bytes:
    return merkle_root([bytes(32)] * (piece_size // BLOCK_BYTES), bytes(32))


def _file_list(
    hashed: Mapping[str, _Hashed], bindings: Mapping[str, Sequence[Binding]]
) -> FileList:
    if strangers := sorted(bindings.keys() - hashed.keys()):
        raise UsageError(f"no file {strangers[0]!r} to bind an asset to")
    return FileList(
        in_order(
            PayloadFile(
                name, each.size_bytes, each.sha256, each.root, _sorted(bindings.get(name, ()))
            )
            for name, each in hashed.items()
        )
    )


def _sorted(bindings: Sequence[Binding]) -> tuple[Binding, ...]:
    return tuple(sorted(set(bindings), key=lambda pair: (pair[0].encode(), pair[1].encode())))


def _torrent(name: str, hashed: Mapping[str, _Hashed], piece_size: int, *, padded: bool) -> bytes:
    """Write a hybrid torrent: BEP 52's file tree beside BEP 3's files with BEP 47 padding."""
    info: dict[bytes, object] = {
        b"name": name.encode(),
        b"piece length": piece_size,
        b"meta version": 2,
        b"file tree": _tree(hashed, below=f"{name}/" if padded else ""),
        b"pieces": b"".join(piece for each in hashed.values() for piece in each.pieces),
    }
    if padded:
        info[b"files"] = [row for rows in _v1_files(hashed, piece_size) for row in rows]
    else:
        info[b"length"] = hashed[name].size_bytes
    layers = {each.root: each.layer for each in hashed.values() if each.root and each.layer}
    whole: Any = {b"info": info, b"piece layers": layers}
    return bytes(lt.bencode(whole))


def _tree(hashed: Mapping[str, _Hashed], below: str) -> dict[bytes, object]:
    tree: dict[bytes, object] = {}
    for name, each in hashed.items():
        node = tree
        for part in name.removeprefix(below).split("/"):
            node = node.setdefault(part.encode(), {})  # type: ignore[assignment]
        leaf: dict[bytes, object] = {b"length": each.size_bytes}
        if each.root:
            leaf[b"pieces root"] = each.root
        node[b""] = leaf
    return tree


def _v1_files(
    hashed: Mapping[str, _Hashed], piece_size: int
) -> Iterator[list[dict[bytes, object]]]:
    for name, each in hashed.items():
        path = [part.encode() for part in name.split("/")[1:]]
        rows: list[dict[bytes, object]] = [{b"length": each.size_bytes, b"path": path}]
        if padding := -each.size_bytes % piece_size:
            pad_path = [b".pad", str(padding).encode()]
            rows.append({b"attr": b"p", b"length": padding, b"path": pad_path})
        yield rows
