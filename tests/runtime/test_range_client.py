"""Ranges of files over HTTP: what is believed of a server's answer, and where it may lead."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import trio

from meshnode.runtime.payloads.mirrors.range_client import (
    Fault,
    MirrorError,
    RangeClient,
    require_part,
)
from tests.runtime.web_seeds import (
    Answer,
    Request,
    WebSeed,
    files,
    redirects,
    response,
    says,
    web_seed,
)

BODY = bytes(range(256)) * 40
SPAN = range(100, 300)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tile.bin").write_bytes(BODY)
    return tmp_path


async def read(client: RangeClient, url: str, span: range = SPAN) -> bytes:
    async with client.asked(url, span) as answer:
        require_part(answer, span, len(BODY))
        return await answer.read(len(span))


async def fault_of(
    answer: Callable[[WebSeed], Answer], *, allow_local: bool = True
) -> tuple[MirrorError, WebSeed]:
    async with web_seed(answer) as seed:
        client = RangeClient(seed.url, allow_local=allow_local)
        async with aclosing(client):
            with trio.fail_after(20), pytest.raises(MirrorError) as caught:
                await read(client, f"{seed.url}tile.bin")
    return caught.value, seed


async def test_a_range_is_given_over_one_connection(folder: Path) -> None:
    async with web_seed(files(folder)) as seed:
        client = RangeClient(seed.url, allow_local=True)
        async with aclosing(client):
            assert await read(client, f"{seed.url}tile.bin") == BODY[100:300]
            assert await read(client, f"{seed.url}tile.bin", range(1)) == BODY[:1]
    assert seed.sent_bytes == 201
    assert seed.connections == 1


@pytest.mark.parametrize(
    ("status", "headers", "fault", "pause"),
    [
        ("404 Not Found", [], Fault.ERROR, 0),
        ("416 Range Not Satisfiable", [], Fault.WRONG, 0),
        ("429 Too Many Requests", ["Retry-After: 77"], Fault.BUSY, 77),
        ("503 Service Unavailable", [], Fault.BUSY, 0),
        ("403 Forbidden", ["Retry-After: 9"], Fault.BUSY, 9),
        ("200 OK", ["Content-Type: text/html"], Fault.ERROR, 0),
        ("302 Found", ["Location: ftp://127.0.0.1/x"], Fault.ERROR, 0),
        ("302 Found", ["Location: http://[::1"], Fault.ERROR, 0),
        ("206 Partial", ["Content-Range: bytes 0-199/10240"], Fault.ERROR, 0),
        ("206 Partial", ["Content-Range: bytes 100-299/10241"], Fault.WRONG, 0),
        ("206 Partial", ["Content-Range: bytes 100-299/10240"], Fault.UNREACHABLE, 0),
        ("206 Partial", ["Content-Encoding: gzip"], Fault.ERROR, 0),
    ],
)
async def test_what_is_not_the_range_is_told_by_kind(
    status: str, headers: list[str], fault: Fault, pause: float
) -> None:
    error, _ = await fault_of(says(status, b"a page", *headers))
    assert (error.fault, error.pause_seconds) == (fault, pause)


async def test_a_server_that_knows_no_ranges_is_told_from_one_that_sends_another_file() -> None:
    error, _ = await fault_of(says("200 OK", BODY))
    assert error.fault is Fault.NO_RANGES
    error, _ = await fault_of(says("200 OK", BODY + b"x"))
    assert error.fault is Fault.WRONG


async def test_a_circle_of_redirects_ends() -> None:
    error, seed = await fault_of(redirects(lambda request: request.target))
    assert error.fault is Fault.ERROR
    assert len(seed.requests) == 6


async def test_an_address_of_ones_own_network_is_not_called() -> None:
    error, seed = await fault_of(says("200 OK"), allow_local=False)
    assert error.fault is Fault.FORBIDDEN
    assert "inside this machine's own network" in str(error)
    assert seed.requests == []


async def test_where_a_redirect_led_is_asked_again_and_what_expired_is_asked_anew(
    folder: Path,
) -> None:
    """As object stores sign their URLs."""
    plain = files(folder)
    valid = {"token": 1}

    def made(seed: WebSeed) -> Any:
        respond = plain(seed)

        async def either(stream: trio.abc.Stream, request: Request) -> bool:
            if "?" not in request.target:
                where = f"Location: {request.path}?token={valid['token']}"
                await stream.send_all(response("302 Found", b"", where))
                return True
            if request.target.endswith(f"={valid['token']}"):
                return await respond(stream, request)
            await stream.send_all(response("403 Forbidden", b"expired"))
            return True

        return either

    async with web_seed(made) as seed:
        client = RangeClient(seed.url, allow_local=True)
        async with aclosing(client):
            for _ in range(2):
                assert await read(client, f"{seed.url}tile.bin") == BODY[100:300]
            valid["token"] = 2
            assert await read(client, f"{seed.url}tile.bin") == BODY[100:300]
    targets = [request.target.removeprefix("/tile.bin") for request in seed.requests]
    assert targets == ["", "?token=1", "?token=1", "?token=1", "", "?token=2"]


async def test_a_document_has_a_limit() -> None:
    async with web_seed(says("200 OK", b"{}" * 50)) as seed:
        client = RangeClient(seed.url, allow_local=True)
        async with aclosing(client):
            assert await client.document(seed.url, 100) == b"{}" * 50
            with pytest.raises(MirrorError, match="more than 99 bytes"):
                await client.document(seed.url, 99)
