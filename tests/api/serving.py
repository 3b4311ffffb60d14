"""A running peer whose API serves two collections of our own, and a client that calls it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import trio

from meshnode.config import Config
from meshnode.runtime.home import Home
from meshnode.runtime.maintainer.batches import Batch
from meshnode.runtime.maintainer.publishing import Publisher
from meshnode.runtime.peer import Peer
from meshnode.runtime.service import running
from tests.runtime.homes import (
    follow,
    items_file,
    loopback,
    made_home,
    publisher_of,
    result_of,
)
from tests.runtime.stac_samples import item

SERVED_SECONDS_MAX = 600.0  # far more than it takes: only a hang reaches it
Item = dict[str, Any]

ORTHO: dict[str, Any] = {
    "type": "Collection",
    "stac_version": "1.1.0",
    "stac_extensions": ["https://stac-extensions.github.io/scientific/v1.0.0/schema.json"],
    "id": "ortho",
    "title": "Orthophotos",
    "title:fr": "Orthophotographies",
    "description": "Photographs from the air, without perspective.",
    "license": "CC-BY-4.0",
    "providers": [{"name": "City of Ottawa", "roles": ["producer"]}],
    "keywords": ["air", "photo"],
    "sci:doi": "10.5072/ortho",
    "extent": {
        "spatial": {"bbox": [[-76, 45, -75, 46]]},
        "temporal": {"interval": [["2019-01-01T00:00:00Z", None]]},
    },
    "links": [
        {"rel": "self", "href": "https://example.org/ortho/collection.json"},
        {"rel": "root", "href": "../catalog.json"},
        {"rel": "about", "href": "https://example.org/ortho"},
    ],
}


@dataclass(frozen=True)
class Api:
    """`http` calls the API: paths are below its prefix."""

    peer: Peer
    home: Home
    http: httpx.AsyncClient

    @property
    def url(self) -> str:
        return str(self.http.base_url).rstrip("/")

    async def get(self, path: str, **parameters: Any) -> Any:
        """Return the JSON of what must be found."""
        answer = await self.http.get(path, params=parameters or None)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def ids(self, path: str = "search", **parameters: Any) -> list[str]:
        found = await self.get(path, **({"limit": 1000} | parameters))
        return [each["id"] for each in found["features"]]

    async def posted(self, **body: Any) -> Any:
        answer = await self.http.post("search", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def refused(self, path: str, status: int = 400, **parameters: Any) -> str:
        """Return the sentence of a refusal."""
        answer = await self.http.get(path, params=parameters or None)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        return str(answer.json()["detail"])


def towns(count: int = 30) -> list[Item]:
    return [_town(n) for n in range(count)]


def photos(count: int = 12) -> list[Item]:
    return [
        {**item(f"photo-{n:02}", west=-75.9 + n / 20), "collection": "ortho"} for n in range(count)
    ]


async def publish_items(
    publisher: Publisher,
    directory: Path,
    items: Sequence[Item],
    documents: Mapping[str, Any] | None = None,
) -> None:
    """Publish items, and documents of collections by their ids."""
    path = items_file(directory / "items.ndjson", list(items))
    given = {name: json.dumps(value).encode() for name, value in (documents or {}).items()}
    with publisher.session():
        await result_of(publisher.recover())
        state = await publisher.state()
        batch = Batch(publisher.staging, None, publisher.documents(state) | given)
        batch.read([path], lambda count: None)
        drafts = batch.drafts(state["collections"])
        await result_of(publisher.publish(state, drafts, batch.staged))


@asynccontextmanager
async def serving(directory: Path, config: Config | None = None) -> AsyncIterator[Api]:
    """Run a peer with nothing in it."""
    home = made_home(directory / "home")
    with trio.fail_after(SERVED_SECONDS_MAX):
        async with running(home.root, config or loopback(), online=True) as peer:
            assert peer.http is not None
            url = f"{peer.http.url}/stac/"
            async with httpx.AsyncClient(base_url=url, timeout=60) as client:
                yield Api(peer, home, client)


@asynccontextmanager
async def serving_towns(directory: Path, config: Config | None = None) -> AsyncIterator[Api]:
    """Run a peer with the collections `towns` (30 items) and `ortho` (12)."""
    async with serving(directory, config) as api:
        institution, publisher = publisher_of(api.home)
        await follow(api.home, institution)
        await publish_items(publisher, directory, [*towns(), *photos()], {"ortho": ORTHO})
        yield api


def _town(n: int) -> Item:
    made = item(f"town-{n:02}", west=-150 + 7.25 * n, south=-60 + 3.5 * n)
    made["properties"] |= {
        "datetime": f"20{n % 10 + 10}-06-01T12:00:00Z",
        "title": f"Town {n}, {'Ville forte' if n % 3 else 'Forêt boréale'}",
        "eo:cloud_cover": n * 3.5,
        "gsd": float(n % 4 + 1),
        "platform": "ab"[n % 2],
        "mission": "sentinel-2" if n % 2 else "landsat",
        "instruments": ["oli", "tirs"] if n % 5 == 0 else ["oli"],
    }
    made["links"] = [
        {"rel": "self", "href": f"https://example.org/towns/{n}.json"},
        {"rel": "collection", "href": "./collection.json"},
        {"rel": "derived_from", "href": "https://example.org/source"},
        {"rel": "related", "href": "../other.html"},
    ]
    return made
