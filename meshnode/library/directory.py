"""A data directory as its reader sees it: the index, the log, the objects. Nothing is written."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import apsw

from meshnode.core.events import Now
from meshnode.core.identifiers import CatalogueId, Digest, sha256
from meshnode.core.node import Node
from meshnode.errors import UsageError
from meshnode.runtime import read_only
from meshnode.runtime.clock import unix_now
from meshnode.runtime.home import Home
from meshnode.runtime.index.query import Found
from meshnode.runtime.index.view import IndexView
from meshnode.runtime.joining.domain_book import DomainBook
from meshnode.runtime.operator.history import evidence_of
from meshnode.runtime.store import Store

_Changed = tuple[tuple[int, int, int] | None, ...]


class Directory:
    """Invariant: no file is written and no lock is taken, whether a peer runs here or not."""

    def __init__(self, root: Path) -> None:
        self._home = Home(root)
        self._home.check_format()
        self.index = IndexView(self._home.index)
        self._known: tuple[_Changed, Node] | None = None

    @property
    def node(self) -> Node:
        """What the log says now: read again when it has changed."""
        changed = self._changed()
        if self._known is None or self._known[0] != changed:
            self._known = changed, self._restored()
        return self._known[1]

    @property
    def domains(self) -> DomainBook:
        return DomainBook(self._home.domains)

    def read_object(self, digest: Digest) -> bytes | None:
        """Return an object's bytes, None if it is not here or damaged."""
        text = digest.hex()
        try:
            raw = (self._home.objects / text[:2] / text).read_bytes()
        except FileNotFoundError:
            return None
        return raw if sha256(raw) == digest else None

    def evidence(self, catalogue: CatalogueId, found: Found) -> dict[str, Any]:
        """Return what leads from an item to the root of its catalogue (`history.evidence_of`)."""
        held = self.node.catalogues.get(catalogue)
        if held is None or held.chain is None:
            raise UsageError("the catalogue is not held any more", hint="search again")
        chain = held.chain

        def read(database: apsw.Connection) -> dict[str, Any]:
            return evidence_of(Store(self._home, database), held, chain, found)

        return read_only.read(self._home.log, read)

    def _restored(self) -> Node:
        node = Node(random.Random(0))  # noqa: S311 - nothing is decided here
        restored = read_only.read(
            self._home.log, lambda database: Store(self._home, database).restored()
        )
        node.restore(restored, Now(monotonic=0.0, unix=unix_now()))
        return node

    def _changed(self) -> _Changed:
        log = self._home.log
        return _stamp(log), _stamp(log.with_name(log.name + "-wal"))


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
