"""Arrow columns as JSON text, a whole column at a time: our stated serialisation.

Every function returns one text a row (binary, UTF-8), null where the row has no value. The bytes
are those of `json_text.written` (protocol/03-segments.md, S-61 to S-64). What JSON cannot hold is a
`ValueError` of the whole column: who needs to know which row it is asks again with fewer rows.
"""

from __future__ import annotations

import json
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely
from shapely.geometry import mapping

from meshnode.runtime.segments.json_text import written

Array = Any  # a pyarrow array: the library has no types

DEPTH_MAX: Final = 190  # an item is at most 200 deep

_ESCAPED: Final = r'["\\\x00-\x1f]'
_TEXT: Final = pa.binary()
# Python's datetime, in microseconds since 1970: other years are no RFC 3339 text.
_FIRST_US: Final = -62_135_596_800_000_000
_LAST_US: Final = 253_402_300_799_999_999
# Between these, numbers with a fraction are the same text in Arrow and in Python.
_ALIKE_MIN: Final = 1e-4
_ALIKE_MAX: Final = 1e10
_COLLECTION: Final = shapely.GeometryType.GEOMETRYCOLLECTION


def texts(column: Array, depth: int = 0) -> Array:
    """Write a column of any type that JSON has; `depth` is how many others it stands in.

    Raises:
        ValueError: a number, time or type that JSON does not have; text that is not UTF-8.
    """
    kind = column.type
    if depth > DEPTH_MAX:
        raise ValueError("it is nested too deep")
    if column.null_count == len(column):
        return pa.nulls(len(column), _TEXT)
    if pa.types.is_dictionary(kind):
        return texts(column.dictionary_decode(), depth)
    if pa.types.is_struct(kind):
        names = [field.name for field in kind]
        if len(set(names)) < len(names):
            raise ValueError("two members have one name")
        parts = (texts(part, depth + 1) for part in column.flatten())
        members = dict(zip(names, parts, strict=True))
        return pc.if_else(column.is_valid(), objects(members), None)
    if _is_list(kind):
        lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
        offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int32)
        return pc.if_else(
            column.is_valid(), lists(offsets, texts(column.flatten(), depth + 1)), None
        )
    return _plain(column)


def objects(members: dict[str, Array]) -> Array:
    """Write objects of these members, sorted by name; those that are null are left out."""
    parts = [_joined(f",{_quoted(name)}:", members[name]) for name in sorted(members)]
    inner = pc.binary_join_element_wise(*parts, b"", null_handling="replace", null_replacement=b"")
    return _joined("", pc.binary_replace_slice(inner, 0, 1, b"{"), "}")  # for the first comma


def lists(offsets: Array, members: Array) -> Array:
    """Write lists; `offsets` says where each begins among the members, and where the last ends."""
    grouped = pa.ListArray.from_arrays(pa.array(offsets), pc.fill_null(members, b"null"))
    return _joined("[", pc.binary_join(grouped, b","), "]")


def geojson(column: Array) -> Array:
    """Write a column of WKB as GeoJSON, heights kept.

    Raises:
        ValueError: coordinates that are not finite.
        shapely.errors.GEOSException: no WKB.
    """
    shapes = shapely.from_wkb(np.array(column.to_pylist(), dtype=object))
    kinds = np.stack([shapely.get_type_id(shapes), shapely.has_z(shapes)])
    is_odd = shapely.is_empty(shapes) | shapely.has_m(shapes)
    is_odd |= shapely.is_missing(shapes) | (kinds[0] == _COLLECTION)
    found, places = [], []
    for kind in np.unique(kinds, axis=1).T:
        is_kind = (kinds == kind[:, None]).all(axis=0)
        for chosen, write in ((is_kind & ~is_odd, _alike), (is_kind & is_odd, _each)):
            if chosen.any():
                found.append(write(shapes[chosen]))
                places.append(np.flatnonzero(chosen))
    return pa.concat_arrays(found).take(pa.array(np.argsort(np.concatenate(places))))


# --- Values without members -----------------------------------------------------------------------
def _plain(column: Array) -> Array:
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _strings(column.cast(pa.string()))
    if pa.types.is_boolean(kind):
        return pc.if_else(column, b"true", b"false")
    if pa.types.is_integer(kind):
        return column.cast(pa.string()).cast(_TEXT)
    if pa.types.is_floating(kind):
        return _doubles(column.cast(pa.float64()))
    if pa.types.is_timestamp(kind):
        return _times(column, "us")
    if pa.types.is_date(kind):
        return _times(column, "D")
    raise ValueError(f"it has a value of type {kind}")


def _strings(column: Array) -> Array:
    column.validate(full=True)
    column = column.cast(_TEXT)
    is_escaped = pc.fill_null(pc.match_substring_regex(column, _ESCAPED), False)
    if not pc.any(is_escaped).as_py():
        return _joined('"', column, '"')
    whole = [_quoted(raw.decode()).encode() for raw in column.filter(is_escaped).to_pylist()]
    return pc.replace_with_mask(_joined('"', column, '"'), is_escaped, pa.array(whole, type=_TEXT))


def _doubles(column: Array) -> Array:
    """Write doubles as Python does; Arrow, ten times as fast, differs where it is not asked."""
    is_given = column.is_valid().to_numpy(zero_copy_only=False)
    numbers = column.to_numpy(zero_copy_only=False)
    if not np.isfinite(numbers[is_given]).all():
        raise ValueError("a number is not finite")
    sizes = np.abs(numbers)
    is_alike = (sizes >= _ALIKE_MIN) & (sizes < _ALIKE_MAX) & (numbers != np.floor(numbers))
    is_other = is_given & ~is_alike
    others = [repr(number).encode() for number in numbers[is_other].tolist()]
    return pc.replace_with_mask(
        column.cast(pa.string()).cast(_TEXT), pa.array(is_other), pa.array(others, type=_TEXT)
    )


def _times(column: Array, unit: Literal["us", "D"]) -> Array:
    """Write moments, or days, cut to microseconds."""
    us = column.cast(pa.timestamp("us"), safe=False).cast(pa.int64())
    if pc.any(pc.or_(pc.less(us, _FIRST_US), pc.greater(us, _LAST_US))).as_py():
        raise ValueError("a time is outside the years 1 to 9999")
    moments: Any = pc.fill_null(us, 0).to_numpy().astype("datetime64[us]")
    text = pa.array(np.datetime_as_string(moments, unit=unit), mask=_is_null(column))
    if unit == "us":
        text = _joined("", pc.utf8_rtrim(pc.utf8_rtrim(text, "0"), ".").cast(_TEXT), "Z")
    return _joined('"', text.cast(_TEXT), '"')


# --- Geometries -----------------------------------------------------------------------------------
def _alike(shapes: Any) -> Array:  # noqa: ANN401 - numpy
    """Write shapes of one type and dimension from their coordinates, all at once."""
    _, coordinates, offsets = shapely.to_ragged_array(shapes)
    if any((np.diff(each) == 0).any() for each in offsets):
        return _each(shapes)  # a part of one is empty
    axes = [_doubles(pa.array(axis)) for axis in coordinates.T]
    text = _joined("[", pc.binary_join_element_wise(*axes, b","), "]")
    for each in offsets:
        text = lists(each.astype(np.int32), text)
    return _joined('{"coordinates":', text, f',"type":"{shapes[0].geom_type}"}}')


def _each(shapes: Any) -> Array:  # noqa: ANN401 - numpy
    found = [None if shape is None else written(mapping(shape)) for shape in shapes]
    return pa.array(found, type=_TEXT)


# --- Parts ----------------------------------------------------------------------------------------
def _joined(before: str, column: Array, after: str = "") -> Array:
    return pc.binary_join_element_wise(before.encode(), column, after.encode(), b"")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _is_null(column: Array) -> Any:  # noqa: ANN401 - numpy
    return column.is_null().to_numpy(zero_copy_only=False)


def _is_list(kind: Any) -> bool:  # noqa: ANN401 - pyarrow
    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )
