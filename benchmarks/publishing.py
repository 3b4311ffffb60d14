"""`python -m benchmarks.publishing`: what one item costs until it is signed, and small segments.

The steps of publishing from STAC-GeoParquet, each for all items in turn, in one process in which
the collector of garbage runs as seldom as it does there; the best round counts. Then how long the
segments of few items are beside the JSON of these.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from pydantic_core import from_json

from benchmarks import samples
from meshnode.core.entries import ItemName
from meshnode.core.identifiers import sha256
from meshnode.runtime.collector import seldom_collected
from meshnode.runtime.maintainer.difference import Difference
from meshnode.runtime.segments.columns import Rows
from meshnode.runtime.segments.items import ItemText, read_items
from meshnode.runtime.segments.json_text import written
from meshnode.runtime.segments.segment import ItemPair, write_rows
from meshnode.runtime.segments.shapes import iso_wkb
from meshnode.runtime.segments.validation import Checked, check_items

ITEMS: Final = 20_000
ROUNDS: Final = 3
_PART: Final = 2_048  # items that are checked at once
_BANDS: Final = 13  # assets of an item, as a scene of a satellite has them
_FEW: Final = (1, 2, 3, 5, 8, 14, 64)

Step = Callable[[], object]


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="meshnode-publishing-") as text:
        folder = Path(text)
        with seldom_collected():
            for name, seconds in _measured(_steps(folder)).items():
                sys.stdout.write(f"{name:36} {seconds / ITEMS * 1e6:6.1f} us\n")
        for count in _FEW:
            json_bytes, size_bytes = _small(folder, count)
            ratio = f"{size_bytes / json_bytes:.2f} x the JSON"
            sys.stdout.write(f"segment of {count:2} items {size_bytes:10,} bytes, {ratio}\n")


def _steps(folder: Path) -> dict[str, Step]:
    path = folder / "items.parquet"
    samples.stac_geoparquet(path, ITEMS)
    raws = [item.raw for item in read_items(path) if isinstance(item, ItemText)]
    values = [from_json(raw) for raw in raws]
    checked = _checked(values)
    rows = _rows(raws, values, checked)
    document = samples.COLLECTION_JSON
    return {
        "a row is read": lambda: sum(1 for _ in read_items(path)),
        "or an item of an API: exact JSON": lambda: [written(value) for value in values],
        "compared with what is published": lambda: _compare(raws),
        "parsed": lambda: [from_json(raw) for raw in raws],
        "checked": lambda: _checked(values),
        "made a row of the segment": lambda: _rows(raws, values, checked),
        "written": lambda: write_rows(folder / "segment", samples.COLLECTION, document, rows),
    }


def _measured(steps: dict[str, Step]) -> dict[str, float]:
    """Return the CPU-seconds of each step, of its best round."""
    best = dict.fromkeys(steps, float("inf"))
    for _ in range(ROUNDS):
        for name, step in steps.items():
            began = time.process_time()
            step()
            best[name] = min(best[name], time.process_time() - began)
    return best


def _compare(raws: list[bytes]) -> None:
    difference = Difference()
    for number, raw in enumerate(raws):
        difference.look(ItemName(samples.COLLECTION, str(number)), sha256(raw))


def _checked(values: list[dict[str, object]]) -> list[Checked]:
    parts = (values[start : start + _PART] for start in range(0, len(values), _PART))
    return [one for part in parts for one in check_items(part, samples.COLLECTION)]


def _rows(raws: list[bytes], values: list[dict[str, object]], checked: list[Checked]) -> Rows:
    rows = Rows()
    wkbs = iso_wkb([one.shape for one in checked])
    for raw, value, one, wkb in zip(raws, values, checked, wkbs, strict=True):
        assert one.projection is not None
        rows.add(raw, value, one.projection, wkb)
    return rows


def _small(folder: Path, count: int) -> tuple[int, int]:
    """Return the bytes of the JSON of so many items with many assets, and of their segment."""
    pairs = [_with_bands(value) for _, value in samples.items(count)]
    size_bytes = samples.segment(folder / "small", pairs).size_bytes
    return sum(len(raw) for raw, _ in pairs), size_bytes


def _with_bands(value: dict[str, object]) -> ItemPair:
    bands = {
        f"B{band:02}": {
            "href": f"https://data.example/{value['id']}/B{band:02}.tif",
            "type": "image/tiff; application=geotiff; profile=cloud-optimized",
            "roles": ["data"],
        }
        for band in range(_BANDS)
    }
    changed = value | {"assets": bands}
    return json.dumps(changed).encode(), changed


if __name__ == "__main__":
    main()
