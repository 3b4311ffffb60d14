"""Is an item good enough to publish? STAC 1.0.0 and 1.1.0 core, and what no schema checks.

Runs at the publisher, who can mend the item. A receiving peer applies only the rules of
`projection`, which never change, so that peers with other versions of a validator agree on what is
visible. Nothing is ever fetched: extension schemas are named by the item and stay unread.

What the item specification's own schema refuses is refused; a doubtful thing that real catalogues
publish (a bbox that does not cover the geometry, longitudes a little over 180) is a warning.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from pydantic import ValidationError
from stac_pydantic import Item

from meshnode.runtime.segments.ordinary import is_ordinary
from meshnode.runtime.segments.projection import TIME_TEXT, BrokenItemError, Projection, project
from meshnode.runtime.segments.shapes import (
    BrokenShapeError,
    Measure,
    Shape,
    measures,
    shapes_of,
)

STAC_VERSIONS: Final = ("1.0.0", "1.1.0")

_REASONS_MAX: Final = 20  # of one item: more would bury the first ones
_LICENCE: Final = re.compile(r"[\w\-.+]+")
# RFC 3987: characters that no IRI reference contains as they are, and a % without its digits.
_NOT_IN_IRI: Final = re.compile(r'[\x00-\x20<>"{}|\\^`\x7f-\x9f]|%(?![0-9A-Fa-f]{2})')
_DANGEROUS_SCHEME: Final = re.compile(
    r"[\s\x00-\x1f]*(javascript|vbscript|file)\s*:", re.IGNORECASE
)
_ABSOLUTE: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_MARKUP: Final = re.compile(r"<\s*[a-zA-Z!/]")
_ROLES: Final = ("producer", "licensor", "processor", "host")


class Severity(Enum):
    """What a problem means for publishing."""

    REFUSE = "refuse"
    WARN = "warn"


@dataclass(frozen=True, slots=True)
class Problem:
    severity: Severity
    reason: str


@dataclass(frozen=True, slots=True)
class Checked:
    """What is wrong with an item: refusals, or else warnings, at most 20.

    `projection` and `shape` are those of an item without refusals.
    """

    problems: list[Problem]
    projection: Projection | None = None
    shape: Shape = None


def check_item(value: dict[str, Any], collection: str) -> list[Problem]:
    """Return what is wrong with an item that shall be published in `collection`.

    The refusals come first; at most 20 problems. An empty list, or one of warnings alone, means
    that the item can be written into a segment.
    """
    [checked] = check_items([value], collection)
    return checked.problems


def check_items(values: Sequence[dict[str, Any]], collection: str) -> list[Checked]:
    """Check many items as `check_item` does, in a fraction of the time."""
    found = [_projected(value, collection) for value in values]
    good = [position for position, one in enumerate(found) if isinstance(one, Projection)]
    shapes = shapes_of([values[position]["geometry"] for position in good])
    measured = zip(good, shapes, measures(shapes), strict=True)
    checked = [Checked(one) if isinstance(one, list) else Checked([]) for one in found]
    for position, shape, measure in measured:
        projection = found[position]
        assert isinstance(projection, Projection)
        checked[position] = _checked(values[position], projection, shape, measure)
    return checked


def _projected(value: dict[str, Any], collection: str) -> Projection | list[Problem]:
    version = value.get("stac_version")
    if version not in STAC_VERSIONS:
        supported = " and ".join(STAC_VERSIONS)
        return _refused([f"its stac_version is {version!r:.40}; {supported} are supported"])
    try:
        return project(value, collection)
    except BrokenItemError as error:
        return _refused([str(error)])


def _checked(
    value: dict[str, Any],
    projection: Projection,
    shape: Shape | BrokenShapeError,
    measure: Measure,
) -> Checked:
    is_broken = isinstance(shape, BrokenShapeError)
    is_sound = is_ordinary(value) and not is_broken
    if not is_sound and (reasons := list(_structure(value)) or list(_core(value))):
        return Checked(_refused(reasons))
    if is_broken:
        return Checked(_refused([f"its geometry is broken: {shape}"]))
    if reasons := list(_shape(measure, projection)):
        return Checked(_refused(reasons))
    warnings = _warnings(value, measure, projection)
    problems = [Problem(Severity.WARN, reason) for reason in warnings][:_REASONS_MAX]
    return Checked(problems, projection, shape)


def is_refused(problems: list[Problem]) -> bool:
    return any(problem.severity is Severity.REFUSE for problem in problems)


def is_dangerous(href: object) -> bool:
    """Say whether an address could run or read something on the reader's machine."""
    return isinstance(href, str) and _DANGEROUS_SCHEME.match(href) is not None


# --- Refusals -------------------------------------------------------------------------------------
def _refused(reasons: list[str]) -> list[Problem]:
    return [Problem(Severity.REFUSE, reason) for reason in reasons][:_REASONS_MAX]


def _structure(value: dict[str, Any]) -> Iterator[str]:
    try:
        Item.model_validate(value)
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_input=False):
            where = ".".join(str(step) for step in detail["loc"]) or "item"
            yield f"{where}: {detail['msg']}"


def _core(value: dict[str, Any]) -> Iterator[str]:
    """Apply the rules of the item specification that stac-pydantic leaves out."""
    has_link = any(link.get("rel") == "collection" for link in value["links"])
    if has_link and not isinstance(value.get("collection"), str):
        yield "it has a link with rel 'collection' but no collection"
    if not has_link and "collection" in value:
        yield "it has a collection but no link with rel 'collection'"
    extensions = value.get("stac_extensions") or []
    if len(set(map(str, extensions))) != len(extensions):
        yield "stac_extensions names one extension twice"
    yield from _common(value["properties"], "properties")
    for key, asset in value["assets"].items():
        where = f"assets.{key}"
        yield from _common(asset, where)
        yield from _href(asset, where)
        if "alternate" in asset:
            yield from _alternates(asset, where)
    for position, link in enumerate(value["links"]):
        yield from _href(link, f"links.{position}")
    if value["stac_version"] != "1.0.0" and not all(map(_is_absolute_self, value["links"])):
        yield "its link with rel 'self' is not an absolute address"


def _common(members: dict[str, Any], where: str) -> Iterator[str]:
    """Check the common metadata of the properties or of one asset."""
    for name, member in members.items():
        rule = COMMON.get(name)
        if rule is not None and not rule[0](member):
            yield f"{where}.{name} is not {rule[1]}"


def _href(members: dict[str, Any], where: str) -> Iterator[str]:
    href = members.get("href")
    if not isinstance(href, str) or not href:
        yield f"{where}.href is empty"
    elif is_dangerous(href):
        yield f"{where}.href {href!r:.60} could run or read something on the reader's machine"
    elif _NOT_IN_IRI.search(href):
        yield f"{where}.href {href!r:.60} is not an address (RFC 3987): escape its characters"


def _alternates(asset: dict[str, Any], where: str) -> Iterator[str]:
    """Check the addresses of the alternate-assets extension, which readers follow too."""
    alternates = asset.get("alternate")
    for key, alternate in alternates.items() if isinstance(alternates, dict) else ():
        if isinstance(alternate, dict) and is_dangerous(alternate.get("href")):
            yield f"{where}.alternate.{key}.href is no address of data"


def _is_absolute_self(link: dict[str, Any]) -> bool:
    return link.get("rel") != "self" or _ABSOLUTE.match(link["href"]) is not None


def _shape(measure: Measure, projection: Projection) -> Iterator[str]:
    """Check the geometry, and the bbox against it."""
    if measure.is_empty:
        yield "its geometry is empty"
        return
    bounds = measure.bounds
    west, south, east, north = bounds
    if not all(map(math.isfinite, bounds)):
        yield "its geometry has numbers that are not finite"
    elif south < -90 or north > 90 or west < -360 or east > 360:
        yield "its geometry leaves the world: longitude -360..360, latitude -90..90"
    elif _is_apart(bounds, projection):
        yield f"its bbox {list(projection.box)} does not touch its geometry {bounds}"


def _is_apart(bounds: tuple[float, float, float, float], projection: Projection) -> bool:
    west, south, east, north = projection.box
    if bounds[1] > north or bounds[3] < south:
        return True
    crosses = west > east
    return not crosses and (bounds[0] > east or bounds[2] < west)


# --- Warnings -------------------------------------------------------------------------------------
def _warnings(value: dict[str, Any], measure: Measure, projection: Projection) -> list[str]:
    return [
        *_shape_warnings(measure, projection),
        *_time_warnings(projection),
        *_text_warnings(value["properties"]),
    ]


def _shape_warnings(measure: Measure, projection: Projection) -> Iterator[str]:
    west, south, east, north = projection.box
    if measure.fault:
        yield f"its geometry is not simple: {measure.fault}"
    bounds = measure.bounds
    covers = south <= bounds[1] and bounds[3] <= north
    if west <= east:
        covers = covers and west <= bounds[0] and bounds[2] <= east
    if not covers:
        yield "its bbox does not cover its geometry: searches go by the bbox"
    if max(abs(west), abs(east)) > 180:
        yield "its bbox has longitudes outside -180..180: they are searched wrapped"


def _time_warnings(projection: Projection) -> Iterator[str]:
    at, start, end = projection.datetime_us, projection.start_us, projection.end_us
    if at is not None and start is not None and end is not None and not start <= at <= end:
        yield "its datetime is outside start_datetime..end_datetime"


def _text_warnings(properties: dict[str, Any]) -> Iterator[str]:
    for name in ("title", "description"):
        text = properties.get(name)
        if isinstance(text, str) and _MARKUP.search(text):
            yield f"its {name} has HTML, which is shown as plain text"


# --- Common metadata (STAC common-metadata.md) ----------------------------------------------------
def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(member, str) for member in value)


def _is_above_zero(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _is_time(value: object) -> bool:
    return isinstance(value, str) and TIME_TEXT.fullmatch(value) is not None


def _is_licence(value: object) -> bool:
    return isinstance(value, str) and _LICENCE.fullmatch(value) is not None


def _is_provider(value: object) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("name"), str) or not value["name"]:
        return False
    roles, address = value.get("roles", []), value.get("url", "")
    return (
        _is_texts(roles)
        and all(role in _ROLES for role in roles)
        and _is_text(value.get("description", ""))
        and isinstance(address, str)
        and not _NOT_IN_IRI.search(address)
        and not is_dangerous(address)
    )


def _is_providers(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_provider, value))


_Rule = tuple[Callable[[Any], bool], str]
COMMON: Final[dict[str, _Rule]] = {
    "title": (_is_text, "text"),
    "description": (_is_text, "text"),
    "platform": (_is_text, "text"),
    "constellation": (_is_text, "text"),
    "mission": (_is_text, "text"),
    "instruments": (_is_texts, "a list of texts"),
    "roles": (_is_texts, "a list of texts"),
    "gsd": (_is_above_zero, "a number above 0"),
    "created": (_is_time, "an RFC 3339 time in UTC"),
    "updated": (_is_time, "an RFC 3339 time in UTC"),
    "license": (
        _is_licence,
        "a licence identifier (SPDX, or 'other')",
    ),
    "providers": (_is_providers, "a list of providers with a name and known roles"),
}
