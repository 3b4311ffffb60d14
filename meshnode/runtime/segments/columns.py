"""Items as the columns of a segment: what the writer puts beside each item's exact JSON.

`id`, `collection`, the times and `bbox` come from `projection` and are checked by every peer. The
others (`geometry`, `links`, `assets`, …) are there for the readers of the file: what does not fit
their types is left out, for `item` has it all (protocol/03-segments.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from meshnode.errors import UsageError
from meshnode.runtime.segments.format import ASSET, ASSET_KEYS_MAX, BOX_NAMES, ITEM_BYTES_MAX
from meshnode.runtime.segments.hilbert import hilbert_indices
from meshnode.runtime.segments.projection import Extent, Projection


@dataclass(slots=True)
class Rows:
    """The items of one segment, gathered column by column: an item's parsed JSON is not kept.

    Invariant: all ids differ.
    """

    raws: list[bytes] = field(default_factory=list)
    size_bytes: int = 0  # of all raws
    extent: Extent = field(default_factory=Extent)
    geometries: list[bytes] = field(default_factory=list)  # ISO WKB
    clocks: list[int | None] = field(default_factory=list)
    _projections: dict[str, Projection] = field(default_factory=dict)
    _versions: list[str] = field(default_factory=list)
    _extensions: list[list[str]] = field(default_factory=list)
    _link_counts: list[int] = field(default_factory=list)
    _links: list[list[str | None]] = field(default_factory=lambda: [[], [], [], []])
    _assets: dict[str, _Asset] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.raws)

    def add(
        self,
        raw: bytes,
        value: dict[str, Any],
        projection: Projection,
        geometry: bytes,
        clock: int | None = None,
    ) -> None:
        """Add an item: its JSON and the same parsed, and what was derived from it.

        Raises:
            UsageError: its id is there already, or it is too large.
        """
        if projection.id in self._projections:
            raise UsageError(
                f"item {projection.id!r} is given twice", hint="publish one version at a time"
            )
        if len(raw) > ITEM_BYTES_MAX:
            raise UsageError(f"item {projection.id!r} is larger than {ITEM_BYTES_MAX} bytes")
        self._add_links(value.get("links"))
        self._add_assets(value.get("assets"))
        self._versions.append(_text(value.get("stac_version")) or "")
        self._extensions.append(_texts(value.get("stac_extensions")))
        self._projections[projection.id] = projection
        self.extent.add(projection)
        self.geometries.append(geometry)
        self.clocks.append(clock)
        self.raws.append(raw)
        self.size_bytes += len(raw)

    def order(self) -> list[int]:
        """Return the positions of the rows in the order of the file (S-16)."""
        projections = list(self._projections.values())
        places = hilbert_indices(np.array([one.box for one in projections])).tolist()
        keys = [
            (place, one.first_us, one.id) for place, one in zip(places, projections, strict=True)
        ]
        return sorted(range(len(keys)), key=keys.__getitem__)

    def asset_keys(self) -> list[str]:
        """Choose the columns of `assets`: the most frequent keys, sorted by name, and no more than
        there are rows, since the four columns of a key cost 500 bytes of file.

        Keys that differ only in case are one column name to SQL engines, so the first one stays
        alone.
        """
        counts = {key: asset.count for key, asset in self._assets.items() if key}
        chosen: dict[str, str] = {}
        for key, _ in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
            if len(chosen) < min(ASSET_KEYS_MAX, len(self)):
                chosen.setdefault(key.casefold(), key)
        return sorted(chosen.values()) or ["data"]

    def columns(
        self, schema: pa.Schema, collection_id: str, positions: Sequence[int]
    ) -> list[pa.Array]:
        """Return the columns of a row group of these rows, in the order of the schema."""
        every = list(self._projections.values())
        projections = [every[position] for position in positions]
        columns = {
            "id": [one.id for one in projections],
            "stac_version": [self._versions[position] for position in positions],
            "stac_extensions": [self._extensions[position] for position in positions],
            "collection": [collection_id] * len(positions),
            "datetime": [one.datetime_us for one in projections],
            "start_datetime": [one.start_us for one in projections],
            "end_datetime": [one.end_us for one in projections],
            "geometry": [self.geometries[position] for position in positions],
            "clock": [self.clocks[position] for position in positions],
            "item": [self.raws[position].decode() for position in positions],
        }
        made = {
            "bbox": _boxes(projections, schema.field("bbox").type),
            "links": self._links_at(schema.field("links").type, positions),
            "assets": self._assets_at(schema.field("assets").type, positions),
        }
        made |= {
            name: pa.array(values, type=schema.field(name).type) for name, values in columns.items()
        }
        return [made[field.name] for field in schema]

    def _add_links(self, value: object) -> None:
        links = value if isinstance(value, list) else []
        self._link_counts.append(len(links))
        hrefs, rels, types, titles = self._links
        for link in links:
            hrefs.append(_text(link.get("href")))
            rels.append(_text(link.get("rel")))
            types.append(_text(link.get("type")))
            titles.append(_text(link.get("title")))

    def _add_assets(self, value: object) -> None:
        row = len(self.raws)
        for key, asset in value.items() if isinstance(value, dict) else ():
            if key not in self._assets:
                self._assets[key] = _Asset()
            self._assets[key].add(row, asset)

    def _links_at(self, kind: pa.ListType, positions: Sequence[int]) -> pa.Array:
        members = [pa.array(texts, type=pa.string()) for texts in self._links]
        links = pa.StructArray.from_arrays(members, fields=list(kind.value_type))
        offsets = np.concatenate(([0], np.cumsum(self._link_counts))).astype(np.int32)
        lists = pa.ListArray.from_arrays(pa.array(offsets), links, type=kind)
        return lists.take(pa.array(positions))

    def _assets_at(self, kind: pa.StructType, positions: Sequence[int]) -> pa.Array:
        at = np.array(positions)
        none = _Asset()
        members = [self._assets.get(column.name, none).at(len(self), at) for column in kind]
        return pa.StructArray.from_arrays(members, fields=list(kind))


@dataclass(slots=True)
class _Asset:
    """The assets of one key: those of the rows that have it, one after the other."""

    count: int = 0  # of rows that have the key, whatever stands there
    rows: list[int] = field(default_factory=list)
    texts: list[list[str | None]] = field(default_factory=lambda: [[], [], []])
    roles: list[list[str] | None] = field(default_factory=list)

    def add(self, row: int, asset: object) -> None:
        self.count += 1
        if isinstance(asset, dict):
            hrefs, titles, types = self.texts
            self.rows.append(row)
            hrefs.append(_text(asset.get("href")))
            titles.append(_text(asset.get("title")))
            types.append(_text(asset.get("type")))
            self.roles.append(_texts(asset["roles"]) if "roles" in asset else None)

    def at(self, count: int, positions: Any) -> pa.Array:  # noqa: ANN401 - numpy
        """Return the assets of the rows at these positions, of `count` rows; null where none is."""
        held = np.full(count, -1)
        held[self.rows] = np.arange(len(self.rows))
        chosen = held[positions]
        members = [pa.array(texts, type=pa.string()) for texts in self.texts]
        roles = pa.array(self.roles, type=ASSET.field("roles").type)
        assets = pa.StructArray.from_arrays([*members, roles], fields=list(ASSET))
        return assets.take(pa.array(chosen, mask=chosen < 0))


def _boxes(projections: list[Projection], kind: pa.StructType) -> pa.Array:
    bounds = np.array([one.box for one in projections]).T
    return pa.StructArray.from_arrays(
        [pa.array(bounds[position]) for position in range(len(BOX_NAMES))], fields=list(kind)
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _texts(value: object) -> list[str]:
    return (
        [member for member in value if isinstance(member, str)] if isinstance(value, list) else []
    )
