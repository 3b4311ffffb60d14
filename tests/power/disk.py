"""A disk whose power may fail after any step: what was not synced may be lost or torn.

Bytes and names are apart, as POSIX has it: an fsync of a file keeps its bytes, an fsync of a folder
keeps the names in it, and a name may be kept whose bytes are lost. Names that were not synced come
back as a beginning of the order in which they were made, as a journalling file system has it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path, PurePath
from typing import Final, assert_never

from tests.power.recording import Cut, Make, Move, Remove, Step, Sync, Write

SECTOR_BYTES: Final = 512  # what a disk writes whole or not at all


class Fate(Enum):
    """What becomes of all that was not synced."""

    LOST = "lost"
    KEPT = "kept"
    TORN = "torn"  # of every file some writes, the names up to some point


@dataclass(slots=True, eq=False)
class File:
    """`durable` bytes, and changes since, each with the number of its step."""

    mode: int
    durable: bytes = b""
    pending: list[tuple[int, Write | Cut]] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Folder:
    mode: int
    durable: dict[str, File | Folder] = field(default_factory=dict)
    now: dict[str, File | Folder] = field(default_factory=dict)


Node = File | Folder
Naming = tuple[Folder, str, Node | None]  # in this folder the name is this, or nothing


@dataclass(slots=True)
class Disk:
    """Plays steps; `image` writes what a power failure now would leave."""

    root: str
    top: Folder = field(default_factory=lambda: Folder(0o755))
    _names: list[tuple[int, tuple[Naming, ...]]] = field(default_factory=list)

    def play(self, number: int, step: Step) -> None:
        match step:
            case Make(path, is_folder, mode):
                self._name(number, (path, Folder(mode) if is_folder else File(mode)))
            case Move(source, target):
                self._name(number, (source, None), (target, self._node(source)))
            case Remove(path):
                self._name(number, (path, None))
            case Write(path) | Cut(path):
                node = self._node(path)
                assert isinstance(node, File)
                node.pending.append((number, step))
            case Sync(path, since):
                self._sync(path, since)
            case _:
                assert_never(step)

    def image(self, target: Path, fate: Fate, rng: random.Random) -> None:
        """Write the files and folders that are there after a power failure into `target`."""
        kept = {Fate.LOST: 0, Fate.KEPT: len(self._names)}.get(fate)
        number = rng.randint(0, len(self._names)) if kept is None else kept
        names: dict[Folder, dict[str, Node]] = {}
        for _, namings in self._names[:number]:
            for folder, name, node in namings:
                _set(names.setdefault(folder, dict(folder.durable)), name, node)
        _write(self.top, target, names, fate, rng)

    def _name(self, number: int, *changes: tuple[str, Node | None]) -> None:
        namings = []
        for path, node in changes:
            pure = PurePath(path)
            folder = self._node(str(pure.parent))
            assert isinstance(folder, Folder)
            namings.append((folder, pure.name, node))
        for folder, name, node in namings:
            _set(folder.now, name, node)
        self._names.append((number, tuple(namings)))

    def _sync(self, path: str, since: int) -> None:
        node = self._node(path)
        if isinstance(node, File):
            done = [change for number, change in node.pending if number < since]
            node.durable = _changed(node.durable, done)
            node.pending = node.pending[len(done) :]
            return
        waiting = []
        for number, namings in self._names:
            if number < since and any(folder is node for folder, _, _ in namings):
                for folder, name, named in namings:
                    _set(folder.durable, name, named)
            else:
                waiting.append((number, namings))
        self._names = waiting

    def _node(self, path: str) -> Node:
        node: Node = self.top
        for part in PurePath(path).relative_to(self.root).parts:
            assert isinstance(node, Folder)
            node = node.now[part]
        return node


def _set(names: dict[str, Node], name: str, node: Node | None) -> None:
    if node is None:
        names.pop(name, None)
    else:
        names[name] = node


def _write(
    node: Node,
    target: Path,
    names: dict[Folder, dict[str, Node]],
    fate: Fate,
    rng: random.Random,
) -> None:
    if isinstance(node, File):
        target.write_bytes(_content(node, fate, rng))
    else:
        target.mkdir(exist_ok=True)
        for name, child in names.get(node, node.durable).items():
            _write(child, target / name, names, fate, rng)
    target.chmod(node.mode)


def _content(file: File, fate: Fate, rng: random.Random) -> bytes:
    changes = [change for _, change in file.pending]
    match fate:
        case Fate.LOST:
            return file.durable
        case Fate.KEPT:
            return _changed(file.durable, changes)
        case Fate.TORN:
            return _changed(file.durable, _torn(changes, rng))
        case _:
            assert_never(fate)


def _torn(changes: Sequence[Write | Cut], rng: random.Random) -> list[Write | Cut]:
    """Drop some of the changes and break some of the writes off at a sector."""
    kept: list[Write | Cut] = []
    for change in changes:
        luck = rng.random()
        if luck < 0.4:
            kept.append(change)
        elif luck < 0.7 and isinstance(change, Write):
            sectors = rng.randint(0, len(change.data) // SECTOR_BYTES)
            kept.append(Write(change.path, change.offset, change.data[: sectors * SECTOR_BYTES]))
    return kept


def _changed(content: bytes, changes: Sequence[Write | Cut]) -> bytes:
    """Return the content after the changes; a gap reads as zeros."""
    changed = bytearray(content)
    for change in changes:
        match change:
            case Write(_, offset, data):
                changed.extend(bytes(max(0, offset - len(changed))))
                changed[offset : offset + len(data)] = data
            case Cut(_, size):
                del changed[size:]
                changed.extend(bytes(size - len(changed)))
            case _:
                assert_never(change)
    return bytes(changed)
