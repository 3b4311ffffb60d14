"""One look at a mirror, whether or not anybody fetches from it: a random range, verified.

Where the payload is held here, some kilobytes of a random place are compared with the disk; else a
whole piece is fetched and hashed. What is found goes into the record of mirrors.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from meshnode.errors import PeerError
from meshnode.runtime.payloads.address_filter import vet_mirror
from meshnode.runtime.payloads.mirror_record import MirrorRecord
from meshnode.runtime.payloads.mirrors.file_addresses import FileAddresses, addresses_at
from meshnode.runtime.payloads.mirrors.proofs import CORRUPT, Proof, fetch_piece
from meshnode.runtime.payloads.mirrors.range_client import (
    Fault,
    MirrorError,
    RangeClient,
    require_part,
)
from meshnode.runtime.payloads.piece_hashes import PieceHashes
from meshnode.runtime.payloads.torrent_check import CheckedTorrent

COMPARED_BYTES_MAX: Final = 64 << 10

Held = Callable[[int], Path | None]  # where file i lies, if it was verified and is here


@dataclass(frozen=True, slots=True)
class Found:
    """What a mirror did: `fault` None if it gave right bytes, `count` of them."""

    url: str
    fault: Fault | None
    reason: str
    count: int = 0
    delay_ms: int = 0


class Inspection:
    """Looks at mirrors and takes note."""

    def __init__(self, record: MirrorRecord, rng: random.Random, *, allow_local: bool) -> None:
        self._record = record
        self._rng = rng
        self._allow_local = allow_local

    async def look(self, torrent: CheckedTorrent, mirror: str, held: Held) -> Found:
        """Ask a mirror for one range of a payload, also one that rests: a person wants to know."""
        try:
            await vet_mirror(mirror, allow_local=self._allow_local)
        except PeerError as error:
            return Found(mirror, Fault.FORBIDDEN, str(error).removeprefix(f"mirror {mirror} "))
        client = RangeClient(mirror, allow_local=self._allow_local)
        async with aclosing(client):
            try:
                proof = await self._prove(client, torrent, mirror, held)
            except MirrorError as error:
                return self._note_failure(mirror, error)
        key, count, delay = torrent.key, proof.count, proof.delay_seconds
        self._record.note_ranges(mirror, given=True)
        self._record.note_proof(mirror, key, proof.piece, count, delay, proof.seconds)
        return Found(mirror, None, "", count, round(1000 * delay))

    async def _prove(
        self, client: RangeClient, torrent: CheckedTorrent, mirror: str, held: Held
    ) -> Proof:
        addresses = await addresses_at(client, mirror, torrent.files)
        filled = [i for i, file in enumerate(torrent.files.files) if file.size_bytes]
        if not filled:
            raise MirrorError(Fault.ERROR, "is a mirror of empty files alone")
        index = self._rng.choice(filled)
        path = held(index)
        if path is not None:
            return await self._compare(client, torrent, addresses, index, path)
        hashes = await trio.to_thread.run_sync(PieceHashes, torrent)
        piece = self._rng.choice(torrent.spans[index])
        if not hashes.can_tell(piece):
            raise MirrorError(Fault.ERROR, "cannot be checked: the torrent has no piece hashes")
        return await fetch_piece(client, addresses, torrent, hashes, piece)

    async def _compare(
        self,
        client: RangeClient,
        torrent: CheckedTorrent,
        addresses: FileAddresses,
        index: int,
        path: Path,
    ) -> Proof:
        """Compare a random range with the file that was verified here."""
        size = torrent.files.files[index].size_bytes
        first = self._rng.randrange(size)
        span = range(first, min(first + COMPARED_BYTES_MAX, size))
        began = trio.current_time()
        async with client.asked(addresses.url(index), span) as answer:
            delay = trio.current_time() - began
            require_part(answer, span, size)
            raw = await answer.read(len(span))
        seconds = trio.current_time() - began - delay
        if raw != await trio.to_thread.run_sync(_bytes_at, path, span):
            raise MirrorError(Fault.WRONG, CORRUPT)
        return Proof(torrent.pieces(index, span)[0], raw, len(raw), delay, seconds)

    def _note_failure(self, mirror: str, error: MirrorError) -> Found:
        match error.fault:
            case Fault.NO_RANGES:
                self._record.note_ranges(mirror, given=False)
            case Fault.WRONG:
                self._record.note_corruption(mirror)
            case _:
                self._record.note_error(mirror, str(error), error.pause_seconds)
        return Found(mirror, error.fault, str(error))


def _bytes_at(path: Path, span: range) -> bytes:
    with path.open("rb") as file:
        return os.pread(file.fileno(), len(span), span.start)
