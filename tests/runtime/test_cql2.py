"""Filters: what CQL2 text becomes, what is refused and how, and the limits that come first."""

from __future__ import annotations

import json

import pytest

from meshnode.errors import UsageError
from meshnode.runtime.index.cql2 import checking
from meshnode.runtime.index.cql2.checking import parse_filter
from meshnode.runtime.index.cql2.compiling import box_of, compile_filter
from meshnode.runtime.index.query import Query

A, B = {"property": "a"}, {"property": "b"}


def op(name: str, *args: object) -> dict[str, object]:
    return {"op": name, "args": list(args)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a = 1", op("=", A, 1)),
        ("a != 'o''brien'", op("<>", A, "o'brien")),
        ('"odd name" >= -1.5e3', op(">=", {"property": "odd name"}, -1500.0)),
        ("eo:cloud_cover < 10", op("<", {"property": "eo:cloud_cover"}, 10)),
        ("a=1 or b=2 and a=3", op("or", op("=", A, 1), op("and", op("=", B, 2), op("=", A, 3)))),
        ("NOT a = 1 AND b = 2", op("and", op("not", op("=", A, 1)), op("=", B, 2))),
        ("(a = 1 OR a = 2) AND b", op("and", op("or", op("=", A, 1), op("=", A, 2)), B)),
        ("a NOT BETWEEN 1 AND 2", op("not", op("between", A, 1, 2))),
        ("a BETWEEN 1 AND 2 AND b IS NULL", op("and", op("between", A, 1, 2), op("isNull", B))),
        ("a NOT IN ('x')", op("not", op("in", A, ["x"]))),
        ("a LIKE '%x'", op("like", A, "%x")),
        ("casei(a) = casei('X')", op("=", op("casei", A), op("casei", "X"))),
        ("a + 2 * -b > 1", op(">", op("+", A, op("*", 2, op("*", -1, B))), 1)),
        (
            "a > TIMESTAMP('2020-01-01T00:00:00Z')",
            op(">", A, {"timestamp": "2020-01-01T00:00:00Z"}),
        ),
        ("a = DATE('2020-01-01')", op("=", A, {"date": "2020-01-01"})),
        ("T_DURING(a, INTERVAL('..', b))", op("t_during", A, {"interval": ["..", B]})),
        ("A_EQUALS(a, ('x', 1, TRUE))", op("a_equals", A, ["x", 1, True])),
        ("A_EQUALS(a, ())", op("a_equals", A, [])),
        ("order = nothing", op("=", {"property": "order"}, {"property": "nothing"})),
        ("false", False),
    ],
)
def test_cql2_text_is_read_as_its_json(text, expected):
    assert parse_filter(text) == expected
    if isinstance(expected, dict):
        assert parse_filter(json.dumps(expected)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("POINT(1 -2)", {"type": "Point", "coordinates": [1, -2]}),
        ("POINT Z (1 2 3.5)", {"type": "Point", "coordinates": [1, 2, 3.5]}),
        ("LINESTRING(1 2, 3 4)", {"type": "LineString", "coordinates": [[1, 2], [3, 4]]}),
        ("POLYGON((0 0,1 0,1 1,0 0))",
         {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}),
        ("MULTIPOINT(1 2, 3 4)", {"type": "MultiPoint", "coordinates": [[1, 2], [3, 4]]}),
        ("MULTIPOINT((1 2), (3 4))", {"type": "MultiPoint", "coordinates": [[1, 2], [3, 4]]}),
        ("GEOMETRYCOLLECTION(POINT(1 2))",
         {"type": "GeometryCollection",
          "geometries": [{"type": "Point", "coordinates": [1, 2]}]}),
        ("BBOX(170, -10, -170, 10)", {"bbox": [170, -10, -170, 10]}),
    ],
)  # fmt: skip
def test_well_known_text_is_read_as_geojson(text, expected):
    found = parse_filter(f"S_INTERSECTS(geometry, {text})")
    assert found == op("s_intersects", {"property": "geometry"}, expected)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("a = ", "at its end"),
        ("(a = 1", "at its end"),
        ("", "at its end"),
        ("a = 1 b", "at 'b'"),
        ("a = $x", "at '$x'"),
        ("a IN ()", "at ')'"),
        ("a = 'x", 'at "\'x"'),
    ],
)
def test_what_is_not_cql2_is_refused_with_its_place(text, where):
    with pytest.raises(UsageError, match="not CQL2") as caught:
        parse_filter(text)
    assert str(caught.value).endswith(where)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 20_000,
        "NOT " * 4_000 + "a = 1",
        "a = 1 AND " * 1_500 + "a = 1",
        json.dumps(op("in", A, list(range(4_000)))),
        "[" * 300 + "]" * 300,
        '{"op":"not","args":[' * 500 + "true" + "]}" * 500,
    ],
    ids=lambda text: text[:12],
)
def test_a_filter_over_a_limit_is_refused(text):
    with pytest.raises(UsageError):
        parse_filter(text)


def test_brackets_cost_no_depth():
    assert parse_filter("(" * 8_000 + "a = 1" + ")" * 8_000) == op("=", A, 1)


def test_the_number_of_values_is_limited_in_json_that_came_parsed():
    with pytest.raises(UsageError, match="too large"):
        checking.check(op("in", A, [0] * checking.NODES_MAX))


@pytest.mark.parametrize(
    ("filter_", "said"),
    [
        (op("drop table", A), "'drop table' of 1 arguments"),
        (op("=", A), "'=' of 1 arguments"),
        (op("casei", "x"), "'casei' of 1 arguments"),
        ({"op": "and"}, "no list of args"),
        (op("and"), "'and' of 0 arguments"),
        (op("and", 5), "neither true nor false"),
        (op("=", {"property": "platform"}, 5), "compares a text with a number"),
        (op("<", {"property": "gsd"}, "5"), "compares a number with a text"),
        (op("<", {"property": "datetime"}, "yesterday"), "'yesterday' is no time"),
        (op("=", A, {"timestamp": "2020"}), "'2020' is no time"),
        (op("=", {"property": "geometry"}, 1), "geometry is a place"),
        (op("=", A, 10**400), "beyond all bounds"),
        (op("=", A, "\ud800"), "half a character"),
        (op("like", A, B), "LIKE takes a text"),
        (op("in", A, []), "no values"),
        (op("+", A, 1), "'+' of 2 arguments"),
        (op("=", A, op("div", A, 2)), "'div' is nothing that can be compared"),
        (op("s_intersects", A, {"type": "Point", "coordinates": [0, 0]}), "the property geometry"),
        (op("s_intersects", {"property": "geometry"}, {"type": "Point", "coordinates": [0, 91]}),
         "not on the globe"),
        (op("s_intersects", {"property": "geometry"}, {"type": "Point", "coordinates": ["x"]}),
         "no GeoJSON geometry"),
        (op("s_intersects", {"property": "geometry"}, {"type": "Polygon", "coordinates": []}),
         "empty"),
        (op("s_intersects", {"property": "geometry"},
            {"type": "Polygon", "coordinates": [[[0, 0], [2, 2], [2, 0], [0, 2], [0, 0]]]}),
         "not valid"),
        (op("s_intersects", {"property": "geometry"}, {"bbox": [0, 1]}), "4 or 6 numbers"),
        (op("t_after", A, {"interval": ["2020-01-01"]}), "a start and an end"),
        (op("a_contains", A, [{"a": 1}]), "a list of values"),
        (op("a_contains", {"property": "platform"}, ["x"]), "a list of values"),
    ],
)  # fmt: skip
def test_what_cannot_be_compiled_is_refused_with_a_sentence(filter_, said):
    with pytest.raises(UsageError) as caught:
        Query(filter=filter_)
    assert said in str(caught.value)


def test_every_value_is_bound_and_no_text_of_the_filter_enters_the_statement():
    evil = "x') OR 1=1 --"
    clause = compile_filter(op("and", op("=", A, evil), op("like", B, evil)), lambda _name: None)
    assert "1=1" not in clause.sql
    assert clause.values == ("a", evil, "b", evil)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("S_WITHIN(geometry, BBOX(1,2,3,4)) AND a = 1", (1, 2, 3, 4)),
        ("S_INTERSECTS(BBOX(1,2,3,4), geometry)", (1, 2, 3, 4)),
        ("S_INTERSECTS(geometry, BBOX(1,2,3,4)) OR a = 1", None),
        ("NOT S_INTERSECTS(geometry, BBOX(1,2,3,4))", None),
        ("S_DISJOINT(geometry, BBOX(1,2,3,4))", None),
        ("a = 1", None),
    ],
)
def test_a_box_leads_into_the_index_only_if_every_match_touches_it(text, expected):
    assert box_of(parse_filter(text)) == expected
