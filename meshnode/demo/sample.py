"""The sample catalogue: a few hundred STAC 1.1 items in the style of Data for Canada.

Two collections: municipal orthoimagery, and census boundary files. Places, codes and licences are
true as far as they are known to `places`; positions are approximate, and flights, resolutions and
addresses of files (at example.org) are made up by a seeded generator. One item's file is real: the
payload that the demonstration makes and distributes.

File names follow `[region]_[source]-[DGUID]_[package]_[date]_[variant]_[version].[ext]`. A DGUID is
vintage (4 digits), type (A: administrative), level (4 digits), then the geographic code.
"""

from __future__ import annotations

import datetime
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from meshnode.demo.places import (
    DIVISIONS,
    MUNICIPALITIES,
    PROVINCES,
    Division,
    Municipality,
    Province,
    outline,
    province_of,
)

Json = dict[str, Any]

ORTHOIMAGERY: Final = "orthoimagery"
CENSUS: Final = "census-boundaries"
PAYLOAD_ITEM: Final = "ca-yt_whitehorse-2019A00056001009_orthoimagery_2019_200mm_v1.0.0"
PAYLOAD_ASSET: Final = "data"

_FILES = "https://data.example.org"
_VERSION = "v1.0.0"
_FILE_EXTENSION = "https://stac-extensions.github.io/file/v2.1.0/schema.json"
_PROJECTION_EXTENSION = "https://stac-extensions.github.io/projection/v2.0.0/schema.json"
_YEARS = range(2013, 2026)
_RESOLUTIONS_MM = (75, 100, 200)
_CENSUSES = (2016, 2021)
# DGUID level, name in file names, English and French plural.
_LEVELS = (
    ("cd", "census divisions", "divisions de recensement"),
    ("csd", "census subdivisions", "subdivisions de recensement"),
    ("ct", "census tracts", "secteurs de recensement"),
    ("da", "dissemination areas", "aires de diffusion"),
)
_STATCAN_LICENCE = {
    "rel": "license",
    "href": "https://www.statcan.gc.ca/en/reference/licence",
    "type": "text/html",
    "title": "Statistics Canada Open Licence",
}


@dataclass(frozen=True, slots=True)
class PayloadFile:
    """The one real file: where it is, its size, and its SHA-256 in hex."""

    href: str
    size_bytes: int
    sha256: str


def sample_collections() -> list[Json]:
    """Return the STAC Collections of the sample, those of municipal orthoimagery first."""
    return [
        _collection(
            ORTHOIMAGERY,
            "Municipal orthoimagery / Orthoimagerie municipale",
            "Orthoimagery products of Canadian municipalities. A sample for demonstration: places"
            " are approximate, flights and files are made up. / Produits d'orthoimagerie de"
            " municipalités canadiennes. Un échantillon de démonstration.",
            "2013-01-01T00:00:00Z",
            [],
        ),
        _collection(
            CENSUS,
            "Census boundary files / Fichiers des limites du recensement",
            "Boundary files of the censuses of 2016 and 2021 by province, territory and census"
            " division. A sample for demonstration. / Fichiers des limites des recensements de 2016"
            " et de 2021. Un échantillon de démonstration.",
            "2016-01-01T00:00:00Z",
            [_STATCAN_LICENCE],
        ),
    ]


def sample_items(
    collection: str, seed: int = 1, payload: PayloadFile | None = None
) -> Iterator[Json]:
    """Yield the items of one collection, the same for the same arguments.

    `payload` is bound to the asset PAYLOAD_ASSET of PAYLOAD_ITEM, which every seed has.
    """
    rng = random.Random(seed)  # noqa: S311 - a sample is no secret
    if collection == CENSUS:
        yield from _census_items(rng)
        return
    assert collection == ORTHOIMAGERY
    for municipality in MUNICIPALITIES:
        for item in _orthoimagery_items(municipality, rng):
            if payload is not None and item["id"] == PAYLOAD_ITEM:
                _bind(item, payload)
            yield item


# --- Orthoimagery ---------------------------------------------------------------------------------
def _orthoimagery_items(municipality: Municipality, rng: random.Random) -> Iterator[Json]:
    years = sorted(rng.sample(_YEARS, rng.randint(3, 6)))
    resolution_mm = rng.choice(_RESOLUTIONS_MM)
    if municipality.slug == "whitehorse":
        years, resolution_mm = sorted({*years, 2019}), 200
    for year in years:
        flown = datetime.datetime(year, 4, 10, 16, tzinfo=datetime.UTC)
        flown += datetime.timedelta(days=rng.randrange(170), minutes=rng.randrange(240))
        yield _orthoimagery(municipality, flown, resolution_mm)


def _orthoimagery(municipality: Municipality, flown: datetime.datetime, resolution_mm: int) -> Json:
    province = province_of(municipality.code)
    region, year = f"ca-{province.abbreviation}", flown.year
    source = f"{municipality.slug}-{year}A0005{municipality.code}"
    name = f"{region}_{source}_orthoimagery_{year}_{resolution_mm:03}mm_{_VERSION}"
    centimetres = f"{resolution_mm / 10:g}"
    in_french = centimetres.replace(".", ",")
    licence, licence_link = _licence_of(municipality, province)
    zone = int((municipality.longitude + 180) // 6) + 1
    properties = {
        "datetime": _text(flown),
        "title": f"Orthoimagery of {municipality.name}, {year}, {centimetres} cm",
        "title:fr": f"Orthoimagerie de {municipality.name}, {year}, {in_french} cm",
        "license": licence,
        "providers": [
            {
                "name": municipality.name,
                "roles": ["producer", "licensor"],
                "url": municipality.portal,
            }
        ],
        "gsd": resolution_mm / 1000,
        "proj:code": f"EPSG:{26900 + zone}",  # NAD83 / UTM
    }
    item = _item(ORTHOIMAGERY, name, outline(municipality), properties, [licence_link])
    item["stac_extensions"].append(_PROJECTION_EXTENSION)
    item["assets"] = {
        PAYLOAD_ASSET: {
            "href": f"{_FILES}/{ORTHOIMAGERY}/{name}.tif",
            "type": "image/tiff; application=geotiff; profile=cloud-optimized",
            "title": "Cloud-optimized GeoTIFF",
            "roles": ["data"],
        },
        "tiles": {
            "href": f"{_FILES}/{ORTHOIMAGERY}/{name}.pmtiles",
            "type": "application/vnd.pmtiles",
            "title": "PMTiles",
            "roles": ["visual"],
        },
    }
    return item


def _licence_of(municipality: Municipality, province: Province) -> tuple[str, Json]:
    """Municipalities of Quebec publish under CC BY 4.0, the others under licences of their own."""
    link = {"rel": "license", "type": "text/html"}
    if province.code == "24":
        href = "https://creativecommons.org/licenses/by/4.0/"
        return "CC-BY-4.0", {**link, "href": href, "title": "CC BY 4.0"}
    title = f"Open data licence of {municipality.name}"
    return "other", {**link, "href": municipality.portal, "title": title}


def _bind(item: Json, payload: PayloadFile) -> None:
    item["stac_extensions"].append(_FILE_EXTENSION)
    item["assets"][PAYLOAD_ASSET] |= {
        "href": payload.href,
        "file:size": payload.size_bytes,
        "file:checksum": f"1220{payload.sha256}",  # multihash: sha2-256, 32 bytes
    }


# --- Census ---------------------------------------------------------------------------------------
def _census_items(rng: random.Random) -> Iterator[Json]:
    for census in _CENSUSES:
        for province in PROVINCES:
            for level in _LEVELS:
                yield _boundaries(census, province, level, rng)
        for division in DIVISIONS:
            for level in _LEVELS[1:]:
                yield _boundaries(census, division, level, rng)


def _boundaries(
    census: int,
    area: Province | Division,
    level: tuple[str, str, str],
    rng: random.Random,
) -> Json:
    """One boundary file; it holds from the census's reference date until the next one's."""
    province = province_of(area.code)
    dguid = f"{census}A{'0002' if isinstance(area, Province) else '0003'}{area.code}"
    variant = rng.choice(["cartographic", "digital"])
    short, in_english, in_french = level
    region = f"ca-{province.abbreviation}"
    name = f"{region}_statcan-{dguid}_boundaries-{short}_{census}_{variant}_{_VERSION}"
    names = (area.name_en, area.name_fr) if isinstance(area, Province) else (area.name, area.name)
    properties = {
        "datetime": None,
        "start_datetime": f"{census}-01-01T00:00:00Z",
        "end_datetime": f"{census + 4}-12-31T23:59:59Z",
        "title": f"Boundaries of {in_english}, {names[0]}, census of {census}",
        "title:fr": f"Limites des {in_french}, {names[1]}, recensement de {census}",
        "license": "other",
        "providers": [
            {
                "name": "Statistics Canada / Statistique Canada",
                "roles": ["producer", "licensor"],
                "url": "https://www.statcan.gc.ca/",
            }
        ],
        "dguid": dguid,
    }
    item = _item(CENSUS, name, outline(area), properties, [_STATCAN_LICENCE])
    item["assets"] = {
        "data": {
            "href": f"{_FILES}/{CENSUS}/{name}.parquet",
            "type": "application/vnd.apache.parquet",
            "title": "GeoParquet",
            "roles": ["data"],
        }
    }
    return item


# --- Shapes of things -----------------------------------------------------------------------------
def _collection(id_: str, title: str, description: str, since: str, links: list[Json]) -> Json:
    return {
        "type": "Collection",
        "stac_version": "1.1.0",
        "id": id_,
        "title": title,
        "description": description,
        "keywords": ["Canada", "demonstration"],
        "license": "other",
        "providers": [
            {
                "name": "meshnode demonstration",
                "description": "Stands in for an institution",
                "roles": ["host"],
            }
        ],
        "extent": {
            "spatial": {"bbox": [[-141.0, 41.7, -52.6, 83.2]]},
            "temporal": {"interval": [[since, None]]},
        },
        "links": links,
    }


def _item(
    collection: str, id_: str, ring: list[list[float]], properties: Json, links: list[Json]
) -> Json:
    longitudes, latitudes = zip(*ring, strict=True)
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [],
        "id": id_,
        "collection": collection,
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": [min(longitudes), min(latitudes), max(longitudes), max(latitudes)],
        "properties": properties,
        "links": [
            {
                "rel": "collection",
                "href": f"{_FILES}/{collection}/collection.json",
                "type": "application/json",
                "title": collection,
            },
            *links,
        ],
        "assets": {},
    }


def _text(moment: datetime.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
