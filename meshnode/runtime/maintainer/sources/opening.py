"""From what the operator wrote to a source: the content says what it is, not its name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

from meshnode.runtime.maintainer.inventories.mapping import Mapping
from meshnode.runtime.maintainer.inventories.places import Headers
from meshnode.runtime.maintainer.inventories.reading import Inventory
from meshnode.runtime.maintainer.inventories.rows import Table, read_listing, read_table
from meshnode.runtime.maintainer.sources import Reading
from meshnode.runtime.maintainer.sources.api import is_api, read_api
from meshnode.runtime.maintainer.sources.client import Client
from meshnode.runtime.maintainer.sources.documents import Documents
from meshnode.runtime.maintainer.sources.files import (
    document_of,
    kind_of,
    read_file,
    read_folder,
    spooled,
    take_pipe,
    take_standard_input,
)
from meshnode.runtime.maintainer.sources.responses import Responses
from meshnode.runtime.maintainer.sources.static import read_disk, read_web

STANDARD_INPUT: Final = "-"
_ROOTS: Final = ("catalog.json", "collection.json")
_CATALOGUES: Final = ("Catalog", "Collection")


@contextmanager
def opened(
    source: str, collections: Sequence[str], kept: Path, mapping: Mapping | None = None
) -> Iterator[Reading]:
    """Open a source: `-`, a file, a folder, or the URL of a file, a catalogue or an API.

    Args:
        source: as the operator wrote it.
        collections: all that is wanted of an API; empty is everything.
        kept: the file of what web servers answered last time.
        mapping: the source is an inventory, a table or a folder of files, made items by this.

    Raises:
        UsageError: there is no such source, or it holds no items.
    """
    if mapping is not None:
        with _inventory(source, mapping, kept) as reading:
            yield reading
    elif _is_web(source):
        with _web(source, collections, kept) as reading:
            yield reading
    elif _is_stream(source):
        with _streamed(source) as path:
            yield read_file(path)
    else:
        yield _disk(Path(source))


def _is_web(source: str) -> bool:
    return source.startswith(("http://", "https://"))


def _is_stream(source: str) -> bool:
    return source == STANDARD_INPUT or Path(source).is_fifo()


def _streamed(source: str) -> AbstractContextManager[Path]:
    if source == STANDARD_INPUT:
        return spooled(take_standard_input)
    return spooled(lambda file: take_pipe(Path(source), file))


def _disk(path: Path) -> Reading:
    if not path.is_dir():
        return read_disk(path) if kind_of(path) in _CATALOGUES else read_file(path)
    for name in _ROOTS:
        if kind_of(path / name) in _CATALOGUES:
            return read_disk(path / name)
    return read_folder(path)


@contextmanager
def _web(source: str, collections: Sequence[str], kept: Path) -> Iterator[Reading]:
    responses = Responses(kept, source)
    try:
        with Client(source, responses) as client:
            with spooled(lambda file: client.download(source, file)) as path:
                if kind_of(path) not in _CATALOGUES:
                    yield read_file(path)
                    return
                root = document_of(path.read_bytes())
            if is_api(root):
                yield read_api(client, source, root, collections)
            else:
                yield read_web(client, source)
    finally:
        responses.close()


@contextmanager
def _inventory(source: str, mapping: Mapping, kept: Path) -> Iterator[Reading]:
    """Open an inventory; what its URLs lead to may be local only if the operator named it so."""
    named = source if _is_web(source) else mapping.base
    responses = Responses(kept, source)
    try:
        with Client(named, responses) as client, _table(source, client, mapping) as table:
            based = mapping.model_copy(update={"base": mapping.base or named})
            headers = Headers(client, responses)
            yield Reading(Inventory(table, based, headers).items(), Documents())
    finally:
        responses.close()


@contextmanager
def _table(source: str, client: Client, mapping: Mapping) -> Iterator[Table]:
    if _is_web(source):
        with spooled(lambda file: client.download(source, file)) as path:
            yield read_table(path)
    elif _is_stream(source):
        with _streamed(source) as path:
            yield read_table(path)
    elif Path(source).is_dir():
        yield read_listing(Path(source), mapping.columns)
    else:
        yield read_table(Path(source))
