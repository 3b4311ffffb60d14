"""The proof of one item checked from its file alone, without a peer and without a network.

Signatures first: a stranger's segment is read only when it is the one that was signed for, and in
the limited process. What is pinned is the catalogue's id, which is the hash of its first root.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Collection
from contextlib import aclosing, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from zipfile import ZIP_STORED, BadZipFile, ZipFile, is_zipfile

import trio
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from meshnode.core import receipts
from meshnode.core.entries import SegmentAdded, decode_entry
from meshnode.core.heads import decode_signed_head
from meshnode.core.identifiers import (
    CatalogueId,
    Digest,
    catalogue_text,
    object_text,
    parse_catalogue,
    parse_object,
    sha256,
)
from meshnode.core.limits import (
    ENTRY_BYTES_MAX,
    ROOT_VERSION_MAX,
    SIGNED_HEAD_BYTES_MAX,
    SIGNED_ROOT_BYTES_MAX,
    TREE_SIZE_MAX,
)
from meshnode.core.names import LogId, SegmentRef
from meshnode.core.receipts import Receipt, Step
from meshnode.errors import PeerError, StorageError, UsageError
from meshnode.runtime.datasets.proof_file import ITEM, PROOF, SEGMENT, VERSION
from meshnode.runtime.home import Home
from meshnode.runtime.index.queryables import parse_item
from meshnode.runtime.segments.checker import SegmentChecker, SegmentRefusedError
from meshnode.runtime.segments.format import ITEM_BYTES_MAX, SEGMENT_BYTES_MAX
from meshnode.runtime.store import Store

PROOF_BYTES_MAX: Final = 2 * ROOT_VERSION_MAX * SIGNED_ROOT_BYTES_MAX + (1 << 20)  # as hexadecimal
_LIMITS: Final = {PROOF: PROOF_BYTES_MAX, ITEM: ITEM_BYTES_MAX, SEGMENT: SEGMENT_BYTES_MAX}
_CHUNK_BYTES: Final = 1 << 20


def _hex(bytes_max: int) -> Any:  # noqa: ANN401 - a type
    return Annotated[
        str, Field(pattern=r"^([0-9a-f]{2})*$", max_length=2 * bytes_max, min_length=2)
    ]


class _Said(BaseModel):
    """What `proof.json` says; none of it is believed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1]
    catalogue: str
    collection: str
    item: str
    segment: str
    entry: _hex(ENTRY_BYTES_MAX)  # type: ignore[valid-type]
    index: int = Field(ge=0, le=TREE_SIZE_MAX)
    proof: list[_hex(32)] = Field(max_length=64)  # type: ignore[valid-type]
    head: _hex(SIGNED_HEAD_BYTES_MAX)  # type: ignore[valid-type]
    roots: list[_hex(SIGNED_ROOT_BYTES_MAX)] = Field(  # type: ignore[valid-type]
        min_length=1, max_length=ROOT_VERSION_MAX
    )


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was checked of a proof; `steps` that fail say why."""

    catalogue: str
    collection: str
    item: str
    steps: tuple[Step, ...]

    @property
    def failing(self) -> list[str]:
        return [step.name for step in self.steps if step.fault]


def is_proof(path: Path) -> bool:
    """Say whether a file is meant as a proof."""
    if not path.is_file() or not is_zipfile(path):
        return False
    try:
        with ZipFile(path) as archive:
            return PROOF in archive.namelist()
    except BadZipFile:
        return False


def pinned_in(home: Home) -> list[CatalogueId]:
    """Return the catalogues that a data directory follows; none if there is no such directory."""
    if not home.log.exists():
        return []
    with closing(Store(home)) as store:
        return list(store.restored().followed)


async def verify_proof(path: Path, pinned: Collection[CatalogueId]) -> Verdict:
    """Check a proof against the catalogues that somebody trusts.

    Raises:
        PeerError: it is no proof, or larger than any.
        StorageError: it cannot be read.
    """
    try:
        with tempfile.TemporaryDirectory() as folder:
            return await _verify(path, Path(folder), pinned)
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror or error}") from error
    except (BadZipFile, NotImplementedError, EOFError, RuntimeError) as error:
        raise PeerError(f"{path} is no proof: {error}") from error


async def _verify(path: Path, folder: Path, pinned: Collection[CatalogueId]) -> Verdict:
    copy = folder / SEGMENT
    said, item, digest = await trio.to_thread.run_sync(_unpacked, path, copy)
    receipt = _receipt(said)
    steps = [_item(said, item), _segment(digest, receipt.segment), *receipts.examine(receipt)]
    steps.append(_pin(receipt.catalogue, pinned))
    if not any(step.fault for step in steps):
        steps.append(await _row(copy, receipt, said.item, item))
    return Verdict(said.catalogue, said.collection, said.item, tuple(steps))


def _unpacked(path: Path, copy: Path) -> tuple[_Said, bytes, Digest]:
    """Read the members, each within its limit; the segment is copied and hashed."""
    with ZipFile(path) as archive:
        for name, bytes_max in _LIMITS.items():
            _require_within(archive, name, bytes_max)
        try:
            said = _Said.model_validate_json(archive.read(PROOF))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise PeerError(f"{path} is no proof: {where}: {first['msg']}") from error
        hashed = hashlib.sha256()
        with archive.open(SEGMENT) as member, copy.open("wb") as file:
            while chunk := member.read(_CHUNK_BYTES):
                hashed.update(chunk)
                file.write(chunk)
        return said, archive.read(ITEM), Digest(hashed.digest())


def _require_within(archive: ZipFile, name: str, bytes_max: int) -> None:
    found = [each for each in archive.infolist() if each.filename == name]
    if len(found) != 1:
        raise PeerError(f"a proof has one {name}, this has {len(found)}")
    [member] = found
    if member.compress_type != ZIP_STORED or member.file_size > bytes_max:
        raise PeerError(f"{name} is compressed, or larger than {bytes_max} bytes")


def _receipt(said: _Said) -> Receipt:
    assert said.version == VERSION
    try:
        return Receipt(
            catalogue=parse_catalogue(said.catalogue),
            collection=said.collection,
            segment=parse_object(said.segment),
            entry=bytes.fromhex(said.entry),
            index=said.index,
            proof=tuple(Digest(bytes.fromhex(node)) for node in said.proof),
            head=bytes.fromhex(said.head),
            roots=tuple(map(bytes.fromhex, said.roots)),
        )
    except UsageError as error:
        raise PeerError(f"it is no proof: {error}") from error


def _item(said: _Said, item: bytes) -> Step:
    value = parse_item(item)
    named = (value.get("collection"), value.get("id"))
    fault = "" if named == (said.collection, said.item) else "it says {}/{}".format(*named)
    says = f"{len(item)} bytes, SHA-256 {sha256(item).hex()}"
    return Step("item", says, "its id and collection are those of the proof", fault)


def _segment(found: Digest, said: Digest) -> Step:
    fault = "" if found == said else f"its bytes hash to {object_text(found)}"
    return Step("segment", object_text(said), "SHA-256 of the file", fault)


def _pin(catalogue: CatalogueId, pinned: Collection[CatalogueId]) -> Step:
    fault = "" if catalogue in pinned else "nobody here trusts this catalogue: --catalogue ID"
    return Step("trust", catalogue_text(catalogue), "a catalogue that you name or follow", fault)


async def _row(copy: Path, receipt: Receipt, item_id: str, item: bytes) -> Step:
    """Find the item's bytes in the segment, as every peer reads it."""
    check = "the signed segment is valid and has these very bytes"
    entry = decode_entry(receipt.entry)
    assert isinstance(entry, SegmentAdded)  # the receipt was examined
    writer = decode_signed_head(receipt.head).head.writer
    ref = SegmentRef.of(LogId(receipt.catalogue, writer), entry)
    is_there = False
    try:
        async with SegmentChecker() as checker, aclosing(checker.check(copy, ref)) as batches:
            async for rows in batches:
                is_there = is_there or any((row.id, row.item) == (item_id, item) for row in rows)
    except SegmentRefusedError as error:
        return Step("row", "the segment is refused", check, str(error))
    fault = "" if is_there else "no row of the segment has this id and these bytes"
    return Step("row", f"{entry.rows} items in the segment", check, fault)
