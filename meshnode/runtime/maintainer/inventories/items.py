"""The STAC item of some files: what the mapping says, what their names say, and an asset each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from meshnode.runtime.maintainer.inventories.dates import time_members
from meshnode.runtime.maintainer.inventories.mapping import Mapping, filled
from meshnode.runtime.maintainer.inventories.places import Place
from meshnode.runtime.maintainer.inventories.rows import Row

D4C_PARTS: Final = ("region", "source", "dguid", "package", "date", "variant", "version")

_STAC_VERSION: Final = "1.1.0"
_FILE_EXTENSION: Final = "https://stac-extensions.github.io/file/v2.1.0/schema.json"
_VERSION_EXTENSION: Final = "https://stac-extensions.github.io/version/v1.2.0/schema.json"
_SHA256_MULTIHASH: Final = "1220"  # of 32 bytes, in hexadecimal
_PREFIXED: Final = ("region", "source", "package", "variant")
_MEDIA_TYPES: Final = {
    "csv": "text/csv",
    "fgb": "application/vnd.flatgeobuf",
    "geojson": "application/geo+json",
    "geoparquet": "application/vnd.apache.parquet",
    "gpkg": "application/geopackage+sqlite3",
    "json": "application/json",
    "parquet": "application/vnd.apache.parquet",
    "pdf": "application/pdf",
    "pmtiles": "application/vnd.pmtiles",
    "tif": "image/tiff; application=geotiff",
    "tiff": "image/tiff; application=geotiff",
    "zip": "application/zip",
}


ASSETS_MAX: Final = 1000  # of one item; more is an id that does not tell items apart


class UnfitRowError(Exception):
    """A row that no item can be made of."""


@dataclass(frozen=True, slots=True)
class File:
    """A row with what its templates may name, the id of its item, and its URL if it has one."""

    id: str
    values: dict[str, Any]
    row: Row
    url: str | None


def stac_item(files: list[File], place: Place, mapping: Mapping) -> dict[str, Any]:
    """Return the item of files that have one id; the first one's row says all but the assets.

    Raises:
        UnfitRowError: it has no time.
        ValueError: a time or a size is none.
    """
    values = files[0].values
    assets = _assets(files, mapping)
    properties = {**_said_by_name(values), **filled(mapping.properties, values)}
    return {
        "type": "Feature",
        "stac_version": _STAC_VERSION,
        "stac_extensions": _extensions(properties, assets),
        "id": files[0].id,
        "collection": mapping.collection,
        "geometry": place.geometry,
        "bbox": list(place.bbox),
        "properties": {**properties, **_times(mapping, values)},
        "links": [{"rel": "collection", "href": "./collection.json"}],
        "assets": assets,
    }


def _times(mapping: Mapping, values: dict[str, Any]) -> dict[str, Any]:
    """Return the times that the mapping says, else those of the file's name."""
    said = filled(mapping.item.datetime, values) or values.get("d4c.date")
    if said is None:
        raise UnfitRowError("it has no time: name datetime under [item] in the mapping")
    return time_members(said)


def _said_by_name(values: dict[str, Any]) -> dict[str, Any]:
    """Return the parts of a name by the convention of Data for Canada, as properties."""
    said = {f"d4c:{part}": values.get(f"d4c.{part}") for part in _PREFIXED}
    said |= {name: values.get(f"d4c.{name}") for name in ("dguid", "version")}
    return {name: part for name, part in said.items() if part is not None}


def _extensions(properties: dict[str, Any], assets: dict[str, Any]) -> list[str]:
    members = [name for asset in assets.values() for name in asset]
    used = [_FILE_EXTENSION] if any(name.startswith("file:") for name in members) else []
    return [*used, _VERSION_EXTENSION] if "version" in properties else used


def _assets(files: list[File], mapping: Mapping) -> dict[str, Any]:
    if not mapping.assets:
        keys = [str(file.values["file.extension"] or "data") for file in files]
        if twice := [key for place, key in enumerate(keys) if key in keys[:place]]:
            raise UnfitRowError(f"two of its files would be the asset {twice[0]!r}")
        return {key: _asset(file, mapping) for key, file in zip(keys, files, strict=True)}
    if len(files) > 1:
        raise UnfitRowError(f"{len(files)} rows have its id")
    parts = {key: part.model_dump() for key, part in mapping.assets.items()}
    made = {key: filled(part, files[0].values) for key, part in parts.items()}
    return {key: asset for key, asset in made.items() if "href" in asset}


def _asset(file: File, mapping: Mapping) -> dict[str, Any]:
    columns, values = mapping.columns, file.values
    size, sha256 = values.get(columns.size), values.get(columns.sha256)
    asset = {
        "href": file.url,
        "type": _MEDIA_TYPES.get(values["file.extension"]),
        "roles": ["data"],
        "file:size": None if size is None else int(size),
        "file:checksum": None if not sha256 else _SHA256_MULTIHASH + str(sha256).lower(),
        "etag": values.get(columns.etag),
        "updated": values.get(columns.updated),
    }
    return {name: member for name, member in asset.items() if member is not None}
