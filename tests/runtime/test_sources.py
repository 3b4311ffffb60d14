"""Sources: what is read of files, folders, static catalogues and APIs, and what never is."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from meshnode.errors import UsageError
from meshnode.runtime.maintainer.sources import client as clients
from meshnode.runtime.maintainer.sources.client import Client, Request
from meshnode.runtime.maintainer.sources.opening import opened
from meshnode.runtime.maintainer.sources.responses import Responses
from meshnode.runtime.segments.items import ItemText, RefusedItem
from meshnode.runtime.segments.json_text import written
from tests.runtime.homes import items_file
from tests.runtime.stac_samples import item
from tests.runtime.web import Answer, Folder, StacApi, Web, serving

COLLECTION = {
    "type": "Collection",
    "stac_version": "1.1.0",
    "id": "towns",
    "description": "Towns",
    "license": "other",
    "extent": {
        "spatial": {"bbox": [[-180, -90, 180, 90]]},
        "temporal": {"interval": [[None, None]]},
    },
    "links": [],
}


def read(source: object, folder: Path, *collections: str) -> tuple[list[Any], dict[str, bytes]]:
    with opened(str(source), collections, folder / "sources.db") as reading:
        return list(reading.items), reading.documents.by_id


def ids(given: list[Any]) -> list[str]:
    assert all(isinstance(each, ItemText) for each in given), given
    return [each.value["id"] for each in given]


def static_catalogue(root: Path, names: list[str]) -> Path:
    """Write a Catalog that has one Collection, whose items lie beside it."""
    towns = root / "towns"
    towns.mkdir(parents=True, exist_ok=True)
    link = {"rel": "child", "href": "./towns/collection.json"}
    catalog = {"type": "Catalog", "id": "all", "links": [link]}
    (root / "catalog.json").write_text(json.dumps(catalog))
    links = [{"rel": "item", "href": f"./{name}.json"} for name in names]
    links.append({"rel": "child", "href": "../catalog.json"})
    (towns / "collection.json").write_text(json.dumps(COLLECTION | {"links": links}))
    for name in names:
        (towns / f"{name}.json").write_text(json.dumps(item(name), indent=1))
    return root


# --- Files ----------------------------------------------------------------------------------------
def test_standard_input_is_read_as_a_file_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    raw = items_file(tmp_path / "a.ndjson", [item("a"), item("b")]).read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))
    assert ids(read("-", tmp_path)[0]) == ["a", "b"]


def test_a_folder_gives_the_items_and_collections_of_its_files(tmp_path: Path):
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    items_file(folder / "b.ndjson", [item("b"), item("c")])
    (folder / "deep/a.json").write_text(json.dumps(item("a")))
    (folder / "towns.json").write_text(json.dumps(COLLECTION))
    (folder / "notes.txt").write_text("not read")
    given, documents = read(folder, tmp_path)
    assert sorted(ids(given)) == ["a", "b", "c"]
    assert documents == {"towns": (folder / "towns.json").read_bytes()}


def test_a_folder_without_items_is_told(tmp_path: Path):
    with pytest.raises(UsageError, match="holds no files of items"):
        read(tmp_path, tmp_path)


# --- Static catalogues ----------------------------------------------------------------------------
def test_a_static_catalogue_on_disk_gives_the_exact_bytes_of_its_items(tmp_path: Path):
    root = static_catalogue(tmp_path / "stac", ["a", "b"])
    given, documents = read(root, tmp_path)
    assert ids(given) == ["a", "b"]
    assert [each.raw for each in given] == [
        (root / f"towns/{name}.json").read_bytes() for name in "ab"
    ]
    assert documents["towns"] == written(COLLECTION)
    assert ids(read(root / "towns/collection.json", tmp_path)[0]) == ["a", "b"]


def test_a_new_item_of_a_static_catalogue_makes_no_new_collection_document(tmp_path: Path):
    before = read(static_catalogue(tmp_path / "stac", ["a"]), tmp_path)[1]
    after = read(static_catalogue(tmp_path / "stac", ["a", "b"]), tmp_path)[1]
    assert before == after


def test_links_that_lead_out_of_the_source_are_not_followed(tmp_path: Path):
    root = static_catalogue(tmp_path / "stac", ["a"])
    (tmp_path / "secret.json").write_text(json.dumps(item("secret")))
    links = [
        {"rel": "item", "href": "../../secret.json"},
        {"rel": "item", "href": "https://example.org/other.json"},
        {"rel": "item", "href": "./a.json"},
    ]
    (root / "towns/collection.json").write_text(json.dumps(COLLECTION | {"links": links}))
    outside, elsewhere, inside = read(root, tmp_path)[0]
    assert outside.reason == elsewhere.reason == "it lies outside the source"
    assert inside.value["id"] == "a"


def test_what_is_missing_in_a_catalogue_is_a_part_that_cannot_be_read(tmp_path: Path):
    root = static_catalogue(tmp_path / "stac", ["a", "b"])
    (root / "towns/a.json").unlink()
    missing, found = read(root, tmp_path)[0]
    assert isinstance(missing, RefusedItem)
    assert "No such file" in missing.reason
    assert found.value["id"] == "b"


def test_of_a_static_catalogue_on_the_web_only_what_changed_is_sent_again(tmp_path: Path):
    root = static_catalogue(tmp_path / "stac", ["a", "b", "c"])
    web = Folder(root=root)
    with serving(web) as url:
        first = read(f"{url}/catalog.json", tmp_path)
        (root / "towns/b.json").write_text(json.dumps(item("b", west=10.0)))
        web.answered.clear()
        second = read(f"{url}/catalog.json", tmp_path)
    again = dict(web.answered)
    assert again.pop("/towns/b.json") == 200
    assert {path for path, status in again.items() if status == 304} >= {
        "/towns/a.json", "/towns/c.json", "/towns/collection.json"
    }  # fmt: skip
    assert ids(first[0]) == ids(second[0]) == ["a", "b", "c"]
    assert [one.raw == two.raw for one, two in zip(first[0], second[0], strict=True)] == [
        True, False, True
    ]  # fmt: skip


def test_relative_addresses_of_an_item_on_the_web_are_made_absolute(tmp_path: Path):
    root = static_catalogue(tmp_path / "stac", ["a", "b"])
    relative = item("a") | {"assets": {"image": {"href": "./a.tif"}}}
    (root / "towns/a.json").write_text(json.dumps(relative))
    absolute = item("b") | {"links": [{"rel": "collection", "href": "https://example.org/c"}]}
    (root / "towns/b.json").write_text(json.dumps(absolute))
    with serving(Folder(root=root)) as url:
        (changed, kept), _ = read(f"{url}/catalog.json", tmp_path)
    assert changed.value["assets"]["image"]["href"] == f"{url}/towns/a.tif"
    assert changed.value["links"][0]["href"] == f"{url}/towns/collection.json"
    assert changed.raw == written(changed.value)
    assert kept.raw == (root / "towns/b.json").read_bytes()


def test_a_file_of_items_on_the_web_is_read_as_on_disk(tmp_path: Path):
    items_file(tmp_path / "a.ndjson", [item("a"), item("b")])
    with serving(Folder(root=tmp_path)) as url:
        assert ids(read(f"{url}/a.ndjson", tmp_path)[0]) == ["a", "b"]


# --- STAC APIs ------------------------------------------------------------------------------------
@pytest.mark.parametrize(("method", "has_search"), [("GET", True), ("POST", True), ("GET", False)])
def test_every_page_of_an_api_is_read(tmp_path: Path, method: str, has_search: bool):
    names = [f"i{n:02}" for n in range(11)]
    collection = COLLECTION | {"links": [{"rel": "items", "href": "./collections/towns/items"}]}
    api = StacApi(
        items={name: item(name) for name in names},
        collections={"towns": collection},
        method=method,
        has_search=has_search,
    )
    with serving(api) as url:
        given, documents = read(url, tmp_path)
    assert ids(given) == names
    assert given[0].raw == written(item("i00"))
    assert documents == {"towns": written(collection)}


def test_an_api_without_search_or_features_is_no_empty_source(tmp_path: Path):
    with (
        serving(StacApi(has_search=False)) as url,
        pytest.raises(UsageError, match="neither item search nor items"),
    ):
        read(url, tmp_path)


def test_only_the_collections_that_are_named_are_asked_for(tmp_path: Path):
    roads = item("r") | {"collection": "roads"}
    api = StacApi(
        items={"a": item("a"), "r": roads},
        collections={"towns": COLLECTION, "roads": COLLECTION | {"id": "roads"}},
    )
    with serving(api) as url:
        given, documents = read(url, tmp_path, "roads")
    assert (ids(given), list(documents)) == (["r"], ["roads"])


def test_an_api_that_gives_less_than_it_counts_is_a_source_with_a_gap(tmp_path: Path):
    api = StacApi(items={"a": item("a")}, lost=2)
    with serving(api) as url:
        found, gap = read(url, tmp_path)[0]
    assert found.value["id"] == "a"
    assert gap.reason == "the server says that 3 items match, and gave 1"


def test_an_api_whose_page_leads_to_itself_is_broken(tmp_path: Path):
    class Circle(StacApi):
        def _page(self, asked: dict[str, str], here: str) -> dict[str, Any]:
            link = {"rel": "next", "href": f"{here}?limit={asked['limit']}"}
            return {"features": [], "links": [link]}

    with serving(Circle()) as url, pytest.raises(UsageError, match="names itself"):
        read(url, tmp_path)


# --- The client -----------------------------------------------------------------------------------
def test_a_server_that_asks_to_wait_is_waited_for(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"here")
    web = Folder(root=tmp_path)
    web.first = [Answer(429, headers={"Retry-After": "7"}), Answer(503), Answer(500)]
    pauses: list[float] = []
    with serving(web) as url, Client(url, pause=pauses.append) as client:
        assert client.document(f"{url}/a") == (b"here", f"{url}/a")
    assert pauses == [7, 2, 4]


def test_a_server_that_never_answers_well_is_given_up(tmp_path: Path):
    web = Web(first=[Answer(502)] * clients.ATTEMPTS_MAX)
    pauses: list[float] = []
    with (
        serving(web) as url,
        Client(url, pause=pauses.append) as client,
        pytest.raises(UsageError, match="cannot be had: HTTP 502"),
    ):
        client.document(url)
    assert pauses == [1, 2, 4, 8, 16]


def test_a_server_that_asks_for_hours_is_not_waited_for():
    web = Web(first=[Answer(503, headers={"Retry-After": "7200"})])
    pauses: list[float] = []
    with (
        serving(web) as url,
        Client(url, pause=pauses.append) as client,
        pytest.raises(UsageError, match="HTTP 503"),
    ):
        client.document(url)
    assert pauses == []


def test_an_answer_that_is_too_large_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(clients, "DOCUMENT_BYTES_MAX", 3)
    (tmp_path / "a").write_bytes(b"four")
    with (
        serving(Folder(root=tmp_path)) as url,
        Client(url) as client,
        pytest.raises(UsageError, match="larger than 3 bytes"),
    ):
        client.document(f"{url}/a")


def test_a_redirect_is_followed_and_a_circle_is_not(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"here")
    web = Folder(root=tmp_path, first=[Answer(302, headers={"Location": "/a"})])
    with serving(web) as url, Client(url) as client:
        assert client.document(f"{url}/old") == (b"here", f"{url}/a")
        web.first = [Answer(302, headers={"Location": "/b"})] * (clients.REDIRECTS_MAX + 1)
        with pytest.raises(UsageError, match="leads in circles"):
            client.document(f"{url}/b")


def test_a_source_elsewhere_leads_nobody_into_the_own_network():
    web = Web()
    with (
        serving(web) as url,
        Client("http://8.8.8.8/stac") as client,
        pytest.raises(UsageError, match="inside this machine's own network"),
    ):
        client.document(Request(url))
    assert web.answered == []


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://example.org/a", "http://", "nothing"])
def test_what_is_no_web_address_is_not_asked(url: str):
    with pytest.raises(UsageError, match="is not an http or https address"):
        Client(url)


def test_answers_that_two_runs_did_not_use_are_forgotten(tmp_path: Path):
    root = static_catalogue(tmp_path / "stac", ["a"])
    with serving(Folder(root=root)) as url:
        read(f"{url}/catalog.json", tmp_path)
        static_catalogue(root, ["b"])
        for _ in range(3):
            read(f"{url}/catalog.json", tmp_path)
        kept = Responses(tmp_path / "sources.db", f"{url}/catalog.json")
        assert kept.get(f"{url}/towns/a.json") is None
        assert kept.get(f"{url}/towns/b.json") is not None
        kept.close()
