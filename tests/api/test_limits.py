"""Who may ask the API, and how much of it at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import trio

from meshnode.config import Config
from meshnode.runtime.api import application, pages
from meshnode.runtime.api.mounting import refusal
from meshnode.runtime.index.reader import Budget
from tests.api.serving import Api, serving, serving_towns
from tests.runtime.homes import loopback

SITE = "https://viewer.example.org"


def settings(**api: object) -> Config:
    made = loopback()
    return made.model_copy(update={"api": made.api.model_copy(update=api)})


@pytest.mark.parametrize(
    ("listen", "serve", "is_served"),
    [
        ("127.0.0.1:8470", "local", True),
        ("[::1]:8470", "local", True),
        ("0.0.0.0:8470", "local", False),
        ("192.0.2.7:8470", "local", False),
        ("192.0.2.7:8470", "always", True),
        ("127.0.0.1:8470", "off", False),
    ],
)
def test_only_this_machine_is_served_unless_the_operator_says_more(
    listen: str, serve: str, is_served: bool
) -> None:
    made = settings(serve=serve)
    config = made.model_copy(update={"http": made.http.model_copy(update={"listen": listen})})
    assert (refusal(config) == "") is is_served


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving_towns(tmp_path) as served:
        yield served


@pytest.mark.slow
async def test_where_it_is_off_it_says_why(tmp_path: Path) -> None:
    async with serving(tmp_path, settings(serve="off")) as api:
        assert "api.serve is off" in await api.refused("search", 403)


@pytest.mark.slow
async def test_a_page_of_a_named_site_may_search_and_others_may_not(tmp_path: Path) -> None:
    async with serving(tmp_path, settings(origins=(SITE,))) as api:
        assert api.peer.http is not None
        named, stranger = {"origin": SITE}, {"origin": "https://evil.example"}
        allowed = await api.http.get("search", headers=named)
        asked = await api.http.options("search", headers=named)
        refused = await api.http.get("search", headers=stranger)
        rebound = await api.http.get("search", headers={"host": "evil.example"})
        payload = await api.http.get(f"{api.peer.http.url}/payload/", headers=named)

    assert allowed.headers["access-control-allow-origin"] == SITE
    assert "POST" in asked.headers["access-control-allow-methods"]
    assert "content-type" in asked.headers["access-control-allow-headers"]
    assert (refused.status_code, rebound.status_code) == (403, 403)
    assert payload.status_code == 403  # they may search, and fetch nothing


@pytest.mark.slow
async def test_every_site_may_search_where_the_operator_says_so(tmp_path: Path) -> None:
    async with serving(tmp_path, settings(origins=("*",))) as api:
        answer = await api.http.get("search", headers={"origin": "https://any.example"})
    assert answer.headers["access-control-allow-origin"] == "https://any.example"


@pytest.mark.slow
async def test_links_are_those_that_the_operator_says_others_call(tmp_path: Path) -> None:
    async with serving(tmp_path, settings(url="https://example.org/catalogue")) as api:
        links = (await api.get(""))["links"]
        headers = {"x-forwarded-host": "evil.example", "forwarded": "host=evil.example"}
        forwarded = (await api.http.get("search", headers=headers)).text
    assert all(link["href"].startswith("https://example.org/catalogue/") for link in links)
    assert "evil.example" not in forwarded


@pytest.mark.slow
async def test_a_body_that_is_too_long_is_refused(api: Api) -> None:
    long = b" " * (application.BODY_BYTES_MAX + 1)
    answer = await api.http.post("search", content=long)
    assert answer.status_code == 413


@pytest.mark.slow
async def test_a_body_that_is_no_json_is_refused(api: Api) -> None:
    for body in (b"", b"{", b"\xff", b"[" * 100_000, b'{"bbox": [NaN, 0, 1, 1]}', b"1" * 10_000):
        answer = await api.http.post("search", content=body)
        assert answer.status_code == 400, body[:20]


@pytest.mark.slow
async def test_a_search_that_costs_too_much_is_ended(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "BUDGET", Budget(cpu_seconds=-1.0))
    monkeypatch.setattr("meshnode.runtime.index.reader.TICK_STEPS", 1)
    sentence = await api.refused("search", filter="instruments IS NULL")
    assert "took more than" in sentence


@pytest.mark.slow
async def test_who_comes_when_too_many_are_answered_is_told_to_come_again(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(application, "REQUESTS_MAX", 0)
    answer = await api.http.get("search")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


@pytest.mark.slow
async def test_who_waits_too_long_for_a_thread_is_told_to_come_again(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    limiter = api.peer.searches
    holders = [object() for _ in range(int(limiter.total_tokens))]
    for holder in holders:
        limiter.acquire_on_behalf_of_nowait(holder)
    with monkeypatch.context() as shorter:
        shorter.setattr(pages, "WAIT_SECONDS_MAX", 0.05)
        answer = await api.http.get("search")
    for holder in holders:
        limiter.release_on_behalf_of(holder)
    assert answer.status_code == 503
    assert len(await api.ids()) == 42


@pytest.mark.slow
async def test_many_clients_at_once_are_all_answered(api: Api) -> None:
    answers: list[httpx.Response] = []

    async def ask(n: int) -> None:
        answers.append(await api.http.get("search", params={"limit": n + 1}))

    async with trio.open_nursery() as nursery:
        for n in range(32):
            nursery.start_soon(ask, n)
    assert sorted(len(each.json()["features"]) for each in answers) == list(range(1, 33))
