"""The logs of a peer, read step by step to be cut into the files of a mirror (N-83).

What an older index has for good is not read again: of a long log, an update reads the newest 256
heads at most.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass

from meshnode.control import Control
from meshnode.core.encoding import MalformedRecordError
from meshnode.core.heads import decode_signed_head
from meshnode.core.identifiers import Digest, catalogue_text
from meshnode.core.names import HeadName, LogId
from meshnode.core.static_mirror import (
    CatalogueIndex,
    StretchRef,
    decode_stretch,
    object_path,
)
from meshnode.core.stretches import Step, settled, steps


@dataclass(frozen=True, slots=True)
class Ways:
    """Asks a peer for its logs.

    Args:
        read: returns a small file of the mirror, None if it is not there.
        held: the files that are there as a whole, with their sizes in bytes.
    """

    control: Control
    read: Callable[[str], Awaitable[bytes | None]]
    held: Mapping[Digest, int]

    async def settled(
        self, log: LogId, wanted: HeadName, before: CatalogueIndex | None
    ) -> tuple[HeadName | None, list[StretchRef]]:
        """Return the head up to which an older index has the files that stay, and those files."""
        ways = [way for way in before.ways if way.writer == log.writer] if before else []
        for way in ways:
            is_same = way.head.name == wanted
            stays = list(way.stretches) if is_same else settled(way.stretches)
            if not stays or any(part.file.digest not in self.held for part in stays):
                continue
            known = await self._last_name(stays[-1])
            if known is not None and await self._is_on_way(log, wanted, known):
                return known, stays
        return None, []

    async def steps(
        self, log: LogId, wanted: HeadName, known: HeadName | None
    ) -> AsyncGenerator[Step, None]:
        """Yield each head on the way to `wanted`, after `known`, with the entries that it adds."""
        while known is None or known.seq < wanted.seq:
            raws, first, entries = await self._ask(log, wanted, known)
            heads = [decode_signed_head(raw) for raw in raws]
            reached = list(steps(heads, first, entries))
            assert reached, "an answer brings at least one head with its entries"
            for step in reached:
                yield step
            known = reached[-1].head.name

    async def _last_name(self, part: StretchRef) -> HeadName | None:
        raw = await self.read(object_path(part.file.digest))
        try:
            return decode_stretch(raw).name_at(part.last_seq) if raw else None
        except MalformedRecordError:
            return None

    async def _is_on_way(self, log: LogId, wanted: HeadName, known: HeadName) -> bool:
        if known.seq >= wanted.seq:
            return known == wanted
        heads, _, _ = await self._ask(log, wanted, known)
        return decode_signed_head(heads[0]).head.seq == known.seq + 1

    async def _ask(
        self, log: LogId, wanted: HeadName, known: HeadName | None
    ) -> tuple[list[bytes], int, list[bytes]]:
        """Return heads on the way, where their entries begin, and the entries."""
        said = await self.control.ask(
            "mirrored_way",
            catalogue=catalogue_text(log.catalogue),
            writer=log.writer.hex(),
            wanted=[wanted.seq, wanted.digest.hex()],
            known=[known.seq, known.digest.hex()] if known else None,
        )
        heads, entries = said["heads"], said["entries"]
        return [*map(bytes.fromhex, heads)], said["first"], [*map(bytes.fromhex, entries)]
