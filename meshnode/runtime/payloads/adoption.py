"""A torrent of version 1 that others made becomes a payload, whose bytes need not be at hand.

Nothing says then that anybody holds them: its mirrors and peers are asked when somebody wants it.
"""

from __future__ import annotations

from pathlib import Path

from meshnode.core.filelist import encode_file_list
from meshnode.core.limits import PIECE_BYTES_MIN
from meshnode.errors import PeerError, UsageError
from meshnode.runtime.payloads.creation import PayloadFiles
from meshnode.runtime.payloads.torrent_check import (
    TORRENT_BYTES_MAX,
    open_foreign_torrent,
    web_seeds,
)


def adopt(path: Path) -> tuple[PayloadFiles, tuple[str, ...]]:
    """Return the payload of a .torrent file, and the web seeds that stand in it.

    The torrent that is published has no address inside (protocol/06-payloads.md, P-24): trackers
    are left out, and web seeds are for the caller to name as mirrors.

    Raises:
        UsageError: the file cannot be read, or no payload can be made of it.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    if len(raw) > TORRENT_BYTES_MAX:
        raise UsageError(f"{path} has {len(raw)} bytes, the limit is {TORRENT_BYTES_MAX}")
    try:
        checked = open_foreign_torrent(raw)
        file_list = encode_file_list(checked.files)
    except PeerError as error:
        raise UsageError(f"{path} cannot be published: {error}") from error
    claim = checked.claim
    piece_size = claim.piece_size_bytes
    if piece_size < PIECE_BYTES_MIN or piece_size & (piece_size - 1):
        raise UsageError(
            f"{path} has pieces of {piece_size} bytes; a payload has a power of two",
            hint="publish the files themselves: meshnode payload add FILE",
        )
    assert claim.infohash_v1 is not None  # a torrent without version 2 has it
    described = PayloadFiles(
        checked.files, file_list, piece_size, checked.raw, claim.infohash_v2, claim.infohash_v1
    )
    return described, web_seeds(raw)
