"""pystac-client against an API: `python client.py URL`. Run by an interpreter that has it.

Asks what a person would, and compares with what the items themselves say. Ends with an error where
an answer is another one.
"""

import sys

from pystac_client import Client

SQUARE = {
    "type": "Polygon",
    "coordinates": [[[-151, -61], [-120, -61], [-120, -40], [-151, -40], [-151, -61]]],
}
IN_SQUARE = {f"town-{n:02}" for n in range(5)}
CLOUDLESS = {"op": "<", "args": [{"property": "eo:cloud_cover"}, 10]}
# One filter a class of CQL2 that the API claims, with what it finds.
FILTERS = {
    "gsd = 1 AND NOT platform = 'b'": {f"town-{n:02}" for n in range(0, 30, 4)},
    "id LIKE 'town-2%'": {f"town-{n}" for n in range(20, 30)},
    "gsd BETWEEN 2 AND 3 AND id IN ('town-01', 'town-02', 'town-03')": {"town-01", "town-02"},
    "mission IS NULL": {f"photo-{n:02}" for n in range(12)},
    "CASEI(mission) = CASEI('LANDSAT') AND gsd = 3": {f"town-{n:02}" for n in range(2, 30, 4)},
    "ACCENTI(title) LIKE ACCENTI('%Foret boreale') AND gsd = 1": {"town-00", "town-12", "town-24"},
    "S_INTERSECTS(geometry, POINT(-149.9 -59.9))": {"town-00"},
    "S_INTERSECTS(geometry, BBOX(-151, -61, -120, -40))": IN_SQUARE,
    "S_WITHIN(geometry, POLYGON((-151 -61, -142 -61, -142 -50, -151 -50, -151 -61)))": {
        "town-00", "town-01",
    },
    "T_AFTER(datetime, TIMESTAMP('2018-12-31T00:00:00Z')) AND platform = 'b'": {
        "town-09", "town-19", "town-29",
    },
    "A_CONTAINS(instruments, ('oli', 'tirs'))": {f"town-{n:02}" for n in range(0, 30, 5)},
    "gsd > \"eo:cloud_cover\"": {"town-00"},
}  # fmt: skip


def main(url: str) -> None:
    client = Client.open(url)
    assert {each.id for each in client.get_collections()} == {"towns", "ortho"}
    assert client.get_collection("ortho").extra_fields["title:fr"] == "Orthophotographies"
    for method in ("GET", "POST"):
        searches(client, method)
    item = client.get_collection("towns").get_item("town-04")
    assert item.get_self_href() == f"{url}collections/towns/items/town-04"
    assert item.get_collection().id == "towns"
    for text, ids in FILTERS.items():
        assert found(client, method="GET", filter=text) == ids, text
        assert found(client, method="POST", filter=text) == ids, text


def searches(client: Client, method: str) -> None:
    every = client.search(method=method, limit=7)
    assert every.matched() == 42
    ids = [each.id for each in every.items()]
    assert (len(ids), len(set(ids))) == (42, 42)
    assert [len(page) for page in client.search(method=method, limit=7).pages_as_dicts()]
    assert found(client, method=method, bbox=[-151, -61, -120, -40]) == IN_SQUARE
    assert found(client, method=method, intersects=SQUARE) == IN_SQUARE
    assert found(client, method=method, ids=["town-03", "photo-01"]) == {"town-03", "photo-01"}
    assert found(client, method=method, filter=CLOUDLESS) == {"town-00", "town-01", "town-02"}
    assert found(client, method=method, datetime="2012", collections=["towns"]) == {
        "town-02", "town-12", "town-22",
    }  # fmt: skip
    newest = client.search(method=method, sortby="-properties.datetime", max_items=3)
    assert [each.id for each in newest.items()] == ["photo-00", "photo-01", "photo-02"]
    bare = client.search(method=method, fields=["id", "properties.gsd"], max_items=1)
    [one] = bare.items_as_dicts()
    assert "assets" not in one


def found(client: Client, **asked: object) -> set[str]:
    if "filter" in asked:
        asked["filter_lang"] = "cql2-text" if isinstance(asked["filter"], str) else "cql2-json"
    return {each["id"] for each in client.search(**asked).items_as_dicts()}


if __name__ == "__main__":
    main(sys.argv[1])
