"""From the parameters of a request to the one query model of the index.

Every refusal names the parameter.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from meshnode.errors import UsageError
from meshnode.runtime.api.naming import Names
from meshnode.runtime.api.refusals import named
from meshnode.runtime.api.requests import (
    CRS84,
    LIMIT_DEFAULT,
    LIMIT_MAX,
    FieldsBody,
    SearchPost,
)
from meshnode.runtime.index.cql2.checking import parse_filter
from meshnode.runtime.index.fields import Fields, parse_fields
from meshnode.runtime.index.query import Query
from meshnode.runtime.index.shapes import parse_geometry
from meshnode.runtime.index.sorting import NEWEST_FIRST, SortKey, check_sort, parse_sort
from meshnode.runtime.index.times import parse_interval
from meshnode.runtime.index.tokens import read_token
from meshnode.runtime.operator.collections import CollectionName

NEXT = "next"  # before the place that a token names
PREV = "prev"
# As the fields extension recommends.
FIELDS_DEFAULT = (
    "type", "stac_version", "id", "geometry", "bbox", "links", "assets", "properties.datetime",
    "properties.start_datetime", "properties.end_datetime", "collection",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wanted:
    """A page of a search. `query` is None where nothing can match: no such collection."""

    query: Query | None
    fields: Fields | None
    limit: int
    proof: bool


def of_get(names: Names, given: Mapping[str, Any]) -> Wanted:
    """Read GET parameters; `collections` may be a list already.

    Raises:
        UsageError: one that cannot be read.
    """
    filter_ = given.get("filter")
    with named("intersects"):
        shape = _json(given["intersects"]) if given.get("intersects") else None
    with named("bbox"):
        bbox = _numbers(given["bbox"]) if given.get("bbox") else None
    with named("sortby"):
        sort = parse_sort(given["sortby"]) if given.get("sortby") else NEWEST_FIRST
    with named("fields"):
        fields = parse_fields(given["fields"]) if given.get("fields") else None
    return _wanted(
        names,
        {
            **given,
            "collections": _list(given.get("collections")),
            "ids": _list(given.get("ids")),
            "intersects": shape,
            "bbox": bbox,
            "filter": filter_,
            "q": _list(given.get("q")),
        },
        sort,
        fields,
    )


def of_post(names: Names, body: SearchPost) -> Wanted:
    """Read the body of a POST.

    Raises:
        UsageError: a member that cannot be read.
    """
    given = dict(body)
    with named("sortby"):
        keys = [_sort_key(each.field, each.direction) for each in body.sortby or ()]
        if keys:
            check_sort(keys)
    with named("fields"):
        fields = _fields(body.fields)
    for name in ("q", "ids", "collections"):
        given[name] = _list(given[name])
    return _wanted(names, given, tuple(keys) or NEWEST_FIRST, fields)


def require_known(given: Iterable[str], known: frozenset[str]) -> None:
    """Refuse parameters that there are not (OGC API Features, 7.5.4): a typing error would else
    answer with too much.

    Raises:
        UsageError: there is such a parameter.
    """
    for name in given:
        if name not in known:
            like = difflib.get_close_matches(name[:100], known, n=1)
            hint = f"did you mean {like[0]}?" if like else ", ".join(sorted(known))
            raise UsageError(f"{name[:100]}: there is no such parameter", hint=hint)


def _wanted(
    names: Names, given: Mapping[str, Any], sort: tuple[SortKey, ...], fields: Fields | None
) -> Wanted:
    if given.get("bbox") is not None and given.get("intersects") is not None:
        raise UsageError("bbox: not together with intersects")
    if given.get("filter_crs") not in (None, CRS84):
        raise UsageError(f"filter-crs: only {CRS84} is known here")
    asked, pairs = given.get("collections"), _pairs(names, given.get("collections"))
    limit = min(given.get("limit") or LIMIT_DEFAULT, LIMIT_MAX)
    after, before = _places(given.get("token"), sort)
    with named("ids"):
        ids = tuple(given.get("ids") or ())
        base = Query(ids=ids)
    with named("bbox"):
        box = None if given.get("bbox") is None else tuple(given["bbox"])
        Query(bbox=box)
    with named("datetime"):
        said = given.get("datetime")
        interval = parse_interval(said) if said else None
        Query(interval=interval)
    with named("intersects"):
        said = given.get("intersects")
        shape = parse_geometry(said) if said is not None else None
    with named("q"):
        text = _phrases(given["q"]) if given.get("q") else None
        Query(text=text)
    with named("filter"):
        said = given.get("filter")
        filter_ = parse_filter(said) if said not in (None, "") else None
        Query(filter=filter_)
    query = Query(
        ids=base.ids,
        pairs=pairs,
        bbox=box,
        interval=interval,
        intersects=shape,
        text=text,
        filter=filter_,
        sort=sort,
        limit=limit + 1,  # one more says whether there is another page
        after=after,
        before=before,
    )
    is_vain = bool(asked) and not pairs
    return Wanted(None if is_vain else query, fields, limit, bool(given.get("proof")))


def _pairs(names: Names, asked: Sequence[str] | None) -> tuple[CollectionName, ...]:
    found = (pair for name in asked or () for pair in names.find(name))
    with named("collections"):
        return Query(pairs=tuple(dict.fromkeys(found))).pairs


def _fields(body: FieldsBody) -> Fields | None:
    """Read the fields of a POST; an `include` that is there and empty means the default ones."""
    if not body.include and not body.exclude:
        return None
    is_default = not body.include and "include" in body.model_fields_set
    excluded = body.exclude or ()
    included = body.include or ()
    if is_default:
        included = [name for name in FIELDS_DEFAULT if name not in excluded]
    return parse_fields(",".join([*included, *(f"-{name}" for name in excluded)]))


def _places(token: str | None, sort: Sequence[SortKey]) -> tuple[str | None, str | None]:
    if not token:
        return None, None
    kind, _, place = token.partition(":")
    with named("token"):
        if kind not in (NEXT, PREV):
            raise UsageError("it names no page", hint="start again from the first page")
        read_token(place, sort, old=False)
    return (place, None) if kind == NEXT else (None, place)


def _phrases(words: Sequence[str]) -> str:
    """Return for `Query.text` what the basic class of the free-text extension means: any of these,
    the words of one together and in order.
    """
    phrases = (word.replace('"', " ").strip() for word in words)
    found = [f'"{phrase}"' for phrase in phrases if phrase]
    if not found:
        raise UsageError("there is no word to look for")
    return " OR ".join(found)


def _sort_key(name: str, direction: str) -> SortKey:
    return SortKey(name.removeprefix("properties."), direction == "desc")


def _list(said: str | Sequence[str] | None) -> list[str] | None:
    if not said:
        return None
    return said.split(",") if isinstance(said, str) else list(said)


def _numbers(said: str) -> list[float]:
    try:
        return [float(part) for part in said.split(",")]
    except ValueError as error:
        raise UsageError(f"{said[:80]!r} is not numbers with commas between them") from error


def _json(said: str) -> object:
    try:
        return from_json(said)
    except ValueError as error:
        raise UsageError(f"it is not JSON: {error}"[:200]) from error
