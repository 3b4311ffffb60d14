"""`/changes` and `/changes.rss` of a running peer, as programs and feed readers ask for them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest
import trio

from meshnode.config import Config, parse
from meshnode.core.identifiers import catalogue_text
from meshnode.runtime.changes.rss import rss
from meshnode.runtime.index.changes import Change, Cursor, Kind
from meshnode.runtime.maintainer.publishing import Publisher
from meshnode.runtime.service import running
from tests.runtime.gateways import client_of
from tests.runtime.homes import WITHIN_SECONDS, loopback, publish, published_home, publisher_of
from tests.runtime.test_index import CITY

pytestmark = pytest.mark.slow


@dataclass
class Served:
    http: httpx.AsyncClient
    publisher: Publisher
    folder: Path
    catalogue: str

    async def page(self, **parameters: Any) -> Any:
        said = await self.http.get("/changes", params=parameters)
        assert said.status_code == 200, said.text
        return said.json()

    async def publish(self, *ids: str) -> None:
        await publish(self.publisher, self.folder, *ids)


@asynccontextmanager
async def served(folder: Path, config: Config | None = None) -> AsyncIterator[Served]:
    home = await trio.to_thread.run_sync(lambda: published_home(folder, ["a", "b"], ["c"]))
    institution, publisher = publisher_of(home)
    with trio.fail_after(WITHIN_SECONDS):
        async with (
            running(home.root, config or loopback(), online=True) as peer,
            client_of(peer) as http,
        ):
            yield Served(http, publisher, folder, institution.text)


async def test_pages_lead_to_the_end_and_go_on_from_there(tmp_path: Path) -> None:
    async with served(tmp_path) as peer:
        first = await peer.page(limit=2)
        second = (await peer.http.get(first["links"][0]["href"])).json()
        await peer.publish("d", "a")
        third = await peer.page(since=second["cursor"])

    kinds = [[(each["change"], each["id"]) for each in page["changes"]] for page in (first, second)]
    assert kinds == [[("added", "a"), ("added", "b")], [("added", "c")]]
    assert [link["rel"] for link in second["links"]] == ["monitor"]
    changed = {each["id"]: each for each in third["changes"]}
    assert {name: each["change"] for name, each in changed.items()} == {
        "a": "replaced", "d": "added",
    }  # fmt: skip
    assert (changed["d"]["catalogue"], third["reset"]) == (peer.catalogue, False)
    assert changed["d"]["item"]["properties"]["title"] == "Town d"


async def test_who_asks_again_is_told_that_nothing_happened(tmp_path: Path) -> None:
    async with served(tmp_path) as peer:
        said = await peer.http.get("/changes")
        known = {"if-none-match": said.headers["etag"]}
        assert (await peer.http.get("/changes", headers=known)).status_code == 304
        assert (await peer.http.get("/changes.rss", headers=known)).status_code == 304
        await peer.publish("d")
        assert (await peer.http.get("/changes", headers=known)).status_code == 200


async def test_collections_and_catalogues_restrict_it(tmp_path: Path) -> None:
    async with served(tmp_path) as peer:
        assert len((await peer.page(collections="towns,camps"))["changes"]) == 3
        assert len((await peer.page(catalogues=peer.catalogue))["changes"]) == 3
        assert (await peer.page(collections="camps"))["changes"] == []
        assert (await peer.page(catalogues=catalogue_text(CITY)))["changes"] == []


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("limit=0", "limit: '0' is not from 1 to 1000"),
        ("limit=x", "limit: 'x' is not from 1 to 1000"),
        ("since=yesterday", "'yesterday' is no cursor, time or day"),
        ("catalogues=nobody", "catalogues: "),
        ("collections=", "collections: 1 to 100 names"),
        ("since=now&since=now", "since is given twice"),
        ("bbox=1,2,3,4", "there is no parameter 'bbox'"),
        ("since=" + "9" * 9000, "the parameters have more than 8192 bytes"),
    ],
)
async def test_what_cannot_be_read_is_named(tmp_path: Path, query: str, sentence: str) -> None:
    async with served(tmp_path) as peer:
        said = await peer.http.get(f"/changes?{query}")
        written = await peer.http.post("/changes")
    assert (said.status_code, said.json()["detail"].startswith(sentence)) == (400, True), said.text
    assert written.status_code == 405


async def test_the_rss_has_the_newest_first(tmp_path: Path) -> None:
    async with served(tmp_path) as peer:
        await peer.publish("d")
        said = await peer.http.get("/changes.rss?collections=towns")
    assert said.headers["content-type"] == "application/rss+xml"
    channel = ElementTree.fromstring(said.content).find("channel")
    assert channel is not None
    assert [each.text for each in channel.findall("item/title")] == [
        "New: Town d", "New: Town c", "New: Town b", "New: Town a",
    ]  # fmt: skip
    guids = [each.text for each in channel.findall("item/guid")]
    assert len(set(guids)) == 4
    assert channel.findtext("link") == f"{peer.http.base_url}/changes.rss?collections=towns"


def test_the_rss_stays_readable_whatever_strangers_wrote() -> None:
    change = Change(Kind.WITHDRAWN, 0, CITY, "ortho", "a\x00<b>\ud800", None, Cursor("00000000", 7))

    said = rss([change], {(CITY, "ortho"): ("Ville & <City>", "Ortho\x1b")}, "http://localhost/")

    [item] = ElementTree.fromstring(said).findall("channel/item")
    assert item.findtext("title") == "Withdrawn: a\ufffd<b>\ufffd"
    assert item.findtext("description") == "a\ufffd<b>\ufffd in Ortho\ufffd, Ville & <City>"
    assert (item.findtext("guid"), item.findtext("pubDate")) == (
        "00000000-7", "Thu, 01 Jan 1970 00:00:00 GMT",
    )  # fmt: skip


async def test_an_address_that_others_reach_serves_the_feed_where_it_serves_the_api(
    tmp_path: Path,
) -> None:
    text = (
        '[network]\nlisten = ["/ip4/127.0.0.1/tcp/0"]\n[payload]\nlisten = "127.0.0.1:0"\n'
        '[http]\nlisten = "0.0.0.0:0"\n'
    )
    for serve, status in (("local", 403), ("off", 403), ("always", 200)):
        config = parse(f'{text}[api]\nserve = "{serve}"\n', "the test")
        async with served(tmp_path / serve, config) as peer:
            for path in ("/changes", "/changes.rss"):
                assert (await peer.http.get(path)).status_code == status
