"""A file from a server that gives no ranges: read from its beginning, cut into pieces, hashed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable

import trio

from meshnode.runtime.payloads.mirrors.file_addresses import FileAddresses
from meshnode.runtime.payloads.mirrors.proofs import CORRUPT, Proof
from meshnode.runtime.payloads.mirrors.range_client import (
    Fault,
    MirrorError,
    RangeClient,
    require_part,
)
from meshnode.runtime.payloads.piece_hashes import PieceHashes
from meshnode.runtime.payloads.torrent_check import CheckedTorrent
from meshnode.runtime.payloads.transfers import Transfer


def wanted_files(transfer: Transfer) -> list[int]:
    """Return the files of which all is wanted, and of which half or more is not here yet.

    For less it is not worth sending the whole file.
    """
    found = []
    for index, span in enumerate(transfer.torrent.spans):
        lacking = sum(not transfer.is_verified(piece) for piece in span)
        if lacking and 2 * lacking >= len(span) and all(map(transfer.priorities.is_wanted, span)):
            found.append(index)
    return found


class WholeFile:
    """File `index` of a payload at a mirror."""

    def __init__(
        self,
        client: RangeClient,
        addresses: FileAddresses,
        torrent: CheckedTorrent,
        hashes: PieceHashes,
        index: int,
    ) -> None:
        self._client = client
        self._url = addresses.url(index)
        self._torrent = torrent
        self._hashes = hashes
        self._index = index

    async def pieces(self, is_here: Callable[[int], bool]) -> AsyncGenerator[Proof, None]:
        """Yield the pieces that are not here and lie in this file alone; raises MirrorError."""
        size = self._torrent.files.files[self._index].size_bytes
        began = trio.current_time()
        async with self._client.asked(self._url, None) as answer:
            delay = trio.current_time() - began
            require_part(answer, range(size), size)
            rest, began = bytearray(), trio.current_time()
            chunks = answer.chunks
            for piece in self._torrent.spans[self._index]:
                count = len(self._torrent.part(self._index, piece))
                while len(rest) < count:
                    try:
                        rest += await anext(chunks)
                    except StopAsyncIteration:
                        said = "broke off in the middle of a file"
                        raise MirrorError(Fault.UNREACHABLE, said) from None
                raw = bytes(rest[:count])
                del rest[:count]
                parts = self._hashes.parts(piece)
                if len(parts) == 1 and not is_here(piece) and self._hashes.can_tell(piece):
                    whole = await trio.to_thread.run_sync(
                        self._hashes.assemble, piece, parts, [raw]
                    )
                    if not await trio.to_thread.run_sync(self._hashes.is_right, piece, whole):
                        raise MirrorError(Fault.WRONG, CORRUPT, piece=piece)
                    yield Proof(piece, whole, count, delay, trio.current_time() - began)
                began = trio.current_time()
