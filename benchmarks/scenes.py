"""An archive of satellite scenes: items as long as real ones, on land, in several collections.

`python -m benchmarks.scenes --items 100000` writes them to standard output, a line each.

Places are in three of ten cells of ten degrees, about the share of the earth that is land, and a
scene is a degree wide: a box of one degree and three years finds about 80 of a million.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final

from meshnode.runtime.datasets.collection import minimal_collection
from meshnode.runtime.index.times import parse_moment

COLLECTIONS: Final = tuple(f"scenes-{number:02}" for number in range(20))
PLATFORMS: Final = ("landsat-8", "landsat-9", "sentinel-2a", "sentinel-2b")
WORDS: Final = ("river", "lake", "forest", "tundra", "coast", "glacier", "prairie", "island")
BANDS: Final = ("blue", "green", "red", "nir", "swir", "qa", "thumbnail")
BEGIN: Final = datetime(2015, 1, 1, tzinfo=UTC)
DAYS: Final = 3_652  # ten years
SEARCHED_DAYS: Final = 1_095
WIDTH_DEGREES: Final = 1.0
CELL_DEGREES: Final = 10

Box = tuple[float, float, float, float]


def scene(collection: int, number: int) -> dict[str, Any]:
    """Return one item of about 1.5 kB, the same at each call."""
    rng = random.Random(collection << 32 | number)  # noqa: S311 - places and weather
    west, south = _corner(rng)
    east, north = round(west + WIDTH_DEGREES, 6), round(south + WIDTH_DEGREES, 6)
    name, platform = COLLECTIONS[collection], rng.choice(PLATFORMS)
    at = BEGIN + timedelta(seconds=rng.randrange(DAYS * 86_400))
    day, id_ = f"{at:%Y%m%d}", f"{name}-{number:07}"
    folder = f"https://data.example/{name}/{day}/{id_}"
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": ["https://stac-extensions.github.io/eo/v2.0.0/schema.json"],
        "id": id_,
        "collection": name,
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": [west, south, east, north],
        "properties": {
            "datetime": f"{at:%Y-%m-%dT%H:%M:%SZ}",
            "title": f"{rng.choice(WORDS)} and {rng.choice(WORDS)} on {day}",
            "platform": platform,
            "instruments": [platform[-1]],
            "gsd": rng.choice((10, 20, 30)),
            "eo:cloud_cover": round(rng.uniform(0, 100), 2),
            "view:off_nadir": round(rng.uniform(0, 30), 2),
            "proj:code": f"EPSG:326{rng.randrange(1, 61):02}",
        },
        "links": [{"rel": "collection", "href": "./collection.json"}],
        "assets": {
            band: {"href": f"{folder}/{band}.tif", "type": "image/tiff", "roles": ["data"]}
            for band in BANDS
        },
    }


def scenes(collection: int, numbers: range) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Yield items and their JSON."""
    for number in numbers:
        value = scene(collection, number)
        yield json.dumps(value, separators=(",", ":")).encode(), value


def all_scenes(count: int) -> Iterator[bytes]:
    """Yield the JSON of all items of an archive, collection by collection."""
    for collection in range(len(COLLECTIONS)):
        for raw, _ in scenes(collection, range(count // len(COLLECTIONS))):
            yield raw


def documents() -> list[dict[str, Any]]:
    return [json.loads(minimal_collection(name)) for name in COLLECTIONS]


def boxes(count: int, seed: int = 3) -> list[tuple[Box, tuple[int, int]]]:
    """Return boxes of one degree on land, each with three years in microseconds since 1970."""
    rng = random.Random(seed)  # noqa: S311 - places on a map
    found = []
    for _ in range(count):
        west, south = _corner(rng)
        first = BEGIN + timedelta(days=rng.randrange(DAYS - SEARCHED_DAYS))
        ends = [_microseconds(first + timedelta(days=days)) for days in (0, SEARCHED_DAYS)]
        found.append(((west, south, west + 1, south + 1), (ends[0], ends[1])))
    return found


def ids(count: int, items: int, seed: int = 4) -> list[tuple[str, str]]:
    """Return the collections and ids of some items of an archive of so many."""
    rng = random.Random(seed)  # noqa: S311 - a sample
    each = items // len(COLLECTIONS)
    names = [(rng.choice(COLLECTIONS), rng.randrange(each)) for _ in range(count)]
    return [(name, f"{name}-{number:07}") for name, number in names]


def _corner(rng: random.Random) -> tuple[float, float]:
    west, south = rng.choice(_cells())
    return (
        round(west + rng.uniform(0, CELL_DEGREES - WIDTH_DEGREES), 6),
        round(south + rng.uniform(0, CELL_DEGREES - WIDTH_DEGREES), 6),
    )


@cache
def _cells() -> Sequence[tuple[int, int]]:
    rng = random.Random(1)  # noqa: S311 - where land is
    lands = range(-180, 180, CELL_DEGREES), range(-60, 80, CELL_DEGREES)
    return [(west, south) for west in lands[0] for south in lands[1] if rng.random() < 0.3]


def _microseconds(moment: datetime) -> int:
    found = parse_moment(moment.isoformat())
    assert found is not None
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scenes", description=__doc__)
    parser.add_argument("--items", type=int, default=100_000)
    for raw in all_scenes(parser.parse_args().items):
        sys.stdout.buffer.write(raw + b"\n")


if __name__ == "__main__":
    main()
