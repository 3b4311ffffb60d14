"""What may be published: the official core schemas' verdict, and what no schema sees."""

import json
from functools import cache
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from stac_pydantic import Item

from meshnode.runtime.segments import validation
from meshnode.runtime.segments.ordinary import is_ordinary
from meshnode.runtime.segments.projection import BrokenItemError, project
from meshnode.runtime.segments.shapes import BrokenShapeError, shapes_of
from meshnode.runtime.segments.validation import Severity, check_item, check_items, is_refused
from tests.runtime.stac_samples import COLLECTION, item, square


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return the sample item with one member, named by a dotted path, set or taken out."""
    result: dict[str, Any] = json.loads(json.dumps(item()))
    *steps, last = path.split(".")
    target: Any = result
    for step in steps:
        target = target[int(step)] if isinstance(target, list) else target[step]
    place = int(last) if isinstance(target, list) else last
    if value is ...:
        del target[place]
    else:
        target[place] = value
    return result


def reasons(value: dict[str, Any], severity: Severity) -> list[str]:
    return [p.reason for p in check_item(value, COLLECTION) if p.severity is severity]


def test_a_good_item_has_no_problems():
    assert check_item(item(), COLLECTION) == []


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("type", "feature", '"type"'),
        ("stac_version", "1.0.0-rc.2", "stac_version"),
        ("stac_version", ..., "stac_version"),
        ("id", "", "its id"),
        ("id", "x" * 256, "longer than 255"),
        ("id", "a\nb", "control characters"),
        ("id", "../../etc", "'..' step"),
        ("id", "a/../b", "'..' step"),
        ("id", 7, "its id"),
        ("collection", "other", "its collection is 'other'"),
        ("collection", ..., "no collection"),
        ("links", [], "no link with rel 'collection'"),
        ("geometry", None, "no geometry"),
        ("geometry", {"type": "Circle"}, "no geometry"),
        ("geometry", {"type": "Polygon", "coordinates": []}, ""),
        ("geometry", {"type": "Point", "coordinates": [0, 91]}, ""),
        ("geometry", square(10, 10), "does not touch its geometry"),
        ("bbox", ..., "bbox"),
        ("bbox", [1, 2, 3], "4 or 6 numbers"),
        ("bbox", [-75.5, 45.5, -75.0, 45.0], "south"),
        ("bbox", [-75.5, 45.0, 500, 45.5], "longitudes"),
        ("bbox", [-75.5, 45.0, -75.0, 90.5], "latitudes"),
        ("bbox", [True, 45.0, -75.0, 45.5], "numbers"),
        ("properties.datetime", None, "needs a datetime"),
        ("properties.datetime", "2021-06-01 12:00:00Z", "RFC 3339"),
        ("properties.datetime", "2021-06-01T12:00:00+02:00", "RFC 3339"),
        ("properties.datetime", "2021-02-30T12:00:00Z", "no time"),
        ("properties.created", "yesterday", "created"),
        ("properties.instruments", "camera", "instruments"),
        ("properties.gsd", 0, "gsd"),
        ("properties.license", "my licence!", "license"),
        ("properties.providers", [{"name": "x", "roles": ["king"]}], "providers"),
        ("assets.image.href", "javascript:alert(1)", "reader's machine"),
        ("assets.image.href", " JavaScript:alert(1)", "reader's machine"),
        ("assets.image.href", "file:///etc/passwd", "reader's machine"),
        ("assets.image.href", "a b.tif", "RFC 3987"),
        ("assets.image.href", "a%2.tif", "RFC 3987"),
        ("assets.image.href", "", "assets.image.href"),
        ("assets.image.alternate", {"x": {"href": "file:/etc"}}, "no address"),
        ("links.0.href", "..\\collection.json", "RFC 3987"),
        ("links", [{"rel": "collection"}], "href"),
        ("assets.image", "a.tif", "assets.image"),
        ("properties.providers", [{"name": ""}], "providers"),
        ("properties.providers", [{"name": "x", "url": "javascript:1"}], "providers"),
        ("properties", [], "no properties"),
        ("properties.start_datetime", "2021-01-01T00:00:00Z", "both start_datetime"),
        ("bbox", [-75.5, 45.0, 1e300, 45.5], "far outside"),
        ("stac_extensions", ["eo"], "URL"),
        ("stac_extensions", ["https://a.org/s.json"] * 2, "twice"),
    ],
)
def test_a_broken_item_is_refused_with_its_reason(path, value, reason):
    found = reasons(changed(path, value), Severity.REFUSE)
    assert any(reason in one for one in found), found


def test_an_end_before_its_start_is_refused():
    value = item()
    value["properties"] |= {
        "start_datetime": "2021-01-02T00:00:00Z",
        "end_datetime": "2021-01-01T00:00:00Z",
    }
    assert reasons(value, Severity.REFUSE) == ["its end_datetime is before its start_datetime"]


def test_an_unclosed_ring_is_refused():
    value = item()
    value["geometry"]["coordinates"][0].pop()
    assert len(reasons(value, Severity.REFUSE)) == 1


def test_a_relative_self_link_is_refused_from_1_1_on():
    value = item()
    value["links"].append({"rel": "self", "href": "./one.json"})
    assert reasons(value, Severity.REFUSE) == [
        "its link with rel 'self' is not an absolute address"
    ]
    value["stac_version"] = "1.0.0"
    assert reasons(value, Severity.REFUSE) == []


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("bbox", [-75.4, 45.0, -75.0, 45.5], "does not cover"),
        ("properties.title", "<script>alert(1)</script>", "HTML"),
    ],
)
def test_a_doubtful_item_is_only_warned_about(path, value, reason):
    problems = check_item(changed(path, value), COLLECTION)
    assert not is_refused(problems)
    assert [reason in problem.reason for problem in problems] == [True]


def test_longitudes_beyond_180_are_warned_about():
    value = item("pacific", west=179.8)
    assert [p.severity for p in check_item(value, COLLECTION)] == [Severity.WARN]


def test_a_box_across_the_antimeridian_is_good():
    value = item()
    parts = [square(179.5, 10), square(-180, 10)]
    value["geometry"] = {
        "type": "MultiPolygon",
        "coordinates": [part["coordinates"] for part in parts],
    }
    value["bbox"] = [179.5, 10, -179.5, 10.5]
    assert not is_refused(check_item(value, COLLECTION))


def test_a_hundred_faults_give_at_most_twenty_reasons():
    value = item()
    value["assets"] = {str(n): {"href": "a b"} for n in range(100)}
    assert len(check_item(value, COLLECTION)) == 20


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
) | st.sampled_from(["2020-02-30T00:00:00Z", "2020-01-01T00:00:00", "1", [[[1, 2]]], [1, 2, 3]])
PATHS = [
    *("id", "type", "stac_version", "stac_extensions", "collection", "geometry", "bbox"),
    *("geometry.type", "geometry.bbox", "geometry.coordinates", "geometry.coordinates.0"),
    *("geometry.coordinates.0.0", "geometry.coordinates.0.0.0", "assets", "assets.image"),
    *("properties", "links", "links.0", "links.0.href", "links.0.rel", "links.0.type"),
    *(f"assets.image.{name}" for name in ("href", "title", "type", "roles", "description")),
    *(f"properties.{name}" for name in ("datetime", "start_datetime", "created", "title", "gsd")),
    *(f"properties.{name}" for name in ("license", "platform", "instruments", "providers")),
]
COMMON = [
    *(f"{part}.{name}" for part in ("properties", "assets.image") for name in validation.COMMON),
    *("assets.image.href", "assets.image.alternate", "links.0.href", "links.0.rel", "collection"),
    *("stac_extensions", "properties.providers.0.url", "properties.providers.0.roles"),
]
TELLING = st.sampled_from(
    [
        *("javascript:alert(1)", "file:/etc/passwd", "a b", "100%", "é%20", "self", "collection"),
        *("2020-02-30T00:00:00Z", "2020-01-01T24:00:00Z", "2020-01-01T00:00:00+00:00", "CC BY"),
        *({"a": {"href": " javascript :x"}}, ["host"], ["owner"], 0, -1, True),
        *([{"name": "A", "url": "vbscript:x"}], [{"name": "A", "roles": None}], "1.5", None),
        *(["https://example.org/a", "https://example.org/a"], ["a", 1]),
    ]
)


@given(st.sampled_from(PATHS), JSON | st.just(...))
@example("geometry.bbox", [1])
@example("properties.providers", [{"name": ""}])
@example("stac_extensions", ["no address"])
@example("links.0.title", 7)
def test_what_is_ordinary_is_good_to_stac_pydantic(path, member):
    try:
        value = changed(path, member)
    except KeyError:  # a member taken out that was not there
        return
    if can_be_shown(value) and is_ordinary(value):
        Item.model_validate(value)


@given(st.sampled_from([*PATHS, *COMMON]), TELLING | JSON | st.just(...))
@example("assets.image.alternate", {"a": {"href": "file:x"}})
@example("links.0.rel", "self")
@example("links.0.rel", "parent")
@example("properties.updated", "2020-01-01T24:00:00Z")
@example("assets.image.gsd", "1.5")
@example("assets.image.title", None)
@example("properties.providers", [{"name": "A", "roles": ["owner"]}])
def test_an_ordinary_item_gets_the_verdict_of_the_long_way(path, member):
    try:
        value = changed(path, member)
    except (KeyError, IndexError, TypeError):  # a member of what is not there
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(validation, "is_ordinary", lambda value: False)
        wanted = check_item(value, COLLECTION)
    assert check_item(value, COLLECTION) == wanted


def can_be_shown(value: dict[str, Any]) -> bool:
    """Say whether it can be projected and its geometry makes a shape: both are checked beside."""
    try:
        project(value, COLLECTION)
    except BrokenItemError:
        return False
    return not isinstance(shapes_of([value["geometry"]])[0], BrokenShapeError)


def test_items_as_they_should_be_are_ordinary():
    assert is_ordinary(item())
    assert is_ordinary(changed("geometry", {"type": "Point", "coordinates": [1, 2.5, 3]}))


def test_many_items_are_checked_as_one_is():
    values = [
        item("good"),
        changed("bbox", [0, 0, 0, 99]),
        changed("geometry.coordinates", [[[0, 0]]]),
        changed("bbox", [-75.4, 45.0, -75.0, 45.5]),
    ]
    found = check_items(values, COLLECTION)
    assert [one.problems for one in found] == [check_item(each, COLLECTION) for each in values]
    assert [one.projection is not None for one in found] == [True, False, False, True]
    assert found[0].shape.bounds == (-75.5, 45.0, -75.0, 45.5)


@pytest.mark.slow
def test_real_items_get_the_verdict_of_the_official_core_schemas(shared):
    schemas = json.loads((shared / "data/stac/schemas.json").read_bytes())
    lines = (shared / "data/stac/items.ndjson").read_bytes().splitlines()
    values = [json.loads(line)["item"] for line in lines]
    wanted = [is_valid(value, schemas) for value in values]
    found = [not is_refused(check_item(v, v.get("collection") or "any")) for v in values]
    assert found == wanted
    assert sum(found) == 1_669


def is_valid(value: dict[str, Any], schemas: dict[str, Any]) -> bool:
    """Judge as an oracle: the official schema of the item's version, geometry present."""

    @cache
    def validator(version: str) -> Any:
        root = f"https://schemas.stacspec.org/v{version}/item-spec/json-schema/item.json"
        found = schemas.get(root)
        read = lambda address: schemas.get(address.split("#")[0], {})  # noqa: E731
        return found and jsonschema_rs.validator_for(found, retriever=read)

    judge = validator(str(value.get("stac_version")))
    return bool(judge and value.get("geometry") and judge.is_valid(value))
