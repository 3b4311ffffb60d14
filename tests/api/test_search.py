"""Searching over HTTP: pages, what restricts them, and what the answers say beside the items."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.api.serving import Api, serving_towns

pytestmark = pytest.mark.slow

SQUARE = {
    "type": "Polygon",
    "coordinates": [[[-151, -61], [-120, -61], [-120, -40], [-151, -40], [-151, -61]]],
}


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving_towns(tmp_path) as served:
        yield served


async def test_get_and_post_answer_the_same(api: Api) -> None:
    for get, post in (
        ({}, {}),
        ({"collections": "ortho"}, {"collections": ["ortho"]}),
        ({"ids": "town-03,photo-01"}, {"ids": ["town-03", "photo-01"]}),
        ({"bbox": "-151,-61,-120,-40"}, {"bbox": [-151, -61, -120, -40]}),
        ({"intersects": json.dumps(SQUARE)}, {"intersects": SQUARE}),
        ({"datetime": "2012-01-01T00:00:00Z/2013-12-31T00:00:00Z"},
         {"datetime": "2012-01-01T00:00:00Z/2013-12-31T00:00:00Z"}),
        ({"q": "boreale,photo"}, {"q": ["boreale", "photo"]}),
        ({"filter": "gsd > 2 AND platform = 'a'"}, {"filter": "gsd > 2 AND platform = 'a'"}),
        ({"filter": "eo:cloud_cover < 20"},
         {"filter": {"op": "<", "args": [{"property": "eo:cloud_cover"}, 20]}}),
        ({"sortby": "-gsd,id"},
         {"sortby": [{"field": "properties.gsd", "direction": "desc"}, {"field": "id"}]}),
        ({"fields": "id,properties.gsd"}, {"fields": {"include": ["id", "properties.gsd"]}}),
    ):  # fmt: skip
        got = await api.get("search", limit=100, **get)
        posted = await api.posted(limit=100, **post)
        assert got["features"] == posted["features"], get
        assert 0 < got["numberReturned"] == got["numberMatched"], get
        assert posted["numberMatched"] == got["numberMatched"]


async def test_pages_lead_forward_and_back_by_their_links(api: Api) -> None:
    whole = await api.ids(sortby="gsd,-platform,id")
    pages = [await api.get("search", sortby="gsd,-platform,id", limit=8)]
    while following := _links(pages[-1]).get("next"):
        pages.append(await api.get(following["href"]))

    assert [each["id"] for page in pages for each in page["features"]] == whole
    assert len(pages) == 6
    assert "prev" not in _links(pages[0])
    back = pages[-1]
    for page in reversed(pages[:-1]):
        back = await api.get(_links(back)["prev"]["href"])
        assert back["features"] == page["features"]
    assert "prev" not in _links(back)
    assert _links(back)["next"]


async def test_pages_of_a_post_are_asked_for_by_its_body(api: Api) -> None:
    whole = [each["id"] for each in (await api.posted(limit=1000))["features"]]
    page = await api.posted(limit=20, filter={"op": ">", "args": [{"property": "gsd"}, 0]})
    found = page["features"]
    while following := _links(page).get("next"):
        assert following["method"] == "POST"
        assert following["href"] == f"{api.url}/search"
        page = await api.posted(**following["body"])
        found += page["features"]
    assert {each["id"] for each in found} == {each for each in whole if each.startswith("town")}


async def test_an_answer_counts_what_matches(api: Api) -> None:
    assert (await api.get("search", limit=3))["numberMatched"] == 42
    some = await api.get("search", limit=3, filter="gsd = 1")
    assert (some["numberMatched"], some["numberReturned"]) == (8, 3)
    assert (await api.get("search", collections="nothing"))["numberMatched"] == 0


async def test_the_items_of_a_collection_are_searched_like_all(api: Api) -> None:
    assert len(await api.ids("collections/ortho/items")) == 12
    assert await api.ids("collections/towns/items", filter="id = 'town-07'") == ["town-07"]
    boxed = await api.ids("collections/towns/items", bbox="-151,-61,-120,-40")
    assert boxed == await api.ids(collections="towns", bbox="-151,-61,-120,-40")
    assert "no collection 'nothing'" in await api.refused("collections/nothing/items", 404)


async def test_every_byte_of_an_item_but_its_links_is_as_published(api: Api) -> None:
    [found] = api.peer.index.item(None, "towns", "town-04")
    answer = (await api.http.get("collections/towns/items/town-04")).text
    published = found.item.decode()
    before, _, rest = published.partition('"links": ')
    own_links = json.dumps(json.loads(published)["links"])

    assert answer.startswith(before)
    assert answer.endswith(rest.removeprefix(own_links))


async def test_the_links_of_an_item_lead_through_this_api_and_keep_what_leads_elsewhere(
    api: Api,
) -> None:
    town = await api.get("collections/towns/items/town-04")
    links = {link["rel"]: link["href"] for link in town["links"]}
    assert links == {
        "self": f"{api.url}/collections/towns/items/town-04",
        "parent": f"{api.url}/collections/towns",
        "collection": f"{api.url}/collections/towns",
        "root": f"{api.url}/",
        "meshnode:proof": f"{api.url}/collections/towns/items/town-04/proof",
        "canonical": "https://example.org/towns/4.json",
        "derived_from": "https://example.org/source",
    }
    [same] = (await api.get("search", ids="town-04"))["features"]
    assert same == town


async def test_who_signed_is_said_on_request(api: Api) -> None:
    [catalogue] = api.peer.node.followed()
    bare = await api.get("search", ids="town-04")
    [told] = (await api.get("search", ids="town-04", proof=True))["features"]
    [posted] = (await api.posted(ids=["town-04"], proof=True, fields={"include": ["id"]}))[
        "features"
    ]
    signed = told["meshnode:signed"]

    assert "meshnode:signed" not in bare["features"][0]
    assert posted["meshnode:signed"] == signed
    assert "properties" not in posted
    [found] = api.peer.index.item(catalogue, "towns", "town-04")
    assert signed["clock"] == found.clock
    assert signed["writer_key"] == found.writer.hex()
    assert signed["freshness"] == ["current"]
    assert signed["is_forked"] is False
    assert bare["meshnode:trust"] == {"to_index": 0, "doubtful": []}


async def test_fields_leave_out_what_is_not_asked_for(api: Api) -> None:
    [town] = (await api.get("search", ids="town-04", fields="-assets,-properties.title"))[
        "features"
    ]
    assert "assets" not in town
    assert "title" not in town["properties"]
    assert town["properties"]["gsd"] == 1.0


async def test_a_malformed_query_gets_a_sentence_that_names_the_parameter(api: Api) -> None:
    for parameter, value, says in (
        ("bbox", "1,2,3", "4 or 6 numbers"),
        ("bbox", "a,b,c,d", "not numbers"),
        ("bbox", "0,50,1,40", "not a box"),
        ("bbox", "nan,0,1,1", "not a box"),
        ("datetime", "yesterday", "not a time"),
        ("datetime", "2022-01-01T00:00:00Z/2021-01-01T00:00:00Z", "ends before it starts"),
        ("intersects", "{", "not JSON"),
        ("intersects", '{"type": "Circle"}', "no GeoJSON geometry"),
        ("filter", "gsd >", "filter:"),
        ("filter", "(" * 3000, "filter:"),
        ("filter", "cloud_cover < 5", "no item here has the property 'cloud_cover'"),
        ("filter-lang", "ecql", "cql2-text"),
        ("filter-crs", "EPSG:3857", "only http"),
        ("sortby", "title", "cannot be sorted by"),
        ("fields", "id,,x", "no field"),
        ("limit", "0", "greater than or equal to 1"),
        ("limit", "many", "integer"),
        ("token", "next:abc", "not a page token"),
        ("token", "abc", "names no page"),
        ("ids", ",".join(map(str, range(1001))), "more than 1000"),
        ("q", ",,", "no word"),
        ("proof", "perhaps", "boolean"),
        ("colections", "towns", "did you mean collections"),
    ):
        sentence = await api.refused(f"search?{urlencode({parameter: value})}")
        assert sentence.startswith(parameter), sentence
        assert says in sentence, sentence


async def test_a_malformed_body_gets_a_sentence_that_names_the_member(api: Api) -> None:
    cases: list[tuple[Any, str]] = [
        ({"bbox": [1, 2]}, "bbox: "),
        ({"colections": ["towns"]}, "colections: there is no such parameter"),
        ({"limit": -1}, "limit: "),
        ({"filter": {"op": "nothing", "args": []}}, "filter: "),
        ({"sortby": [{"field": "gsd", "direction": "up"}]}, "sortby.0.direction: "),
        ({"intersects": SQUARE, "bbox": [0, 0, 1, 1]}, "bbox: not together"),
        ([], "the body: "),
    ]
    for body, says in cases:
        answer = await api.http.post("search", json=body)
        assert answer.status_code == 400, answer.text
        assert answer.json()["detail"].startswith(says)


async def test_a_token_of_another_order_is_refused(api: Api) -> None:
    page = await api.get("search", limit=2)
    token = _links(page)["next"]["href"].partition("token=")[2]
    assert "another order" in await api.refused(f"search?sortby=id&token={token}")


def _links(page: Any) -> dict[str, Any]:
    return {link["rel"]: link for link in page["links"]}
