"""What a search finds, said once more without any index: every item is looked at.

Written against docs/search.md and OGC 21-065r2, not against the code under test. A filter is CQL2
JSON whose kinds fit; true, false, and None for neither.
"""

from __future__ import annotations

import json
import operator
import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any

import shapely
from shapely.affinity import translate

from meshnode.core.identifiers import CatalogueId
from meshnode.core.rows import CheckedRow
from meshnode.runtime.index.query import Query

NUMBERS = ("eo:cloud_cover", "gsd")  # columns by kind; other properties take the other side's
TEXTS = ("id", "collection", "platform", "constellation", "proj:code")
TIMES = ("datetime", "start_datetime", "end_datetime", "created", "updated")
FAR = 1 << 62
_MATHS = {"+": operator.add, "-": operator.sub, "*": operator.mul}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Shown:
    """A row that is shown."""

    catalogue: CatalogueId
    collection: str
    row: CheckedRow

    @property
    def item(self) -> dict[str, Any]:
        item: dict[str, Any] = parsed(self.row.item)
        return item

    @property
    def moment(self) -> int | None:
        row = self.row
        known = [t for t in (row.datetime_us, row.end_us, row.start_us) if t is not None]
        return known[0] if known else None

    @property
    def span(self) -> tuple[int | None, int | None]:
        row = self.row
        first = row.datetime_us if row.start_us is None else row.start_us
        return first, row.datetime_us if row.end_us is None else row.end_us

    def value(self, name: str) -> Any:
        """Return what a property is compared as; times are microseconds."""
        said = self.item.get("properties", {})
        own = {
            "id": self.row.id,
            "collection": self.collection,
            "datetime": self.moment,
            "start_datetime": self.span[0],
            "end_datetime": self.span[1],
        }
        if name in own:
            return own[name]
        if name == "proj:code" and name not in said and isinstance(said.get("proj:epsg"), int):
            return f"EPSG:{said['proj:epsg']}"
        value = said.get(name)
        if name in NUMBERS and (isinstance(value, bool) or not isinstance(value, int | float)):
            return None
        if name in TEXTS and not isinstance(value, str):
            return None
        return micros(value) if name in TIMES else value


@cache
def parsed(raw: bytes) -> Any:
    return json.loads(raw)


def micros(text: Any) -> int | None:
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if moment.tzinfo is None else (moment - _EPOCH) // timedelta(microseconds=1)


# --- The whole search -----------------------------------------------------------------------------
def search(rows: Iterable[Shown], query: Query, said: dict[str, Any]) -> list[Shown]:
    """Return the matches in order. `said` has what the query keeps in another form."""
    found = [row for row in rows if matches(row, query, said)]
    found.sort(key=lambda row: (row.catalogue, row.collection, row.row.id))
    for key in reversed(query.sort):
        values = {id(row): row.value(key.name) for row in found}
        if key.name == "datetime":
            values = {name: -FAR if value is None else value for name, value in values.items()}
        there = [row for row in found if values[id(row)] is not None]
        # Equals stay as they stood, also when the order is turned round.
        there.sort(key=lambda row: values[id(row)], reverse=key.is_descending)
        found = there + [row for row in found if values[id(row)] is None]
    return found


def matches(row: Shown, query: Query, said: dict[str, Any]) -> bool:
    return (
        (not query.ids or row.row.id in query.ids)
        and (not query.collections or row.collection in query.collections)
        and (query.bbox is None or _touches(row, query.bbox))
        and (query.interval is None or _overlaps(row.span, query.interval))
        and ("intersects" not in said or spatial("s_intersects", row, said["intersects"]) is True)
        and ("words" not in said or has_words(row, said["words"]))
        and (query.filter is None or truth(query.filter, row) is True)
    )


# --- Places ---------------------------------------------------------------------------------------
def _touches(row: Shown, bbox: tuple[float, ...]) -> bool:
    if len(bbox) == 6:
        own = row.item["bbox"]
        if len(own) == 6 and not (own[2] <= bbox[5] and own[5] >= bbox[2]):
            return False
        bbox = (bbox[0], bbox[1], bbox[3], bbox[4])
    return boxes_touch(bbox, row.row.bbox)


def boxes_touch(one, other) -> bool:
    is_level = one[1] <= other[3] and other[1] <= one[3]
    return is_level and any(
        a[0] <= b[1] and b[0] <= a[1] for a in longitudes(one) for b in longitudes(other)
    )


def longitudes(box) -> list[tuple[float, float]]:
    return [(box[0], box[2])] if box[0] <= box[2] else [(box[0], 180.0), (-180.0, box[2])]


@cache
def _geometry(text: str) -> Any:
    return shapely.from_geojson(text, on_invalid="ignore")


def spatial(name: str, row: Shown, literal: dict[str, Any]) -> bool | None:
    wanted = _literal_shape(literal)
    own = _geometry(json.dumps(row.item["geometry"]))
    if name != "s_disjoint" and not boxes_touch(wanted.bounds, row.row.bbox):
        return False
    if own is None:  # GEOS cannot read it: who asks for its place never finds it
        return None
    turns = [own]
    if name == "s_intersects":  # the same place, whichever way round the world it was written
        turns += [translate(own, -360)] * (own.bounds[2] > 180)
        turns += [translate(own, 360)] * (own.bounds[0] < -180)
    try:
        return any(bool(getattr(turn, name[2:])(wanted)) for turn in turns)
    except shapely.errors.GEOSException:
        return None


def _literal_shape(literal: dict[str, Any]) -> Any:
    if "bbox" not in literal:
        return _geometry(json.dumps(literal))
    west, south, east, north = literal["bbox"]
    pieces = longitudes((west, south, east, north))
    boxes = [shapely.box(a, south, b, north) for a, b in pieces]
    return boxes[0] if len(boxes) == 1 else shapely.multipolygons(boxes)


# --- Times ----------------------------------------------------------------------------------------
def _overlaps(span, interval) -> bool:
    first, last = span
    if first is None:
        return False
    if interval[0] is not None and (last is None or last < interval[0]):
        return False
    return interval[1] is None or first <= interval[1]


def day_or_moment(text: str) -> tuple[int, int]:
    if len(text) == 10:
        start = datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
        first = (start - _EPOCH) // timedelta(microseconds=1)
        return first, first + 86_400_000_000 - 1
    moment = micros(text)
    assert moment is not None
    return moment, moment


_ALLEN: dict[str, Callable[[int, int, int, int], bool]] = {
    "t_after": lambda a, b, c, d: a > d,
    "t_before": lambda a, b, c, d: b < c,
    "t_contains": lambda a, b, c, d: a < c and b > d,
    "t_disjoint": lambda a, b, c, d: not (a <= d and b >= c),
    "t_during": lambda a, b, c, d: c < a and d > b,
    "t_equals": lambda a, b, c, d: (a, b) == (c, d),
    "t_finishedby": lambda a, b, c, d: a < c and b == d,
    "t_finishes": lambda a, b, c, d: a > c and b == d,
    "t_intersects": lambda a, b, c, d: a <= d and b >= c,
    "t_meets": lambda a, b, c, d: b == c,
    "t_metby": lambda a, b, c, d: a == d,
    "t_overlappedby": lambda a, b, c, d: c < a < d < b,
    "t_overlaps": lambda a, b, c, d: a < c < b < d,
    "t_startedby": lambda a, b, c, d: a == c and b > d,
    "t_starts": lambda a, b, c, d: a == c and b < d,
}
TEMPORAL = tuple(_ALLEN)


def _ends(said: Any, row: Shown) -> tuple[int | None, int | None]:
    match said:
        case {"property": "datetime"}:
            return row.span
        case {"property": name}:
            value = row.value(name)
            value = value if name in TIMES else micros(value)
            return value, value
        case {"interval": [first, last]}:
            low = -FAR if first == ".." else day_or_moment(first)[0]
            return low, FAR if last == ".." else day_or_moment(last)[1]
        case {"timestamp": text} | {"date": text}:
            return day_or_moment(text)
        case _:
            raise AssertionError(said)


def _temporal(name: str, one: Any, other: Any, row: Shown) -> bool | None:
    first, last, start, end = (*_ends(one, row), *_ends(other, row))
    if first is None or last is None or start is None or end is None:
        return None
    return _ALLEN[name](first, last, start, end)


# --- Words ----------------------------------------------------------------------------------------
def tokens(text: str) -> list[str]:
    plain = "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))
    return re.findall(r"[^\W_]+", plain.lower())


def texts(row: Shown) -> list[list[str]]:
    found = [row.row.id]
    for name, value in row.item.get("properties", {}).items():
        if re.fullmatch(r"(title|description|keywords)([:_-][a-zA-Z]{2})?", name):
            said = value if isinstance(value, list) else [value]
            found += [text for text in said if isinstance(text, str)]
    return [tokens(text) for text in found]


def has_words(row: Shown, groups: list[tuple[str, list[str]]]) -> bool:
    """Say whether each group is there: ("all", phrases), ("not", phrases), ("begin", words)."""
    running = [token for each in texts(row) for token in each]
    for kind, phrases in groups:
        found = any(_has_phrase(running, tokens(each), kind == "begin") for each in phrases)
        if found == (kind == "not"):
            return False
    return True


def _has_phrase(running: list[str], phrase: list[str], is_begin: bool) -> bool:
    for start in range(len(running) - len(phrase) + 1):
        here = running[start : start + len(phrase)]
        if here == phrase:
            return True
        if is_begin and here[:-1] == phrase[:-1] and here[-1].startswith(phrase[-1]):
            return True
    return False


# --- CQL2 -----------------------------------------------------------------------------------------
def truth(said: Any, row: Shown) -> bool | None:
    match said:
        case bool():
            return said
        case {"op": "and", "args": args}:
            found = [truth(arg, row) for arg in args]
            return False if False in found else None if None in found else True
        case {"op": "or", "args": args}:
            found = [truth(arg, row) for arg in args]
            return True if True in found else None if None in found else False
        case {"op": "not", "args": [arg]}:
            denied = truth(arg, row)
            return None if denied is None else not denied
        case {"op": name, "args": [one, other]} if name[:2] in ("s_", "t_", "a_"):
            return _related(name, one, other, row)
    return _predicate(said, row)


def _related(name: str, one: Any, other: Any, row: Shown) -> bool | None:
    if name.startswith("s_"):
        return spatial(name, row, other if "property" in one else one)
    if name.startswith("t_"):
        return _temporal(name, one, other, row)
    return _array(name, row.value(one["property"]), other)


def _predicate(said: Any, row: Shown) -> bool | None:
    match said:
        case {"op": "isNull", "args": [{"property": name}]}:
            return row.value(name) is None
        case {"op": "between", "args": [value, low, high]}:
            both = [_compare(">=", value, low, row), _compare("<=", value, high, row)]
            return False if False in both else None if None in both else True
        case {"op": "in", "args": [value, options]}:
            found = [_compare("=", value, option, row) for option in options]
            return True if True in found else None if None in found else False
        case {"op": "like", "args": [value, pattern]}:
            return _like(_value(value, row, str), _value(pattern, row, str))
        case {"op": sign, "args": [left, right]}:
            return _compare(sign, left, right, row)
        case _:
            raise AssertionError(said)


def _array(name: str, have: Any, wanted: list[Any]) -> bool | None:
    if not isinstance(have, list):
        return None
    contains = all(each in have for each in wanted)
    contained = all(each in wanted for each in have)
    overlaps = any(each in have for each in wanted)
    return {"a_contains": contains, "a_containedby": contained, "a_overlaps": overlaps}.get(
        name, contains and contained
    )


def _like(text: Any, pattern: Any) -> bool | None:
    if text is None:
        return None
    parts = re.findall(r"\\(.)|([%_])|(.)", pattern, re.DOTALL)
    made = "".join(
        {"%": ".*", "_": "."}[wild] if wild else re.escape(escaped or plain)
        for escaped, wild, plain in parts
    )
    return re.fullmatch(made, text, re.DOTALL) is not None


def _kind(said: Any) -> type | None:
    match said:
        case bool() | str():
            return type(said)
        case {"property": name}:
            if name in NUMBERS:
                return float
            return str if name in TEXTS else int if name in TIMES else None
        case {"timestamp": _} | {"date": _}:
            return int
        case {"op": "casei" | "accenti"}:
            return str
        case _:
            return float


def _compare(sign: str, left: Any, right: Any, row: Shown) -> bool | None:
    kinds = [kind for kind in (_kind(left), _kind(right)) if kind is not None]
    for kind in [int] if int in kinds else kinds[:1] or [float, str, bool]:
        one, other = _value(left, row, kind), _value(right, row, kind)
        if one is not None and other is not None:
            return _judge(sign, one, other)
    return None


def _judge(sign: str, one: Any, other: Any) -> bool:
    (a, b), (c, d) = (each if isinstance(each, tuple) else (each, each) for each in (one, other))
    is_equal = bool(a <= d and b >= c)
    judged = {"=": is_equal, "<>": not is_equal, "<": b < c, ">": a > d, "<=": a <= d, ">=": b >= c}
    return bool(judged[sign])


def _value(said: Any, row: Shown, kind: type) -> Any:
    """Return a value of the kind, None if there is none; a time is a first and a last moment."""
    match said:
        case {"property": name}:
            value = row.value(name)
            if kind is int:
                value = value if name in TIMES else micros(value)
                return None if value is None else (value, value)
        case {"timestamp": text} | {"date": text}:
            return day_or_moment(text)
        case {"op": "casei", "args": [arg]}:
            text = _value(arg, row, str)
            return None if text is None else text.casefold()
        case {"op": "accenti", "args": [arg]}:
            text = _value(arg, row, str)
            return None if text is None else _plain(text)
        case {"op": sign, "args": [left, right]}:
            return _calculated(sign, _value(left, row, float), _value(right, row, float))
        case str() if kind is int:
            return day_or_moment(said)
        case _:
            value = said
    if kind is float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return float(value) if is_number else None
    return value if isinstance(value, kind) else None


def _plain(text: str) -> str:
    marks = "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))
    return unicodedata.normalize("NFC", marks)


def _calculated(sign: str, left: float | None, right: float | None) -> float | None:
    if left is None or right is None or (sign == "/" and right == 0):
        return None
    value = left / right if sign == "/" else _MATHS[sign](left, right)
    return None if value != value else value
