"""The sample as files: the two forms in which `publish` takes items."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq
import shapely

from meshnode.demo.sample import Json
from meshnode.runtime.files import write_durably

_TIMES: Final = ("datetime", "start_datetime", "end_datetime")
_GEO: Final = {
    "version": "1.1.0",
    "primary_column": "geometry",
    "columns": {
        "geometry": {
            "encoding": "WKB",
            "geometry_types": ["Polygon"],
            "covering": {
                "bbox": {side: ["bbox", side] for side in ("xmin", "ymin", "xmax", "ymax")}
            },
        }
    },
}


def write_ndjson(path: Path, items: Iterable[Json]) -> None:
    """Write one compact item a line.

    Raises:
        StorageError: the file cannot be written.
    """
    lines = (json.dumps(item, ensure_ascii=False, separators=(",", ":")) for item in items)
    write_durably(path, "".join(f"{line}\n" for line in lines).encode())


def write_geoparquet(path: Path, collection: Json, items: Iterable[Json]) -> None:
    """Write STAC-GeoParquet 1.1 as any other tool does: typed columns, no exact JSON.

    (radiantearth/stac-geoparquet-spec: properties become columns, geometry is WKB, times are
    timestamps.)
    """
    rows = [_columns(item) for item in items]
    table = pa.Table.from_pylist(rows)
    for name in _TIMES:
        column = table.schema.get_field_index(name)
        times = table[name].cast(pa.timestamp("us", "UTC"))
        table = table.set_column(column, name, times)
    metadata = {
        "geo": json.dumps(_GEO),
        "stac-geoparquet": json.dumps(
            {"version": "1.1.0", "collections": {collection["id"]: collection}}
        ),
    }
    pq.write_table(table.replace_schema_metadata(metadata), path, compression="zstd")


def _columns(item: Json) -> Json:
    properties = dict(item["properties"])
    for name in _TIMES:
        text = properties.get(name)
        properties[name] = None if text is None else datetime.datetime.fromisoformat(text)
    return {
        "id": item["id"],
        "stac_version": item["stac_version"],
        "stac_extensions": item["stac_extensions"],
        "collection": item["collection"],
        "geometry": shapely.to_wkb(shapely.from_geojson(json.dumps(item["geometry"]))),
        "bbox": dict(zip(("xmin", "ymin", "xmax", "ymax"), item["bbox"], strict=True)),
        "links": item["links"],
        "assets": item["assets"],
        **properties,
    }
