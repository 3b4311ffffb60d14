"""The landing page, collections and their documents, and names that several catalogues use."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from meshnode.core.identifiers import catalogue_text
from tests.api.serving import ORTHO, Api, publish_items, serving, serving_towns, towns
from tests.runtime.homes import follow, publisher_of
from tests.runtime.stac_samples import item

pytestmark = pytest.mark.slow


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving_towns(tmp_path) as served:
        yield served


async def test_the_landing_page_leads_to_everything_and_nowhere_else(api: Api) -> None:
    page = await api.get("")
    links = {link["rel"]: link["href"] for link in page["links"]}
    for href in links.values():
        assert href.startswith(api.url)
        answer = await api.http.get(href)
        assert answer.status_code == 200, href
    assert (await api.get("conformance"))["conformsTo"] == page["conformsTo"]
    assert (await api.http.get(api.url)).json() == page  # without the slash


async def test_the_description_for_people_asks_nobody_else_for_anything(api: Api) -> None:
    page = (await api.http.get("api.html")).text
    assert "POST /search" in page
    assert "<script" not in page
    assert "http://" not in page
    assert "https://" not in page


async def test_openapi_names_every_parameter(api: Api) -> None:
    paths = (await api.get("api"))["paths"]
    named = {each["name"] for each in paths["/search"]["get"]["parameters"]}
    assert named == {
        "collections", "ids", "bbox", "intersects", "datetime", "q", "filter", "filter-lang",
        "filter-crs", "sortby", "fields", "limit", "token", "proof",
    }  # fmt: skip


async def test_a_collection_is_the_document_of_the_log_with_links_of_this_api(api: Api) -> None:
    found = await api.get("collections/ortho")
    links = {link["rel"]: link["href"] for link in found["links"]}
    for member in ("title", "title:fr", "license", "providers", "extent", "keywords", "sci:doi"):
        assert found[member] == ORTHO[member]
    assert links["self"] == f"{api.url}/collections/ortho"
    assert links["items"] == f"{api.url}/collections/ortho/items"
    assert links["license"] == "https://spdx.org/licenses/CC-BY-4.0.html"
    assert links["cite-as"] == "https://doi.org/10.5072/ortho"
    assert links["about"] == "https://example.org/ortho"
    assert links["canonical"] == "https://example.org/ortho/collection.json"
    [catalogue] = api.peer.node.followed()
    signed = found["meshnode:signed"]
    assert (signed["catalogue"], signed["items"]) == (catalogue_text(catalogue), 12)
    assert signed["freshness"] == ["current"]


async def test_collections_come_in_pages(api: Api) -> None:
    whole = await api.get("collections")
    first = await api.get("collections", limit=1)
    [following] = [link["href"] for link in first["links"] if link["rel"] == "next"]
    second = await api.get(following)

    assert [each["id"] for each in whole["collections"]] == ["ortho", "towns"]
    assert first["collections"] + second["collections"] == whole["collections"]
    assert (whole["numberMatched"], first["numberReturned"]) == (2, 1)
    assert not [link for link in second["links"] if link["rel"] == "next"]
    assert "no collection 'nothing'" in await api.refused("collections/nothing", 404)


async def test_queryables_of_a_collection_are_those_of_its_items(api: Api) -> None:
    everywhere = (await api.get("queryables"))["properties"]
    of_ortho = (await api.get("collections/ortho/queryables"))["properties"]
    assert {"eo:cloud_cover", "geometry", "instruments"} <= everywhere.keys()
    assert "instruments" not in of_ortho
    assert of_ortho["gsd"] == {"title": "Ground sample distance in metres", "type": "number"}


async def test_catalogues_with_a_collection_of_one_name_are_told_apart(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        ids: dict[str, str] = {}
        for name in ("towns", "villages"):
            institution, publisher = publisher_of(api.home, name)
            await follow(api.home, institution)
            place = {**item(f"of-{name}"), "collection": "places"}
            await publish_items(publisher, tmp_path, [place])
            ids[name] = f"places~{institution.text[-12:]}"

        listed = [each["id"] for each in (await api.get("collections"))["collections"]]
        assert sorted(listed) == sorted(ids.values())
        assert sorted(await api.ids(collections="places")) == ["of-towns", "of-villages"]
        assert await api.ids(collections=ids["towns"]) == ["of-towns"]
        [found] = (await api.get(f"collections/{ids['villages']}/items"))["features"]
        assert (found["id"], found["collection"]) == ("of-villages", ids["villages"])
        own: str = next(link["href"] for link in found["links"] if link["rel"] == "self")
        assert await api.get(own) == found
        assert "several catalogues have" in await api.refused("collections/places", 404)


async def test_an_item_whose_name_has_a_slash_or_a_percent_sign_is_found(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        institution, publisher = publisher_of(api.home)
        await follow(api.home, institution)
        names = ["a/b", "50%", "a%2Fb", "é ?#"]
        items = [{**town, "id": name} for town, name in zip(towns(4), names, strict=True)]
        await publish_items(publisher, tmp_path, items)

        for found in (await api.get("search"))["features"]:
            own: str = next(link["href"] for link in found["links"] if link["rel"] == "self")
            assert (await api.get(own))["id"] == found["id"]
        assert sorted(await api.ids()) == sorted(names)
        assert json.loads((await api.http.get("collections/towns/items/50%25")).text)["id"] == "50%"
