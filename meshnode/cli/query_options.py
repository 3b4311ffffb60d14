"""Options that say what to find, and the query that the peer is asked with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from meshnode.control import Message
from meshnode.errors import UsageError

GEOMETRY_BYTES_MAX: Final = 8 << 20  # of a GeoJSON file; the peer takes far smaller geometries

BboxOption = Annotated[
    str | None,
    typer.Option(
        help="west,south,east,north in degrees; west > east crosses the antimeridian. With six "
        "numbers the third and the sixth are metres."
    ),
]
DatetimeOption = Annotated[
    str | None,
    typer.Option("--datetime", help="RFC 3339 instant or interval: 2020-01-01T00:00:00Z/.."),
]
CollectionOption = Annotated[
    list[str] | None,
    typer.Option("--collection", help="Only these collections, by id or title (repeatable)."),
]
CataloguesOption = Annotated[
    list[str] | None, typer.Option("--catalogue", help="Only these catalogues, by id (repeatable).")
]
DguidOption = Annotated[
    list[str] | None,
    typer.Option(
        "--dguid",
        help="Only this place of Statistics Canada: 2021A00056001009, or A00056001009 for every "
        "year (repeatable).",
    ),
]
IdsOption = Annotated[list[str] | None, typer.Option("--id", help="Only these items (repeatable).")]
TextOption = Annotated[
    str | None,
    typer.Option(
        "--text",
        "-q",
        help='Words of id, title, description or keywords; "a phrase", begin*, -without, OR.',
    ),
]
FilterOption = Annotated[
    str | None, typer.Option("--filter", help="A condition in CQL2, as text or JSON.")
]
IntersectsOption = Annotated[
    str | None,
    typer.Option("--intersects", help="A GeoJSON file, or GeoJSON, that items share a point with."),
]
CurrentOption = Annotated[
    bool, typer.Option("--current", help="Only catalogues that are up to date and not forked.")
]


def query_of(
    bbox: str | None = None,
    datetime: str | None = None,
    collections: list[str] | None = None,
    catalogues: list[str] | None = None,
    ids: list[str] | None = None,
    dguids: list[str] | None = None,
    *,
    text: str | None = None,
    filter_: str | None = None,
    intersects: str | None = None,
    current: bool = False,
) -> Message:
    """Return the arguments of a search.

    Raises:
        UsageError: a box that is no numbers, a geometry that is no GeoJSON.
    """
    query = {
        "bbox": _numbers(bbox) if bbox else None,
        "datetime": datetime,
        "collections": collections,
        "catalogues": catalogues,
        "ids": ids,
        "dguids": dguids,
        "intersects": _geometry(intersects) if intersects is not None else None,
        "current": current,
    }
    # An empty text or filter is a mistake that the peer names, not the absence of one.
    said = {"text": text, "filter": filter_}
    return {key: value for key, value in query.items() if value} | {
        key: value for key, value in said.items() if value is not None
    }


def _numbers(bbox: str) -> list[float]:
    try:
        return [float(part) for part in bbox.split(",")]
    except ValueError as error:
        raise UsageError(f"--bbox {bbox!r} is not west,south,east,north") from error


def _geometry(said: str) -> dict[str, Any]:
    """Return the geometry of GeoJSON: of a collection of features all of them together."""
    text = said if said.lstrip().startswith("{") else _text_of(Path(said))
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--intersects is not JSON: {error}", hint=_GEOMETRY_HINT) from error
    if not isinstance(value, dict):
        raise UsageError("--intersects is not a GeoJSON object", hint=_GEOMETRY_HINT)
    features = value.get("features")
    if value.get("type") != "FeatureCollection" or not isinstance(features, list):
        return value
    shapes = [each.get("geometry") for each in features if isinstance(each, dict)]
    if len(shapes) == 1 and isinstance(shapes[0], dict):
        return shapes[0]
    return {"type": "GeometryCollection", "geometries": shapes}


_GEOMETRY_HINT: Final = "name a file with a geometry, a Feature or a FeatureCollection"


def _text_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(GEOMETRY_BYTES_MAX + 1)
    except OSError as error:
        problem = f"--intersects {path}: {error.strerror or error}"
        raise UsageError(problem, hint=_GEOMETRY_HINT) from error
    if len(raw) > GEOMETRY_BYTES_MAX:
        raise UsageError(f"{path} has more than {GEOMETRY_BYTES_MAX} bytes", hint=_GEOMETRY_HINT)
    return raw.decode(errors="replace")
