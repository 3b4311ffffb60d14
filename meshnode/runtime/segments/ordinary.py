"""Items that are plainly right: most are, and this says so at a tenth of the cost.

What `is_ordinary` accepts, stac-pydantic accepts, too, if the geometry makes a shape (its rings are
closed), and so do the rules of STAC that `validation` adds to it. Of anything else these are the
judges, who also say what is wrong. stac-pydantic makes models of every part of an item; these
schemas only look, and take fewer forms of a member than are right, where that is simpler.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

from pydantic_core import CoreSchema, SchemaValidator
from pydantic_core import core_schema as cs


def _object(
    required: dict[str, CoreSchema],
    optional: dict[str, CoreSchema] | None = None,
    given: dict[str, CoreSchema] | None = None,
    *,
    is_closed: bool = False,
) -> CoreSchema:
    """An object with these members; with others, too, unless it is closed.

    What is `optional` may be null or absent, what is `given` may be absent alone.
    """
    fields = {name: cs.typed_dict_field(each) for name, each in required.items()}
    fields |= {
        name: cs.typed_dict_field(cs.nullable_schema(each), required=False)
        for name, each in (optional or {}).items()
    }
    fields |= {
        name: cs.typed_dict_field(each, required=False) for name, each in (given or {}).items()
    }
    return cs.typed_dict_schema(fields, extra_behavior="forbid" if is_closed else "ignore")


def _geometry(kind: str, coordinates: CoreSchema) -> CoreSchema:
    """A geometry without a bbox or anything else of its own."""
    members = {"type": cs.literal_schema([kind]), "coordinates": coordinates}
    return _object(members, is_closed=True)


_TEXT: Final = cs.str_schema()
_TEXTS: Final = cs.list_schema(_TEXT)
_FILLED: Final = cs.str_schema(min_length=1)
_TIME: Final = cs.datetime_schema(tz_constraint="aware")
_UTC: Final = cs.chain_schema(
    [
        cs.str_schema(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}(:[0-9]{2}){2}(\.[0-9]+)?Z$"),
        _TIME,
    ]
)
# A relative one, or one of a scheme that data has; no character that an address escapes (RFC 3987).
_ADDRESS: Final = cs.str_schema(
    pattern=r"^(https?://|s3://|gs://|ftp://|[A-Za-z0-9_-]*[/.])"
    r'([^\x00-\x20<>"{}|\\^`\x7f-\x9f%]|%[0-9A-Fa-f]{2})*$'
)
_NUMBER: Final = cs.float_schema()
_RING: Final = cs.list_schema(cs.list_schema(_NUMBER, min_length=2, max_length=2), min_length=4)
_RINGS: Final = cs.list_schema(_RING, min_length=1)
_GEOMETRY: Final = cs.tagged_union_schema(
    {
        "Point": _geometry("Point", cs.list_schema(_NUMBER, min_length=2, max_length=3)),
        "Polygon": _geometry("Polygon", _RINGS),
        "MultiPolygon": _geometry("MultiPolygon", cs.list_schema(_RINGS, min_length=1)),
    },
    "type",
)
_ROLE: Final = cs.literal_schema(["producer", "licensor", "processor", "host"])
_PROVIDER: Final = _object(
    {"name": _FILLED},
    given={"description": _TEXT, "roles": cs.list_schema(_ROLE), "url": _ADDRESS},
)
_COMMON: Final[dict[str, CoreSchema]] = {  # metadata of the properties and of each asset
    **dict.fromkeys(("title", "description", "platform", "constellation", "mission"), _TEXT),
    **dict.fromkeys(("instruments", "roles"), _TEXTS),
    **dict.fromkeys(("created", "updated"), _UTC),
    "license": cs.str_schema(pattern=r"^[A-Za-z0-9_.+-]+$"),
    "providers": cs.list_schema(_PROVIDER),
    "gsd": cs.float_schema(gt=0, strict=True),
}
_PROPERTIES: Final = _object(
    {"datetime": cs.nullable_schema(_TIME)},
    dict.fromkeys(("start_datetime", "end_datetime"), _TIME),
    _COMMON,
)
_ASSET: Final = _object({"href": _ADDRESS}, {"type": _TEXT, "alternate": cs.none_schema()}, _COMMON)
_LINK: Final = _object({"href": _ADDRESS, "rel": _FILLED}, {"type": _TEXT, "title": _TEXT})
_ITEM: Final = SchemaValidator(
    _object(
        {
            "id": _FILLED,
            "type": cs.literal_schema(["Feature"]),
            "stac_version": cs.literal_schema(["1.0.0", "1.1.0"]),
            "geometry": _GEOMETRY,
            "bbox": cs.list_schema(_NUMBER, min_length=4, max_length=4),
            "properties": _PROPERTIES,
            "assets": cs.dict_schema(_TEXT, _ASSET),
            "links": cs.list_schema(_LINK),
        },
        {"stac_extensions": _TEXTS},
        {"collection": _TEXT},
    )
)
_URL: Final = SchemaValidator(cs.url_schema())
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


def is_ordinary(value: dict[str, Any]) -> bool:
    """Say whether an item is plainly right. It has passed `project`."""
    return (
        _ITEM.isinstance_python(value)
        and _are_distinct(value.get("stac_extensions") or [])
        and _is_linked(value["links"], has_collection="collection" in value)
    )


def _are_distinct(extensions: list[str]) -> bool:
    return len(set(extensions)) == len(extensions) and all(map(_is_address, extensions))


def _is_linked(links: list[dict[str, Any]], *, has_collection: bool) -> bool:
    """Say whether a link leads to the collection, if there is one, and `self` is absolute."""
    is_led = False
    for link in links:
        rel = link["rel"]
        if rel == "self" and not _SCHEME.match(link["href"]):
            return False
        is_led = is_led or rel == "collection"
    return is_led == has_collection


@lru_cache(maxsize=1024)  # a catalogue names few extensions, in every item
def _is_address(text: str) -> bool:
    return _URL.isinstance_python(text)
