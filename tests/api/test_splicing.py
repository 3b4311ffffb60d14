"""Links replaced in the text of an item: the rest of the text stays, byte for byte."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshnode.runtime.api.splicing import with_links

OURS = [{"rel": "self", "href": "https://example.org/"}]
TEXTS = st.text(max_size=20) | st.sampled_from(['"links": []', "links", '{"', "\\", '\\"', "]}"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(TEXTS, VALUES, max_size=5), st.lists(VALUES, max_size=3), st.booleans())
def test_the_items_own_links_are_found_whatever_it_says(
    rest: dict[str, Any], links: list[Any], is_ascii: bool
) -> None:
    item = {**rest, "links": links, "assets": {"links": ["not these"]}}
    text = with_links(json.dumps(item, ensure_ascii=is_ascii), lambda own: OURS)
    assert json.loads(text) == {**item, "links": OURS}


def test_what_stands_around_the_links_stays_as_it_is_written() -> None:
    text = '{ "a":1.50,  "properties":{"links":[1]}, "links" : [ {"rel": "x"} ],"z":1E3 }'
    spliced = with_links(text, lambda own: own + OURS, {"meshnode:signed": {"clock": 3}})
    assert spliced == (
        '{ "a":1.50,  "properties":{"links":[1]}, "links" : '
        '[{"rel":"x"},{"rel":"self","href":"https://example.org/"}]'
        ',"meshnode:signed":{"clock":3},"z":1E3 }'
    )


@pytest.mark.parametrize(
    "text", ['{"\\u006cinks": [], "a": 1}', '{"a": 1}', '{"links": null, "a": 1}']
)
def test_links_that_are_not_found_in_the_text_are_put_there_all_the_same(text: str) -> None:
    made = json.loads(with_links(text, lambda own: OURS, {"b": 2}))
    assert made == {"a": 1, "links": OURS, "b": 2}
