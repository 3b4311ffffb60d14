"""Items whose structure is plainly right: most are, and this says so at a tenth of the cost.

What `is_ordinary` accepts, stac-pydantic accepts, too, if the geometry makes a shape (its rings are
closed). Of anything else stac-pydantic is the judge, who also says what is wrong. It makes models
of every part of an item; these schemas only look.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from pydantic_core import CoreSchema, SchemaValidator
from pydantic_core import core_schema as cs


def _object(
    required: dict[str, CoreSchema],
    optional: dict[str, CoreSchema] | None = None,
    *,
    is_closed: bool = False,
) -> CoreSchema:
    """An object with these members; with others, too, unless it is closed."""
    fields = {name: cs.typed_dict_field(each) for name, each in required.items()}
    fields |= {
        name: cs.typed_dict_field(cs.nullable_schema(each), required=False)
        for name, each in (optional or {}).items()
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
_PROVIDER: Final = _object({"name": _FILLED}, {"description": _TEXT, "roles": _TEXTS, "url": _TEXT})
_PROPERTIES: Final = _object(
    {"datetime": cs.nullable_schema(_TIME)},
    {
        **dict.fromkeys(("start_datetime", "end_datetime", "created", "updated"), _TIME),
        **dict.fromkeys(("title", "description", "license"), _TEXT),
        **dict.fromkeys(("platform", "constellation", "mission"), _TEXT),
        "instruments": _TEXTS,
        "providers": cs.list_schema(_PROVIDER),
        "gsd": cs.float_schema(gt=0),
    },
)
_ASSET: Final = _object(
    {"href": _FILLED}, {"type": _TEXT, "title": _TEXT, "description": _TEXT, "roles": _TEXTS}
)
_LINK: Final = _object({"href": _FILLED, "rel": _FILLED}, {"type": _TEXT, "title": _TEXT})
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
        {"collection": _TEXT, "stac_extensions": _TEXTS},
    )
)
_URL: Final = SchemaValidator(cs.url_schema())


def is_ordinary(value: dict[str, Any]) -> bool:
    """Say whether the structure of an item is plainly right. It has passed `project`."""
    return _ITEM.isinstance_python(value) and all(
        map(_is_address, value.get("stac_extensions") or ())
    )


@lru_cache(maxsize=1024)  # a catalogue names few extensions, in every item
def _is_address(text: str) -> bool:
    return _URL.isinstance_python(text)
