"""Ten thousand broken queries: the peer answers each, stays up, and its memory stays flat."""

from __future__ import annotations

import json
import random
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import trio

from meshnode import config as configuration
from meshnode.config import Config, HttpSettings, NetworkSettings, PayloadSettings
from meshnode.demo.processes import PeerProcess, all_stopped
from tests.api.serving import towns
from tests.runtime.homes import items_file

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

QUERIES: Final = 10_000
WARMING: Final = 2_000  # until caches, threads and connections are as many as they become
CLIENTS: Final = 8
GROWTH_BYTES_MAX: Final = 32 << 20

ODD: Final = (
    "", " ", "\x00", "%", "é", "\U0001f600", "-1", "0", "1e999", "nan", "null", "true", "[]", "{}",
    "../..", "'", '"', "(((((", "a" * 5000, "2021-02-30T00:00:00Z", "9" * 400, ",,,", "next:",
    "prev:e30",
)  # fmt: skip
TEXTS: Final = (
    "gsd < 3", "eo:cloud_cover BETWEEN 1 AND 50", "title LIKE 'Town%'", "NOT (id = 'town-01')",
    "S_INTERSECTS(geometry, POINT(-149 -59))", "A_CONTAINS(instruments, ('oli'))",
    "T_AFTER(datetime, TIMESTAMP('2015-01-01T00:00:00Z'))", "CASEI(title) = CASEI('x')",
)  # fmt: skip
VALUES: Final[dict[str, tuple[str, ...]]] = {
    "bbox": ("-151,-61,-120,-40", "170,-10,-170,10", "0,0,0,0", "1,2,3", "-180,-90,180,90"),
    "datetime": ("2012-01-01T00:00:00Z/..", "../2015-01-01T00:00:00Z", "2012", "../.."),
    "ids": ("town-01,town-02", "nothing"),
    "collections": ("towns", "nothing", "towns~aaaaaaaaaaaa"),
    "limit": ("1", "1000", "100000", "0", "x"),
    "sortby": ("-datetime", "gsd,-id", "title", "+eo:cloud_cover"),
    "fields": ("id", "-geometry", "properties.gsd,-properties"),
    "q": ("Forêt,ville", "town 1", "*"),
    "filter": TEXTS,
    "filter-lang": ("cql2-text", "cql2-json", "x"),
    "token": ("next:W10", "prev:abc"),
    "intersects": ('{"type":"Point","coordinates":[-149,-59]}', '{"type":"Point"}'),
    "proof": ("true", "x"),
    "unknown": ("1",),
}  # fmt: skip
PATHS: Final = (
    "search", "search", "search", "collections/towns/items", "collections/towns/items/town-01",
    "collections", "collections/towns", "queryables", "collections/towns/queryables", "api", "",
    "collections/%00/items/%2F", "collections/towns/items/town-01/proof", "nothing",
)  # fmt: skip


def broken(rng: random.Random, text: str) -> str:
    """Change a text at a few places; every third stays."""
    for _ in range(rng.randrange(3)):
        at = rng.randrange(len(text) + 1)
        text = (
            text[:at] + rng.choice((*ODD[:14], "(", ")", ",", "x")) + text[at + rng.randrange(3) :]
        )
    return text


def query(rng: random.Random) -> tuple[str, str, Any]:
    """Return method, path with parameters, and body of one request."""
    chosen = rng.sample(list(VALUES), rng.randrange(4))
    said = {name: rng.choice((*VALUES[name], rng.choice(ODD))) for name in chosen}
    values = {name: broken(rng, value) for name, value in said.items()}
    if rng.random() < 0.7:
        parameters = {name: value[:3000] for name, value in values.items()}
        return "GET", str(httpx.URL(rng.choice(PATHS), params=parameters)), None
    return "POST", "search", body(rng, values)


def body(rng: random.Random, values: dict[str, str]) -> Any:
    if rng.random() < 0.1:
        return broken(rng, json.dumps(values)).encode()
    members: dict[str, Any] = {}
    for name, value in values.items():
        members[name] = rng.choice((value, [value], {"x": value}, len(value), None, nested(rng)))
        with suppress(ValueError):
            members[name] = json.loads(value)
    return json.dumps(members).encode(errors="replace")


def nested(rng: random.Random) -> Any:
    value: Any = {"op": "not", "args": [True]}
    for _ in range(rng.choice((1, 5, 40, 300))):
        value = {"op": rng.choice(("not", "and", "=", "x")), "args": [value]}
    return value


def private_bytes(pid: int | None) -> int:
    """Return the anonymous memory of a process, in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) * 1024


async def ask(url: str, seeds: range, statuses: Counter[int]) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=120) as client:
        for seed in seeds:
            method, path, content = query(random.Random(seed))
            headers = {"content-type": "application/json"} if content is not None else {}
            answer = await client.request(method, path, content=content, headers=headers)
            statuses[answer.status_code] += 1
            assert answer.status_code < 500, (method, path, content, answer.text)


async def ask_all(url: str, seeds: range, statuses: Counter[int]) -> None:
    async with trio.open_nursery() as nursery:
        for n in range(CLIENTS):
            nursery.start_soon(ask, url, seeds[n::CLIENTS], statuses)


async def test_ten_thousand_fuzzed_queries_leave_the_peer_up_and_its_memory_flat(
    tmp_path: Path,
) -> None:
    peer = PeerProcess("fuzzed", tmp_path / "fuzzed")
    statuses: Counter[int] = Counter()
    async with all_stopped([peer]):
        await peer.command("init")
        settings = Config(
            network=NetworkSettings(listen=("/ip4/127.0.0.1/tcp/0",)),
            payload=PayloadSettings(listen="127.0.0.1:0"),
            http=HttpSettings(listen="127.0.0.1:0"),
        )
        (peer.home / configuration.FILE_NAME).write_text(configuration.to_toml(settings))
        await peer.command("catalogue", "create", "towns", "--title", "T", "--no-passphrase")
        await peer.start()
        items = items_file(tmp_path / "items.ndjson", towns())
        await peer.command("publish", str(items))
        url = (await peer.command("status"))["http"]["api"]["url"] + "/"

        await ask_all(url, range(WARMING), statuses)
        before = private_bytes(peer.pid)
        await ask_all(url, range(WARMING, QUERIES), statuses)
        grown = private_bytes(peer.pid) - before

        assert peer.is_running
        assert (await peer.command("status"))["read_only"] == ""
        async with httpx.AsyncClient(base_url=url, timeout=60) as client:
            assert (await client.get("search")).json()["numberMatched"] == 30
    assert statuses.total() == QUERIES
    assert min(statuses[200], statuses[400]) > QUERIES / 10
    assert grown < GROWTH_BYTES_MAX, f"{grown >> 20} MiB more"
