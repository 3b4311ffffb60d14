"""What can be asked, as stac-fastapi and OpenAPI take it: GET parameters and POST bodies.

Owns the names and the descriptions of the parameters. Values are read in `wanted`, where the
command line's are.
"""

# No `from __future__ import annotations`: FastAPI reads the annotations of these classes as they
# are. Fields without a default must come first, so classes repeat some instead of inheriting them.
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field

from meshnode.runtime.api.framework import APIRequest

LIMIT_DEFAULT: Final = 10
LIMIT_MAX: Final = 1_000  # items of one page; more are asked for and given in several

_BBOX: Final = (
    "west,south,east,north in degrees, or west,south,lowest,east,north,highest with metres; "
    "west > east crosses the antimeridian. Not together with `intersects`."
)
_INTERSECTS: Final = "A GeoJSON geometry that items have a point in common with."
_DATETIME: Final = (
    "An RFC 3339 time, or `start/end` with `..` for an open end; an item matches if its own time "
    "overlaps it, ends included."
)
_LIMIT: Final = f"Items of a page; at most {LIMIT_MAX}, more are given in several pages."
_TOKEN: Final = "The page, as the links `next` and `prev` of an answer name it."  # noqa: S105
_SORTBY: Final = "Properties with commas between them, `-` for the greatest first: `-datetime,id`."
_FIELDS: Final = "Members of items with commas between them, `-` leaves one out: `id,-assets`."
_FILTER: Final = "A condition in CQL2."
_LANG: Final = "The notation of `filter`."
_CRS: Final = "The coordinates of `filter`: longitude and latitude, as they are without it."
_Q: Final = (
    "Words with commas between them; an item matches if one is in its id, title, description or "
    "keywords. Several words without a comma stand together."
)
_PROOF: Final = "Say of each item which catalogue, segment and writer signed it."
_COLLECTIONS: Final = "Ids of collections with commas between them."
_IDS: Final = "Ids of items with commas between them."

CRS84: Final = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"

CollectionId = Annotated[str, Path(description="The collection's id.", max_length=1000)]
ItemId = Annotated[str, Path(description="The item's id.", max_length=4000)]
Bbox = Annotated[str | None, Query(description=_BBOX, examples=["-135.3,60.6,-134.9,60.8"])]
Intersects = Annotated[str | None, Query(description=_INTERSECTS)]
Datetime = Annotated[str | None, Query(description=_DATETIME, examples=["2021-01-01T00:00:00Z/.."])]
Limit = Annotated[int, Query(description=_LIMIT, ge=1)]
Token = Annotated[str | None, Query(description=_TOKEN)]
Sortby = Annotated[str | None, Query(description=_SORTBY, examples=["-datetime"])]
Fields = Annotated[str | None, Query(description=_FIELDS, examples=["id,properties.title"])]
Filter = Annotated[
    str | None, Query(alias="filter", description=_FILTER, examples=["eo:cloud_cover < 10"])
]
Lang = Annotated[
    Literal["cql2-text", "cql2-json"] | None, Query(alias="filter-lang", description=_LANG)
]
Crs = Annotated[str | None, Query(alias="filter-crs", description=_CRS, examples=[CRS84])]
Words = Annotated[str | None, Query(description=_Q, examples=["orthophoto,LiDAR"])]
Proof = Annotated[bool, Query(description=_PROOF)]
Collections = Annotated[str | None, Query(description=_COLLECTIONS)]
Ids = Annotated[str | None, Query(description=_IDS)]


@dataclass
class SearchGet(APIRequest):  # type: ignore[misc]
    """GET /search."""

    collections: Collections = None
    ids: Ids = None
    bbox: Bbox = None
    intersects: Intersects = None
    datetime: Datetime = None
    q: Words = None
    filter: Filter = None
    filter_lang: Lang = None
    filter_crs: Crs = None
    sortby: Sortby = None
    fields: Fields = None
    limit: Limit = LIMIT_DEFAULT
    token: Token = None
    proof: Proof = False


@dataclass
class ItemsGet(APIRequest):  # type: ignore[misc]
    """GET /collections/{collection_id}/items."""

    collection_id: CollectionId
    bbox: Bbox = None
    datetime: Datetime = None
    q: Words = None
    filter: Filter = None
    filter_lang: Lang = None
    filter_crs: Crs = None
    sortby: Sortby = None
    fields: Fields = None
    limit: Limit = LIMIT_DEFAULT
    token: Token = None
    proof: Proof = False


@dataclass
class ItemGet(APIRequest):  # type: ignore[misc]
    """GET /collections/{collection_id}/items/{item_id}."""

    collection_id: CollectionId
    item_id: ItemId
    proof: Proof = False


@dataclass
class CollectionsGet(APIRequest):  # type: ignore[misc]
    """GET /collections."""

    limit: Annotated[int, Query(description="Collections of a page.", ge=1)] = 100
    token: Token = None


class SortKeyBody(BaseModel):
    """One key of an order."""

    model_config = ConfigDict(extra="forbid")

    field: str
    direction: Literal["asc", "desc"] = "asc"


class FieldsBody(BaseModel):
    """Members that items have, or have not."""

    model_config = ConfigDict(extra="forbid")

    include: list[str] | None = None
    exclude: list[str] | None = None


class SearchPost(BaseModel):
    """POST /search."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    collections: list[str] | str | None = Field(default=None, description="Ids of collections.")
    ids: list[str] | str | None = Field(default=None, description="Ids of items.")
    bbox: list[float] | None = Field(default=None, max_length=6, description=_BBOX)
    intersects: dict[str, Any] | None = Field(default=None, description=_INTERSECTS)
    datetime: str | None = Field(default=None, description=_DATETIME)
    q: list[str] | str | None = Field(default=None, description=_Q)
    filter: dict[str, Any] | str | bool | None = Field(default=None, description=_FILTER)
    filter_lang: Literal["cql2-text", "cql2-json"] | None = Field(
        default=None, alias="filter-lang", description=_LANG
    )
    filter_crs: str | None = Field(default=None, alias="filter-crs", description=_CRS)
    sortby: list[SortKeyBody] | None = Field(default=None, description=_SORTBY)
    fields: FieldsBody = Field(default_factory=FieldsBody, description=_FIELDS)
    limit: int | None = Field(default=LIMIT_DEFAULT, ge=1, description=_LIMIT)
    token: str | None = Field(default=None, description=_TOKEN)
    proof: bool = Field(default=False, description=_PROOF)


PARAMETERS: Final = {
    "search": frozenset({each.replace("_", "-") for each in SearchGet.__dataclass_fields__}),
    "items": frozenset(
        {each.replace("_", "-") for each in ItemsGet.__dataclass_fields__} - {"collection-id"}
    ),
    "item": frozenset({"proof"}),
    "collections": frozenset(CollectionsGet.__dataclass_fields__),
}
