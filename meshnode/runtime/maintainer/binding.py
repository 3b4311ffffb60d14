"""A payload's entry, and which asset of which item its file is: said with it, or changed later.

A binding changes the file list alone, neither the payload's key nor a byte of items or files
(protocol/06-payloads.md, P-2). Many items may share a file, and a payload.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from meshnode.core.entries import InfoHash, ObjectRef, PayloadAdded
from meshnode.core.filelist import FileList, encode_file_list
from meshnode.core.identifiers import sha256
from meshnode.errors import PeerError, UsageError
from meshnode.runtime.maintainer.publishing import Draft
from meshnode.runtime.payloads.creation import PayloadFiles


@dataclass(frozen=True, slots=True)
class Bound:
    """An asset of an item that is a file; `path` names it where the payload has several."""

    path: str | None
    item: str
    asset: str


def parse_bound(text: str) -> Bound:
    """Read ITEM:ASSET or PATH=ITEM:ASSET.

    Raises:
        UsageError: it is neither.
    """
    name, colon, asset = text.rpartition(":")
    path, equals, item = name.rpartition("=")
    if not (colon and asset and item) or (equals and not path):
        raise UsageError(f"{text!r} is not ITEM:ASSET or PATH=ITEM:ASSET")
    return Bound(path or None, item, asset)


def bind(files: FileList, bound: Sequence[Bound], *, drop: bool = False) -> FileList:
    """Return the files with these bindings more, or without them.

    Raises:
        UsageError: no file of that path, or too many bindings.
    """
    rows = list(files.files)
    for each in bound:
        index = _index(files, each.path)
        pair, known = (each.item, each.asset), set(rows[index].bindings)
        if drop and pair not in known:
            raise UsageError(f"{rows[index].path} is not bound to {each.item}:{each.asset}")
        pairs = known - {pair} if drop else known | {pair}
        ordered = sorted(pairs, key=lambda pair: (pair[0].encode(), pair[1].encode()))
        rows[index] = replace(rows[index], bindings=tuple(ordered))
    return replace(files, files=tuple(rows))


def encoded(files: FileList) -> bytes:
    """Return the record of a file list; raises UsageError if its bindings break a rule."""
    try:
        return encode_file_list(files)
    except PeerError as error:
        raise UsageError(f"these bindings cannot be published: {error}") from error


def payload_draft(
    described: PayloadFiles, collection: str, mirrors: Sequence[str], risk: int
) -> Draft:
    """Return the entry of a payload; its file list and torrent are staged beside it."""
    return lambda clock: PayloadAdded(
        clock=clock,
        collection=collection,
        key=described.key,
        files=ObjectRef(sha256(described.file_list), len(described.file_list)),
        size_bytes=described.files.size_bytes,
        piece_size_bytes=described.piece_size_bytes,
        infohash=InfoHash(described.infohash_v2, described.infohash_v1),
        torrent=ObjectRef(sha256(described.torrent), len(described.torrent)),
        mirrors=tuple(mirrors),
        risk=risk,
    )


def rebound_draft(entry: PayloadAdded, file_list: bytes, mirrors: Sequence[str]) -> Draft:
    """Return the entry that says a payload again, with another file list and further mirrors."""
    ref = ObjectRef(sha256(file_list), len(file_list))
    return lambda clock: replace(entry, clock=clock, files=ref, mirrors=tuple(mirrors))


def _index(files: FileList, path: str | None) -> int:
    """Return the place of a file, named by its path with or without the folder of all."""
    if path is None and len(files.files) == 1:
        return 0
    if path is None:
        raise UsageError(
            f"this payload has {len(files.files)} files", hint="say which: PATH=ITEM:ASSET"
        )
    for index, file in enumerate(files.files):
        if path in (file.path, file.path.partition("/")[2]):
            return index
    raise UsageError(
        f"no file {path!r} is in this payload",
        hint=f"its files are {', '.join(file.path for file in files.files[:3])}, …",
    )
