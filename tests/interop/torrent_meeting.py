"""One meeting of our engine and another BitTorrent program, in a network of its own.

`unshare -rn python -m tests.interop.torrent_meeting CLIENT KIND serves|fetches|refuses FOLDER`
"""

from __future__ import annotations

import contextlib
import json
import random
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import libtorrent as lt
import trio

from meshnode.runtime.payloads.creation import describe
from meshnode.runtime.payloads.torrent_check import (
    CheckedTorrent,
    open_foreign_torrent,
    open_torrent,
)
from meshnode.runtime.payloads.torrent_session import TorrentSettings
from meshnode.runtime.payloads.torrents import Torrents
from tests.interop.torrent_clients import ADDRESS, CLIENTS, PORT, Client

SIZE_BYTES: Final = (5 << 20) + 77
NAME: Final = "one.bin"
WITHIN_SECONDS: Final = 150.0  # Transmission unchokes slowly
FLAGS: Final = {"v1": lt.create_torrent.v1_only, "hybrid": 0, "v2": lt.create_torrent.v2_only}


def torrent_of(kind: str, folder: Path) -> CheckedTorrent:
    """Return the torrent of the file in a folder, of this kind."""
    path = folder / NAME
    creator = lt.create_torrent(lt.list_files(str(path)), 1 << 20, int(FLAGS[kind]))
    creator.set_creation_date(0)
    lt.set_piece_hashes(creator, str(folder))
    raw = lt.bencode(creator.generate())
    return open_foreign_torrent(raw) if kind == "v1" else open_torrent(raw, describe(path).files)


def with_tracker(torrent: CheckedTorrent, url: str) -> bytes:
    """Return the same torrent, by its info-hash, for a program that needs a tracker."""
    decoded: Any = lt.bdecode(torrent.raw)
    whole: Any = {**decoded, b"announce": url.encode()}
    return bytes(lt.bencode(whole))


@asynccontextmanager
async def tracker(peer_port: int) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Run a BEP 3 tracker that names one peer to everybody; give its URL and what it was asked."""
    asked: list[bytes] = []
    peer = socket.inet_aton(ADDRESS) + peer_port.to_bytes(2, "big")
    answer_of: Any = {b"interval": 2, b"min interval": 2, b"peers": peer if peer_port else b""}
    body = lt.bencode(answer_of)

    async def answer(stream: trio.SocketStream) -> None:
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            query = (await stream.receive_some()).split(b" ")[1].partition(b"?")[2]
            fields = dict(field.split(b"=", 1) for field in query.split(b"&") if b"=" in field)
            asked.append(unquote_to_bytes(fields[b"info_hash"]))
            head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n"
            await stream.send_all(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            await stream.aclose()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, answer, 0, host=ADDRESS))
        yield f"http://{ADDRESS}:{listeners[0].socket.getsockname()[1]}/announce", asked
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def engine(folder: Path) -> AsyncIterator[Torrents]:
    settings = TorrentSettings(
        listen=f"{ADDRESS}:0", allow_local_addresses=True, stall_seconds=WITHIN_SECONDS
    )
    torrents = Torrents(settings, folder)
    async with trio.open_nursery() as nursery:
        await nursery.start(torrents.run)
        yield torrents
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def program(client: Client, folder: Path, raw: bytes) -> AsyncIterator[trio.Process]:
    torrent = folder / "it.torrent"
    await trio.Path(torrent).write_bytes(raw)
    log = await trio.open_file(folder / "log", "wb")
    process = await trio.lowlevel.open_process(
        client.command(folder, torrent),
        stdin=subprocess.DEVNULL,
        stdout=log.wrapped,
        stderr=log.wrapped,
    )
    try:
        yield process
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            await log.aclose()


async def meet(client: Client, kind: str, direction: str, folder: Path) -> None:
    """Let both meet; return when the bytes are at the other side, or were refused."""
    source, theirs = folder / "source", folder / "theirs"
    for path in (source, theirs / "data"):
        path.mkdir(parents=True)
    content = random.Random(kind).randbytes(SIZE_BYTES)
    (source / NAME).write_bytes(content)
    torrent = torrent_of(kind, source)
    async with engine(folder / "ours") as torrents:
        if direction != "serves":
            await torrents.seed(torrent, source / NAME)
        else:
            (theirs / "data" / NAME).write_bytes(content)
        named = torrents.port if direction == "fetches" else 0
        async with (
            tracker(named) as (url, asked),
            program(client, theirs, with_tracker(torrent, url)) as process,
        ):
            match direction:
                case "serves":
                    await _fetch(torrents, torrent)
                    place = torrents.locate(torrent.key, 0)
                    assert place is not None
                    assert place.read_bytes() == content
                case "fetches":
                    await _until_there(theirs / "data" / NAME, content)
                case _:
                    refusal = client.refusals[kind]
                    if refusal:
                        await _until_said(refusal, theirs, process)
                    else:
                        await _until_announced(asked)
                        assert torrent.claim.infohash_v1 not in asked
                    assert not await _is_there(theirs / "data" / NAME, content)


async def _fetch(torrents: Torrents, torrent: CheckedTorrent) -> None:
    """Download from the program; it may not listen yet, so it is named again."""
    async with trio.open_nursery() as nursery:

        async def name_again() -> None:
            while True:
                await trio.sleep(1)
                torrents.introduce(torrent.key, [(ADDRESS, PORT)])

        nursery.start_soon(name_again)
        steps = torrents.download(torrent, peers=[(ADDRESS, PORT)])
        async with contextlib.aclosing(steps):
            async for _ in steps:
                pass
        nursery.cancel_scope.cancel()


async def _until_there(path: Path, content: bytes) -> None:
    while not await _is_there(path, content):  # noqa: ASYNC110 - bounded as well
        await trio.sleep(0.2)


async def _is_there(path: Path, content: bytes) -> bool:
    try:
        return await trio.Path(path).read_bytes() == content
    except FileNotFoundError:
        return False


async def _until_said(text: str, folder: Path, process: trio.Process) -> None:
    while text.encode() not in await trio.Path(folder / "log").read_bytes():
        assert process.returncode is None, f"it ended with {process.returncode}"
        await trio.sleep(0.2)


async def _until_announced(asked: list[bytes]) -> None:
    while not asked:  # noqa: ASYNC110 - bounded by the deadline of the meeting
        await trio.sleep(0.2)


async def main(name: str, kind: str, direction: str, folder: str) -> None:
    for command in (("link", "set", "lo", "up"), ("addr", "add", f"{ADDRESS}/32", "dev", "lo")):
        await trio.run_process(["ip", *command])
    with trio.fail_after(WITHIN_SECONDS):
        await meet(CLIENTS[name], kind, direction, Path(folder))
    sys.stdout.write(json.dumps({"client": name, "kind": kind, direction: True}) + "\n")


if __name__ == "__main__":
    trio.run(partial(main, *sys.argv[1:5]))
