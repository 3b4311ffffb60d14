"""The guard in front of the BitTorrent engine: a torrent is used only if it is what was signed.

A .torrent comes from a stranger's hands. What the entry says of it is calculated again, its files
are compared with the file list, and all that names an address is left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import libtorrent as lt

from meshnode.core.entries import PayloadAdded
from meshnode.core.filelist import FileList, PayloadFile, in_order
from meshnode.core.identifiers import Digest
from meshnode.errors import PeerError, UsageError

TORRENT_BYTES_MAX: Final = 10 << 20  # libtorrent does not bound the buffer itself
PIECE_SIZE_MAX: Final = 16 << 20
_LIMITS: Final = {
    "max_pieces": 2_000_000,
    "max_decode_tokens": 3_000_000,
    "max_decode_depth": 100,  # a path of 32 parts in a v2 file tree
    "max_directory_depth": 34,
}
# Keys with which a torrent reaches for other torrents' files or its own certificates.
_REFUSED_KEYS: Final = (b"similar", b"collections", b"ssl-cert")
_PAD_FLAG: Final = int(lt.file_storage.flag_pad_file)
_NO_ROOT: Final = bytes(32)


@dataclass(frozen=True, slots=True)
class PayloadClaim:
    """What a `payload+` entry says: sizes in bytes, info-hashes None where there is none."""

    key: Digest
    size_bytes: int
    piece_size_bytes: int
    infohash_v2: Digest | None
    infohash_v1: bytes | None


@dataclass(frozen=True, slots=True)
class CheckedTorrent:
    """A torrent that agrees with its file list and names no address.

    `places[i]` is the torrent's own index of the list's file i, `offsets[i]` the byte of the
    torrent at which it begins, `spans[i]` its pieces.
    """

    files: FileList
    raw: bytes
    claim: PayloadClaim
    places: tuple[int, ...]
    offsets: tuple[int, ...]
    spans: tuple[range, ...]
    piece_count: int

    @property
    def key(self) -> Digest:
        return self.claim.key

    def piece_bytes(self, piece: int) -> int:
        """Return how many bytes of a disk a piece may fill, padding included."""
        return self.claim.piece_size_bytes

    def sizes(self, indices: Iterable[int]) -> dict[int, int]:
        """Return for each piece of these files how many of their bytes lie in it."""
        sizes: dict[int, int] = {}
        for index in indices:
            for piece in self.spans[index]:
                sizes[piece] = sizes.get(piece, 0) + len(self.part(index, piece))
        return sizes

    def part(self, index: int, piece: int) -> range:
        """Return the bytes of file `index` that lie in a piece, as offsets in the file."""
        size = self.claim.piece_size_bytes
        start = piece * size - self.offsets[index]
        return range(max(start, 0), min(start + size, self.files.files[index].size_bytes))

    def pieces(self, index: int, span: range) -> range:
        """Return the pieces that hold these bytes of file `index`; none for no bytes."""
        size, offset = self.claim.piece_size_bytes, self.offsets[index]
        if not span:
            return range(0)
        return range((offset + span.start) // size, (offset + span.stop - 1) // size + 1)

    def info(self) -> lt.torrent_info:
        """Return the torrent as the engine reads it: its hashes, and the size of each piece."""
        info = _load(self.raw).ti
        assert info is not None  # it was checked with its info dictionary
        return info

    def parameters(self, folder: Path, locations: tuple[Path, ...]) -> lt.add_torrent_params:
        """Return fresh parameters that put file i at `locations[i]`, whatever its name is."""
        parameters = _load(self.raw)
        parameters.save_path = str(folder)
        placed = zip(self.places, locations, strict=True)
        parameters.renamed_files = {place: str(path) for place, path in placed}
        return parameters


def claim_of(entry: PayloadAdded) -> PayloadClaim:
    infohash = entry.infohash
    return PayloadClaim(
        entry.key, entry.size_bytes, entry.piece_size_bytes, infohash.v2, infohash.v1
    )


def check_torrent(raw: bytes, claim: PayloadClaim, files: FileList) -> CheckedTorrent:
    """Compare a torrent with what its entry claims and with the payload's file list.

    Raises:
        PeerError: it cannot be read, or differs; the message says in what.
        UsageError: as `open_torrent`.
    """
    checked = open_torrent(raw, files)
    for what in ("key", "size_bytes", "piece_size_bytes", "infohash_v2", "infohash_v1"):
        said, found = getattr(claim, what), getattr(checked.claim, what)
        if said != found:
            raise PeerError(f"torrent: {what} is {_text(found)}, the entry says {_text(said)}")
    return checked


def open_torrent(raw: bytes, files: FileList) -> CheckedTorrent:
    """Read a torrent that must hold exactly the files of the list.

    Raises:
        PeerError: it cannot be read, or differs from the list.
        UsageError: its pieces are larger than this peer handles, which is nobody's fault.
    """
    stripped = _strip(raw)
    parameters = _load(stripped)
    info = parameters.ti
    assert info is not None  # a buffer that loads has its info dictionary
    hashes = parameters.info_hashes
    v1 = hashes.v1.to_bytes() if hashes.has_v1() else None
    v2 = Digest(hashes.v2.to_bytes()) if hashes.has_v2() else None
    if files.infohash_v1 is not None and files.infohash_v1 != v1:
        raise PeerError("torrent: its v1 info-hash is not the file list's")
    if info.piece_length() > PIECE_SIZE_MAX:
        raise UsageError(
            f"a payload with pieces of {info.piece_length() >> 20} MiB is not handled here:"
            f" {PIECE_SIZE_MAX >> 20} MiB is the most",
            hint="its files can be fetched with another BitTorrent program",
        )
    layout = info.layout()
    places = _places(layout, files)
    claim = PayloadClaim(files.key, files.size_bytes, info.piece_length(), v2, v1)
    spans = tuple(_span(layout, place, info.piece_length()) for place in places)
    offsets = tuple(layout.file_offset(place) for place in places)
    return CheckedTorrent(files, stripped, claim, places, offsets, spans, info.num_pieces())


def open_foreign_torrent(raw: bytes) -> CheckedTorrent:
    """Read a torrent of version 1 that others made, with a file list made of what it says.

    The files have no SHA-256: the info-hash stands for their content.

    Raises:
        PeerError: it cannot be read, or its files cannot be those of a payload.
        UsageError: it is of version 2, whose files have hashes of their own.
    """
    parameters = _load(_strip(raw))
    hashes, info = parameters.info_hashes, parameters.ti
    assert info is not None  # a buffer that loads has its info dictionary
    if hashes.has_v2():
        raise UsageError(
            "this torrent is of version 2: a payload of such files names the SHA-256 of each",
            hint="publish the files themselves: meshnode payload add FILE",
        )
    layout = info.layout()
    files = FileList(
        in_order(
            PayloadFile(layout.file_path(index), layout.file_size(index), None, None)
            for index in range(layout.num_files())
            if not int(layout.file_flags(index)) & _PAD_FLAG
        ),
        hashes.v1.to_bytes(),
    )
    return open_torrent(raw, files)


def web_seeds(raw: bytes) -> tuple[str, ...]:
    """Return the web servers that a torrent names (BEP 19), for its publisher to look at."""
    named = dict.fromkeys(map(str, _load(raw).url_seeds))
    return tuple(url for url in named if url.startswith(("http://", "https://")))


def _strip(raw: bytes) -> bytes:
    """Keep the info dictionary, byte for byte, since its hash is the torrent's name, and the piece
    layers: no tracker, web seed or node survives.
    """
    if len(raw) > TORRENT_BYTES_MAX:
        raise PeerError(f"torrent: {len(raw)} bytes, the limit is {TORRENT_BYTES_MAX}")
    info = _load(raw).ti  # its limits come before a decoder that has none
    assert info is not None  # a buffer that loads has its info dictionary
    decoded: Any = lt.bdecode(raw)
    for key in _REFUSED_KEYS:
        if key in decoded[b"info"]:
            raise PeerError(f"torrent: {key.decode()} is not allowed")
    layers = decoded.get(b"piece layers")
    rest = b"" if layers is None else b"12:piece layers" + lt.bencode(layers)
    return b"d4:info" + bytes(info.info_section()) + rest + b"e"


def _load(raw: bytes) -> lt.add_torrent_params:
    try:
        # The stubs take the limits for a dictionary of torrent parameters.
        return lt.load_torrent_buffer(raw, _LIMITS)  # type: ignore[call-overload, no-any-return]
    except (RuntimeError, MemoryError, UnicodeDecodeError) as error:
        raise PeerError(f"torrent: {str(error) or 'too large'}") from error


def _places(layout: lt.file_storage, files: FileList) -> tuple[int, ...]:
    """Pair the list's files with the torrent's by path; sizes and v2 roots must agree."""
    found: dict[str, int] = {}
    for index in range(layout.num_files()):
        flags = int(layout.file_flags(index))
        if flags & _PAD_FLAG:
            continue
        path = layout.file_path(index)
        if flags:
            raise PeerError(f"torrent: {path!r} is a link, hidden or executable")
        if path in found:
            raise PeerError(f"torrent: {path!r} stands in it twice")
        found[path] = index
    wanted = {file.path for file in files.files}
    if found.keys() != wanted:
        strangers = sorted(found.keys() ^ wanted)[:3]
        raise PeerError(f"torrent: its files are not the file list's: {strangers}")
    for file in files.files:
        index = found[file.path]
        root = layout.root(index).to_bytes()
        if layout.file_size(index) != file.size_bytes or root != (file.root or _NO_ROOT):
            raise PeerError(f"torrent: {file.path!r} differs from the file list")
    return tuple(found[file.path] for file in files.files)


def _span(layout: lt.file_storage, place: int, piece_size: int) -> range:
    first, size = layout.file_offset(place), layout.file_size(place)
    if size == 0:
        return range(0)
    return range(first // piece_size, (first + size - 1) // piece_size + 1)


def _text(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
