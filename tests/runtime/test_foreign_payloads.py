"""Torrents of others between whole peers: released here, known and fetched elsewhere."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import libtorrent as lt
import pytest
import trio

from meshnode.control import Control
from meshnode.core.entries import ReleaseAdded
from meshnode.demo.mirror import serve_directory
from meshnode.runtime.home import Home
from meshnode.runtime.maintainer.binding import Bound, bind, encoded, payload_draft
from meshnode.runtime.maintainer.publishing import Draft
from meshnode.runtime.maintainer.staging import stage, staged_in
from meshnode.runtime.payloads.adoption import adopt
from meshnode.runtime.payloads.delivery import deliver
from meshnode.runtime.service import running
from tests.runtime.homes import (
    WITHIN_SECONDS,
    follow,
    loopback,
    made_home,
    publisher_of,
    result_of,
)
from tests.runtime.test_operator_payloads import until_payloads

pytestmark = pytest.mark.slow

PIECE = 1 << 16


async def release(home: Home, torrents: Sequence[Path], mirrors: Sequence[str] = ()) -> None:
    """Publish a payload and a release of each torrent, the file bound to an item of its name."""
    institution, publisher = publisher_of(home)
    await follow(home, institution)
    with publisher.session():
        await result_of(publisher.recover())
        drafts: list[Draft] = []
        for path in torrents:
            described, seeds = adopt(path)
            file_list = encoded(bind(described.files, [Bound(None, path.name, "data")]))
            stage(publisher.staging, described.torrent)
            stage(publisher.staging, file_list)
            bound = replace(described, file_list=file_list)
            drafts.append(payload_draft(bound, "towns", mirrors or seeds, 0))
            drafts.append(_release(path.name, described.key))
        state, staged = await publisher.state(), staged_in(publisher.staging)
        await result_of(publisher.publish(state, drafts, staged))


def _release(version: str, key: Any) -> Draft:
    return lambda clock: ReleaseAdded(clock, "towns", version, None, (key,), None, None)


async def test_nine_real_torrents_are_known_whole_to_a_peer_that_follows(
    tmp_path: Path, shared: Path
) -> None:
    home, other = made_home(tmp_path / "home"), made_home(tmp_path / "other")
    institution, _ = publisher_of(home)
    torrents = sorted((shared / "data/torrents").glob("*.torrent"))
    with trio.fail_after(WITHIN_SECONDS):
        async with running(home.root, loopback(), online=True) as peer:
            await release(home, torrents)
            assert peer.network is not None
            seeds = peer.network.mesh.addresses()
            async with running(other.root, loopback(*seeds), online=True):
                await Control(other.control).ask("follow", catalogue=institution.text)
                await until_payloads(other, len(torrents))
                known = await Control(other.control).ask("releases", collection="towns")
    assert [each["version"] for each in known["releases"]] == [path.name for path in torrents]
    for found, path in zip(known["releases"], torrents, strict=True):
        raw: Any = lt.bdecode(path.read_bytes())
        info = raw[b"info"]
        (payload,) = found["payloads"]
        assert payload["size_bytes"] == info[b"length"]
        assert payload["piece_size_bytes"] == info[b"piece length"]
        v1 = hashlib.sha1(lt.bencode(info), usedforsecurity=False).hexdigest()
        assert (payload["infohash_v1"], payload["infohash_v2"]) == (v1, None)
        assert payload["mirrors"] == sorted(url.decode() for url in raw[b"url-list"])
        (file,) = payload["files"]
        assert (file["sha256"], file["bindings"]) == (None, [[path.name, "data"]])
        assert payload["files_held"] == 0


async def test_the_bytes_of_a_foreign_torrent_come_from_its_mirror_and_are_checked(
    tmp_path: Path,
) -> None:
    home, web = made_home(tmp_path / "home"), tmp_path / "web"
    web.mkdir()
    content = web / "yukon.tif"
    content.write_bytes(random.Random(7).randbytes(3 * PIECE + 5))
    path = tmp_path / "yukon.torrent"
    path.write_bytes(foreign_torrent(content))
    with trio.fail_after(WITHIN_SECONDS):
        async with (
            serve_directory(web) as mirror,
            running(home.root, loopback(), online=True),
        ):
            await release(home, [path], [mirror.url])
            got = await Control(home.control).ask("get", item=path.name)
            (file,) = got["files"]
            out, _ = deliver(Path(file["at"]), tmp_path, file["path"], file["sha256"])
            (payload,) = (await Control(home.control).ask("payloads"))["payloads"]
    assert file["sha256"] is None
    assert out.read_bytes() == content.read_bytes()
    assert payload["files_held"] == 1


def foreign_torrent(content: Path) -> bytes:
    """Return a torrent of version 1 alone, as old programs make it."""
    data = content.read_bytes()
    pieces = (data[at : at + PIECE] for at in range(0, len(data), PIECE))
    hashes = (hashlib.sha1(piece, usedforsecurity=False).digest() for piece in pieces)
    info = {
        b"name": content.name.encode(),
        b"piece length": PIECE,
        b"length": len(data),
        b"pieces": b"".join(hashes),
    }
    whole: Any = {b"announce": b"https://tracker.example.org/", b"info": info}
    return bytes(lt.bencode(whole))
