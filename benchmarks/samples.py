"""The data that is measured with: the same in every process, made without any file of ours."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from meshnode.core.authoring import LogState, extend, first_root
from meshnode.core.entries import SegmentAdded
from meshnode.core.heads import SnapshotRef, decode_signed_head
from meshnode.core.identifiers import CatalogueId, Kid, key_id, sha256
from meshnode.core.merkle import Frontier, leaf_hash
from meshnode.core.names import LogId, SegmentRef
from meshnode.core.roots import encode_root
from meshnode.core.signed import encode_signed
from meshnode.core.signing import public_key, sign
from meshnode.core.snapshots import encode_snapshot, snapshot_of
from meshnode.runtime.segments.segment import ItemPair, SegmentFile, write_segment

ISSUED = 1_700_000_000
COLLECTION = "towns"
COLLECTION_JSON = json.dumps({"type": "Collection", "id": COLLECTION}).encode()
_HEAD_ENTRIES = 4_000  # below what one head may add
_GROUP_ROWS: Final = 50_000
_COMPACTED = 32  # segments that one replaces


@dataclass(frozen=True, slots=True)
class SignedCatalogue:
    """A signed root, and one log as peers send it."""

    id: CatalogueId
    root: bytes
    log: LogId
    heads: tuple[bytes, ...]
    entries: tuple[bytes, ...]


def catalogue(name: str, entry_count: int) -> SignedCatalogue:
    """Sign a catalogue whose one writer added `entry_count` segments."""
    clocks = range(1, entry_count + 1)
    steps = [
        [_entry(clock) for clock in clocks[start : start + _HEAD_ENTRIES]]
        for start in range(0, entry_count, _HEAD_ENTRIES)
    ]
    return _signed(name, steps or [[]], begins=False)


def compacted_catalogue(name: str, segment_count: int) -> SignedCatalogue:
    """Sign a catalogue whose writer added segments, each 32 followed by one that replaces them; the
    last head begins a snapshot.
    """
    steps: list[list[SegmentAdded]] = []
    clock = 0
    for _ in range(0, segment_count, _COMPACTED):
        added = [_entry(clock + 1 + number) for number in range(_COMPACTED)]
        clock += _COMPACTED + 1
        steps += ([one] for one in added)
        steps.append([replace(_entry(clock), replaces=tuple(one.segment for one in added))])
    return _signed(name, steps, begins=True)


def _signed(name: str, steps: Sequence[Sequence[SegmentAdded]], *, begins: bool) -> SignedCatalogue:
    """Sign a head a step, and one more that begins a snapshot if asked to."""
    root_key, writer_key = _key(f"{name} root"), _key(f"{name} writer")
    writer = public_key(writer_key)
    root = encode_root(
        first_root(
            public_key(root_key), [(writer, "writer")], {"title": name}, ISSUED, ISSUED + 86_400
        )
    )
    catalogue_id, kid = CatalogueId(sha256(root)), key_id(writer)
    state = LogState(catalogue_id, kid, 1, None, Frontier(), 0)
    heads: list[bytes] = []
    entries: list[bytes] = []
    for step in (*steps, *[()] * begins):
        snapshot = None
        if not step and begins:
            log = LogId(catalogue_id, kid)
            made = encode_snapshot(snapshot_of(log, state.frontier, enumerate(entries)))
            snapshot = SnapshotRef(len(entries), sha256(made), len(made))
        raw, _, raws = extend(
            state,
            step,
            issued=ISSUED,
            next_by=None,
            sign=lambda payload: sign("head", payload, [writer_key]),
            snapshot=snapshot,
        )
        heads.append(raw)
        entries += raws
        head = decode_signed_head(raw)
        frontier = state.frontier.extend([leaf_hash(entry) for entry in raws])
        state = LogState(catalogue_id, kid, 1, head, frontier, len(entries))
    raw_root = encode_signed(sign("root", root, [root_key]))
    return SignedCatalogue(
        catalogue_id, raw_root, LogId(catalogue_id, kid), tuple(heads), tuple(entries)
    )


def items(count: int, seed: int = 1, first: int = 0) -> Iterator[ItemPair]:
    """Yield small items, spread over the world and over ten years, numbered from `first`."""
    rng = random.Random(seed)  # noqa: S311 - places on a map
    for number in range(first, first + count):
        value = _item(f"item-{number:06d}", rng)
        yield json.dumps(value).encode(), value


def stac_geoparquet(path: Path, count: int) -> None:
    """Write the sample items as other tools write STAC-GeoParquet: columns, no JSON."""
    rows = (_row(value) for _, value in items(count))
    first = pa.Table.from_pylist(list(itertools.islice(rows, _GROUP_ROWS)))
    with pq.ParquetWriter(path, first.schema, compression="zstd") as writer:
        writer.write_table(first)
        while group := list(itertools.islice(rows, _GROUP_ROWS)):
            writer.write_table(pa.Table.from_pylist(group, schema=first.schema))


def segment(path: Path, pairs: Sequence[ItemPair]) -> SegmentFile:
    return write_segment(path, COLLECTION, COLLECTION_JSON, pairs)


def ref_of(file: SegmentFile) -> SegmentRef:
    return SegmentRef(
        log=LogId(CatalogueId(bytes(32)), Kid(bytes(16))),
        collection=COLLECTION,
        digest=file.digest,
        size_bytes=file.size_bytes,
        rows=file.rows,
        format=file.format,
        clock=1,
        bbox=file.bbox_e7,
        span=file.span_s,
    )


def boxes(count: int, degrees: float, seed: int = 2) -> list[tuple[float, float, float, float]]:
    """Return boxes (west, south, east, north) of one size, anywhere on the land of `items`."""
    rng = random.Random(seed)  # noqa: S311 - places on a map
    corners = [(rng.uniform(-179, 170), rng.uniform(-80, 70)) for _ in range(count)]
    return [(west, south, west + degrees, south + degrees) for west, south in corners]


def _row(value: dict[str, Any]) -> dict[str, Any]:
    west, south, east, north = value["bbox"]
    return {
        **{name: value[name] for name in ("type", "stac_version", "id", "collection", "links")},
        "geometry": shapely.to_wkb(shapely.from_geojson(json.dumps(value["geometry"]))),
        "bbox": {"xmin": west, "ymin": south, "xmax": east, "ymax": north},
        "assets": value["assets"],
        "datetime": datetime.fromisoformat(value["properties"]["datetime"]),
        "title": value["properties"]["title"],
    }


def _key(name: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())


def _entry(clock: int) -> SegmentAdded:
    return SegmentAdded(
        clock=clock,
        collection=COLLECTION,
        segment=sha256(str(clock).encode()),
        size_bytes=48_213,
        rows=250,
        format=1,
        bbox=(-1_233_000_000, 491_000_000, -1_229_000_000, 494_000_000),
        span=(ISSUED, ISSUED + clock),
        replaces=(),
    )


def _item(item_id: str, rng: random.Random) -> dict[str, Any]:
    west, south = rng.uniform(-179, 179), rng.uniform(-80, 79)
    east, north = west + 0.25, south + 0.25
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    day = f"{rng.randrange(2015, 2025)}-{rng.randrange(1, 13):02d}-{rng.randrange(1, 29):02d}"
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [],
        "id": item_id,
        "collection": COLLECTION,
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": [west, south, east, north],
        "properties": {"datetime": f"{day}T12:00:00Z", "title": f"The town {item_id}"},
        "links": [{"rel": "collection", "href": "./collection.json"}],
        "assets": {
            "image": {
                "href": f"https://data.example/{item_id}/image.tif",
                "type": "image/tiff; application=geotiff; profile=cloud-optimized",
                "roles": ["data"],
            }
        },
    }
