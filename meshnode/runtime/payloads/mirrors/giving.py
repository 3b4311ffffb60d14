"""Pieces that mirrors give past the engine: chosen, fetched, hashed, and handed to it."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Final

import trio

from meshnode.runtime.payloads.governor import Governor
from meshnode.runtime.payloads.mirror_record import MirrorRecord
from meshnode.runtime.payloads.mirrors.candidates import Candidate
from meshnode.runtime.payloads.mirrors.file_addresses import FileAddresses
from meshnode.runtime.payloads.mirrors.proofs import Proof, fetch_piece
from meshnode.runtime.payloads.mirrors.range_client import RangeClient
from meshnode.runtime.payloads.mirrors.whole_files import WholeFile, wanted_files
from meshnode.runtime.payloads.piece_hashes import PieceHashes
from meshnode.runtime.payloads.transfers import Transfer

PIECES_IN_A_ROW: Final = 16  # over one connection
TAKEN_SECONDS_MAX: Final = 60.0  # until the engine has hashed and written a piece
_LOOK_SECONDS: Final = 0.5


class Giving:
    """Invariant: no piece is fetched here from two mirrors at a time."""

    def __init__(self, record: MirrorRecord, rng: random.Random, governor: Governor) -> None:
        self._record = record
        self._rng = rng
        self._governor = governor
        self._claimed: dict[int, set[int]] = {}
        self._hashes: dict[int, PieceHashes] = {}

    def leave(self, transfer: Transfer) -> None:
        """Forget a transfer."""
        self._claimed.pop(id(transfer), None)
        self._hashes.pop(id(transfer), None)

    async def give(
        self,
        candidate: Candidate,
        addresses: FileAddresses,
        client: RangeClient,
        is_over: Callable[[PieceHashes, int | None], Awaitable[bool]],
    ) -> None:
        """Take pieces from a mirror until there is nothing to take, or until `is_over` says so: it
        is asked before a piece is fetched, and with None after each.

        Raises:
            MirrorError: it failed.
        """
        hashes = await self._hashes_of(candidate.transfer)
        transfer, url = candidate.transfer, candidate.mirror.url
        if not self._record.of(url).gives_ranges:
            await self._give_files(candidate, addresses, client, hashes)
            return
        for _ in range(PIECES_IN_A_ROW):
            piece = self._choose(candidate)
            if piece is None or self._governor.stopped is not None:
                await transfer.wait(_LOOK_SECONDS)
                return
            if await is_over(hashes, piece):
                return
            with _Claim(self._claimed.setdefault(id(transfer), set()), piece):
                proof = await fetch_piece(client, addresses, transfer.torrent, hashes, piece)
                await self._take(candidate, proof)
            candidate.faults = transfer.sources.faults(url)
            if await is_over(hashes, None):
                return

    async def _give_files(
        self,
        candidate: Candidate,
        addresses: FileAddresses,
        client: RangeClient,
        hashes: PieceHashes,
    ) -> None:
        """Take whole files, where whole files are wanted."""
        transfer = candidate.transfer
        for index in wanted_files(transfer):
            file = WholeFile(client, addresses, transfer.torrent, hashes, index)
            async with aclosing(file.pieces(transfer.is_verified)) as proofs:
                async for proof in proofs:
                    await self._take(candidate, proof)
                    if self._governor.stopped is not None:
                        return
        await transfer.wait(_LOOK_SECONDS)

    async def _take(self, candidate: Candidate, proof: Proof) -> None:
        """Hand a right piece over to the engine, and wait until it has it."""
        transfer, url = candidate.transfer, candidate.mirror.url
        key = transfer.torrent.key
        self._record.note_proof(
            url, key, proof.piece, proof.count, proof.delay_seconds, proof.seconds
        )
        transfer.sources.note_fetched(url, proof.count)
        self._governor.traffic.note_fetched(proof.count)
        if transfer.priorities.is_closed:
            return
        transfer.handle.add_piece(proof.piece, proof.whole)
        with trio.move_on_after(TAKEN_SECONDS_MAX):
            while not transfer.is_verified(proof.piece) and not transfer.priorities.is_closed:
                if transfer.failure is not None:
                    return
                await transfer.wait(_LOOK_SECONDS)
        if rate := self._governor.download_rate(transfer):
            await trio.sleep(proof.count / rate)

    def _choose(self, candidate: Candidate) -> int | None:
        """Choose a piece that is wanted: what a reader waits for first, else any, at random."""
        transfer = candidate.transfer
        key, url = transfer.torrent.key, candidate.mirror.url
        claimed = self._claimed.get(id(transfer), set())
        avoided = self._record.of(url).quarantined(key)
        if not transfer.sources.has_mirrors:
            for piece in transfer.priorities.urgent():
                if piece not in claimed | avoided and is_lacking(transfer, piece):
                    return piece
        lacking = [
            piece
            for piece in transfer.priorities.wanted()
            if piece not in claimed and not transfer.is_verified(piece)
        ]
        trusted = [piece for piece in lacking if piece not in avoided]
        choice = trusted or lacking  # after its rest, a piece that was wrong may be right
        return self._rng.choice(choice) if choice else None

    async def _hashes_of(self, transfer: Transfer) -> PieceHashes:
        if id(transfer) not in self._hashes:
            made = await trio.to_thread.run_sync(PieceHashes, transfer.torrent)
            self._hashes[id(transfer)] = made
        return self._hashes[id(transfer)]


def is_lacking(transfer: Transfer, piece: int) -> bool:
    """Say whether a piece is wanted and not here."""
    return transfer.priorities.is_wanted(piece) and not transfer.is_verified(piece)


class _Claim:
    """Keeps other mirrors from fetching the same piece meanwhile."""

    def __init__(self, claimed: set[int], piece: int) -> None:
        self._claimed = claimed
        self._piece = piece

    def __enter__(self) -> None:
        self._claimed.add(self._piece)

    def __exit__(self, *exc: object) -> None:
        self._claimed.discard(self._piece)
