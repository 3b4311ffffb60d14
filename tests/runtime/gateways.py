"""Peers whose gateway serves a file that only a mirror has."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import trio

from meshnode.config import Config
from meshnode.demo.mirror import Mirror, serve_directory
from meshnode.runtime.home import Home
from meshnode.runtime.peer import Peer
from meshnode.runtime.service import running
from tests.runtime.homes import WITHIN_SECONDS, loopback, made_home
from tests.runtime.test_operator_payloads import publish_payload


@dataclass
class Served:
    """A running peer that has a payload's description and none of its bytes."""

    peer: Peer
    home: Home
    key: str
    name: str
    content: bytes
    http: httpx.AsyncClient
    mirror: Mirror

    @property
    def path(self) -> str:
        return f"/payload/{self.key}/{self.name}"

    @property
    def url(self) -> str:
        return f"{str(self.http.base_url).rstrip('/')}{self.path}"

    async def get(self, span: str | None = None, **headers: str) -> httpx.Response:
        wanted = headers | ({"range": span} if span else {})
        return await self.http.get(self.path, headers=wanted)


@asynccontextmanager
async def client_of(peer: Peer) -> AsyncIterator[httpx.AsyncClient]:
    assert peer.http is not None
    assert peer.http.url is not None
    async with httpx.AsyncClient(base_url=peer.http.url, timeout=WITHIN_SECONDS) as client:
        yield client


@asynccontextmanager
async def served(
    root: Path, content: Path, *, bytes_per_second: int = 0, config: Config | None = None
) -> AsyncIterator[Served]:
    home = made_home(root)
    with trio.fail_after(WITHIN_SECONDS):
        async with (
            serve_directory(content.parent, bytes_per_second=bytes_per_second) as mirror,
            running(home.root, config or loopback(), online=True) as peer,
            client_of(peer) as client,
        ):
            key = await publish_payload(home, content, mirrors=[f"{mirror.url}{content.name}"])
            whole = await trio.Path(content).read_bytes()
            yield Served(peer, home, key, content.name, whole, client, mirror)
