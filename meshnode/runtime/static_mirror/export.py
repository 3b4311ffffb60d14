"""A static mirror made, or brought up to date, from what a peer serves (N-80 to N-86).

Files named by their hash come first, the pointer to them last: a reader sees the state before or
the state after. What the state after does not name stays for a while, for readers of the state
before; but what is served to nobody any more is gone when the export ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import trio

from meshnode.control import Control
from meshnode.core.encoding import MalformedRecordError
from meshnode.core.entries import ObjectRef
from meshnode.core.heads import decode_signed_head
from meshnode.core.identifiers import CatalogueId, Digest, Kid, catalogue_text, sha256
from meshnode.core.names import LogId
from meshnode.core.static_mirror import (
    POINTER_NAME,
    CatalogueIndex,
    MirroredCatalogue,
    NamedRoot,
    Pointer,
    RootsFile,
    StretchRef,
    Way,
    decode_index,
    decode_pointer,
    encode_index,
    encode_pointer,
    encode_roots,
    object_path,
)
from meshnode.core.stretches import Cut, Cutter
from meshnode.errors import StorageError
from meshnode.runtime.static_mirror.leaving import (
    LEAVING_NAME,
    decode_leaving,
    encode_leaving,
    since,
)
from meshnode.runtime.static_mirror.places import DamagedError, Place, Source
from meshnode.runtime.static_mirror.ways import Ways

ASKED_AT_ONCE: Final = 1000  # names in one question to the peer


@dataclass(slots=True)
class Report:
    """What an export did; in a dry run, what it would do. Sizes in bytes."""

    catalogues: int = 0
    files: int = 0  # that the mirror names
    size_bytes: int = 0
    written: int = 0
    written_bytes: int = 0
    leaving: int = 0  # not named any more, and still there
    removed: int = 0
    missing: int = 0  # objects that the peer does not hold yet
    withheld: int = 0
    damaged: list[str] = field(default_factory=list)


Progress = Callable[[Report], None]


class Export:
    """One update of one mirror.

    Args:
        control: the peer that holds the catalogues.
        grace_seconds: how long files stay that are not named any more.
        dry_run: change nothing, and say what would change.
        progress: called after each file.
    """

    def __init__(
        self,
        control: Control,
        place: Place,
        *,
        grace_seconds: int,
        dry_run: bool = False,
        progress: Progress = lambda report: None,
    ) -> None:
        self._control = control
        self._place = place
        self._grace_seconds = grace_seconds
        self._dry_run = dry_run
        self._progress = progress
        self._named: dict[Digest, int] = {}
        self._held: dict[Digest, int] = {}
        self.report = Report()

    async def run(self, catalogues: Sequence[CatalogueId], now_unix: int) -> Report:
        """Bring the mirror to what the peer holds of these catalogues.

        Raises:
            StorageError: the place refuses; what readers see is the state before.
            UsageError: the peer does not follow one of them.
        """
        self._held = await trio.to_thread.run_sync(self._place.held)
        before = await self._before()
        indices = [
            MirroredCatalogue(name, await self._catalogue(name, before.get(name)))
            for name in sorted(catalogues)
        ]
        self.report.catalogues = len(indices)
        pointer = encode_pointer(Pointer(tuple(indices)))
        if not self._dry_run and pointer != await self._read(POINTER_NAME):
            await trio.to_thread.run_sync(self._place.replace, POINTER_NAME, pointer)
        gone = [name for name in before if name not in catalogues]
        await self._leave(gone, now_unix)
        return self.report

    # --- What is there ----------------------------------------------------------------------------
    async def _before(self) -> dict[CatalogueId, CatalogueIndex | None]:
        """Return the catalogues that the mirror has, with their indices where they are whole."""
        raw = await self._read(POINTER_NAME)
        if raw is None:
            return {}
        try:
            pointer = decode_pointer(raw)
        except MalformedRecordError as error:
            raise StorageError(
                f"the mirror's {POINTER_NAME} is damaged: {error}",
                hint=f"remove {POINTER_NAME}: the next export writes it anew",
            ) from error
        return {each.catalogue: await self._index(each.index) for each in pointer.catalogues}

    async def _index(self, file: ObjectRef) -> CatalogueIndex | None:
        raw = await self._read(object_path(file.digest))
        if raw is None or sha256(raw) != file.digest:
            return None
        try:
            return await trio.to_thread.run_sync(decode_index, raw)
        except MalformedRecordError:
            return None

    async def _read(self, name: str) -> bytes | None:
        return await trio.to_thread.run_sync(self._place.read, name)

    # --- What is added ----------------------------------------------------------------------------
    async def _catalogue(self, name: CatalogueId, before: CatalogueIndex | None) -> ObjectRef:
        """Put all files of a catalogue, the index last; return where the index is."""
        text = catalogue_text(name)
        said: dict[str, Any] = {}
        async with aclosing(self._control.follow("mirrored", catalogue=text)) as messages:
            async for message in messages:
                await self._add_objects(message.get("event", {}).get("objects", []))
                said = message.get("result", said)
        self.report.missing += said["missing"]
        self.report.withheld += said["withheld"]
        roots = RootsFile(name, tuple(map(bytes.fromhex, said["roots"])))
        ways = [await self._way(name, way, before) for way in said["ways"]]
        index = CatalogueIndex(
            name,
            await self._add_made(encode_roots(roots)),
            tuple(NamedRoot(v, Digest(bytes.fromhex(digest))) for v, digest in said["names"]),
            tuple(map(bytes.fromhex, said["forks"])),
            tuple(ways),
        )
        return await self._add_made(await trio.to_thread.run_sync(encode_index, index))

    async def _way(
        self, name: CatalogueId, said: dict[str, str], before: CatalogueIndex | None
    ) -> Way:
        """Cut one branch into files; those that an older index has for good are not made again."""
        newest = bytes.fromhex(said["newest"])
        log = LogId(name, Kid(bytes.fromhex(said["writer"])))
        wanted = decode_signed_head(newest).name
        ways = Ways(self._control, self._read, self._held)
        known, stays = await ways.settled(log, wanted, before)
        for part in stays:
            self._name(part.file)
        cutter, stretches = Cutter(log), list(stays)
        async with aclosing(ways.steps(log, wanted, known)) as steps:
            async for step in steps:
                stretches += [await self._add_cut(cut) for cut in cutter.add(step)]
        stretches += [await self._add_cut(cut) for cut in cutter.rest()]
        return Way(log.writer, newest, tuple(stretches))

    async def _add_cut(self, cut: Cut) -> StretchRef:
        await self._add_made(cut.raw)
        return cut.ref

    async def _add_made(self, raw: bytes) -> ObjectRef:
        file = ObjectRef(sha256(raw), len(raw))
        await self._add(file.digest, file.size_bytes, raw)
        return file

    async def _add_objects(self, objects: Sequence[tuple[str, int, str]]) -> None:
        """Put objects, given by digest, size and where each lies."""
        if self._place.at_once == 1:
            for digest, size_bytes, path in objects:
                await self._add(Digest(bytes.fromhex(digest)), size_bytes, Path(path))
            return
        places = trio.CapacityLimiter(self._place.at_once)

        async def add(digest: str, size_bytes: int, path: str) -> None:
            async with places:
                await self._add(Digest(bytes.fromhex(digest)), size_bytes, Path(path))

        async with trio.open_nursery() as nursery:
            for each in objects:
                nursery.start_soon(add, *each)

    async def _add(self, digest: Digest, size_bytes: int, origin: bytes | Path) -> None:
        if digest in self._named:
            return
        if self._held.get(digest) != size_bytes:
            source = Source(digest, size_bytes, origin)
            try:
                if not self._dry_run:
                    await trio.to_thread.run_sync(self._place.add, digest, source)
            except DamagedError as error:
                self.report.damaged.append(str(error))
                return
            self.report.written += 1
            self.report.written_bytes += size_bytes
        self._name(ObjectRef(digest, size_bytes))

    def _name(self, file: ObjectRef) -> None:
        self._named[file.digest] = file.size_bytes
        self.report.files += 1
        self.report.size_bytes += file.size_bytes
        self._progress(self.report)

    # --- What leaves ------------------------------------------------------------------------------
    async def _leave(self, gone: Sequence[CatalogueId], now_unix: int) -> None:
        """Remove what is not named: at once what is served to nobody, the rest after the grace.

        With a catalogue that is served to nobody goes all that is not named: its log is in files
        of which it cannot be told any more whose they are.
        """
        unnamed = [digest for digest in self._held if digest not in self._named]
        is_denied = bool(await self._withheld([Digest(name) for name in gone]))
        at_once = unnamed if is_denied else await self._withheld(unnamed)
        listed = decode_leaving(await self._read(LEAVING_NAME))
        waiting = since(unnamed, listed, now_unix)
        due = dict.fromkeys(at_once)
        due |= {d: None for d, unix in waiting.items() if unix + self._grace_seconds <= now_unix}
        left = {digest: unix for digest, unix in waiting.items() if digest not in due}
        self.report.removed, self.report.leaving = len(due), len(left)
        if self._dry_run:
            return
        await trio.to_thread.run_sync(self._place.remove, due)
        if left != listed:
            await trio.to_thread.run_sync(self._place.replace, LEAVING_NAME, encode_leaving(left))

    async def _withheld(self, names: Sequence[Digest]) -> list[Digest]:
        found: list[Digest] = []
        for start in range(0, len(names), ASKED_AT_ONCE):
            asked = [name.hex() for name in names[start : start + ASKED_AT_ONCE]]
            said = await self._control.ask("withheld", names=asked)
            found += [Digest(bytes.fromhex(name)) for name in said["withheld"]]
        return found
