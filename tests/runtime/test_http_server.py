"""The peer's HTTP server on a real socket: mounts, the guard, its end, a port that is taken."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
import trio

from meshnode.runtime.http.asgi import Receive, Scope, Send, answer
from meshnode.runtime.http.guard import Guard
from meshnode.runtime.http.server import HttpServer
from tests.runtime.homes import WITHIN_SECONDS

pytestmark = pytest.mark.slow

GUARD = Guard(origins=("https://viewer.example.org",))


async def echo(scope: Scope, _receive: Receive, send: Send) -> None:
    await answer(send, 200, body=scope["path"].encode())


async def endless(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while True:
        await send({"type": "http.response.body", "body": bytes(1 << 20), "more_body": True})


async def broken(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise RuntimeError("a bug")


@asynccontextmanager
async def serving() -> AsyncIterator[HttpServer]:
    server = HttpServer("127.0.0.1:0", GUARD)
    server.mount("/echo/", echo)
    server.mount("/endless/", endless)
    server.mount("/broken/", broken)
    with trio.fail_after(WITHIN_SECONDS):
        async with trio.open_nursery() as nursery:
            await nursery.start(server.run)
            yield server
            nursery.cancel_scope.cancel()


async def test_each_application_gets_the_paths_below_its_own() -> None:
    async with serving() as server, httpx.AsyncClient(base_url=server.url or "") as client:
        said = await client.get("/echo/x")
        lost = await client.get("/other")
    assert (said.status_code, said.text) == (200, "/echo/x")
    assert (lost.status_code, lost.json()["detail"]) == (404, "nothing is served here")


async def test_a_stranger_who_made_his_name_lead_here_is_refused() -> None:
    async with serving() as server, httpx.AsyncClient(base_url=server.url or "") as client:
        said = await client.get("/echo/x", headers={"host": "evil.example"})
    assert said.status_code == 403
    assert said.headers["content-type"] == "application/problem+json"


async def test_the_page_of_a_named_site_may_ask_for_a_range_first() -> None:
    headers = {"origin": "https://viewer.example.org", "sec-fetch-site": "cross-site"}
    async with serving() as server, httpx.AsyncClient(base_url=server.url or "") as client:
        may = await client.options("/echo/x", headers=headers)
        said = await client.get("/echo/x", headers=headers)
    assert "range" in may.headers["access-control-allow-headers"]
    assert said.headers["access-control-allow-origin"] == "https://viewer.example.org"


async def test_a_bug_in_an_application_costs_one_request() -> None:
    async with serving() as server, httpx.AsyncClient(base_url=server.url or "") as client:
        said = await client.get("/broken/")
        next_one = await client.get("/echo/")
    assert (said.status_code, next_one.status_code) == (500, 200)


async def test_a_client_that_reads_nothing_does_not_hold_up_the_end() -> None:
    async with serving() as server:
        port = int((server.url or "").rpartition(":")[2])
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        await stream.send_all(b"GET /endless/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await stream.receive_some(1)
    await stream.aclose()


async def test_a_port_that_is_taken_is_told_and_stops_nobody() -> None:
    async with serving() as first:
        address = (first.url or "").removeprefix("http://")
        second = HttpServer(address, GUARD)
        await second.run()
    assert second.url is None
    assert second.failure == f"cannot listen on {address}: Address already in use"


async def test_without_an_address_nothing_listens() -> None:
    server = HttpServer(None, GUARD)
    await server.run()
    assert (server.url, server.failure) == (None, "")
