"""What web servers do, and what becomes of a payload: every row of what was measured once.

The servers are real, on loopback. Wherever bytes come, they are the right ones.
"""

from __future__ import annotations

import datetime
import os
import random
import shutil
import ssl
import sys
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import libtorrent as lt
import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from meshnode.errors import PeerError
from meshnode.runtime.payloads.creation import describe
from meshnode.runtime.payloads.torrent_check import (
    CheckedTorrent,
    open_foreign_torrent,
    open_torrent,
)
from meshnode.runtime.payloads.torrent_session import TorrentSettings
from tests.runtime.test_torrents import MIB, fetch, running, same_files
from tests.runtime.web_seeds import (
    Request,
    WebSeed,
    falls_silent,
    files,
    redirects,
    says,
    web_seed,
)

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).resolve().parents[2]
PIECE = 1 << 18
LOCAL = TorrentSettings(allow_local_addresses=True, stall_seconds=20)
HASTY = replace(LOCAL, stall_seconds=3)
KINDS = {"v1": lt.create_torrent.v1_only, "hybrid": 0, "v2": lt.create_torrent.v2_only}


@pytest.fixture
def tile(tmp_path: Path) -> Path:
    """A file whose size is no multiple of the piece size."""
    path = tmp_path / "web" / "tile.bin"
    path.parent.mkdir()
    path.write_bytes(random.Random(1).randbytes(3 * MIB + 77))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files whose names must be written in percent signs in a URL."""
    path = tmp_path / "web" / "set"
    (path / "a").mkdir(parents=True)
    for number, name in enumerate(("one.bin", "a/two é.bin", "a/#3 x.bin")):
        (path / name).write_bytes(random.Random(number).randbytes(MIB + number))
    return path


def torrent_of(content: Path, kind: str) -> CheckedTorrent:
    """Make a torrent of one kind, as other programs make them."""
    creator = lt.create_torrent(lt.list_files(str(content)), PIECE, KINDS[kind])
    lt.set_piece_hashes(creator, str(content.parent))
    raw = bytes(lt.bencode(creator.generate()))
    if kind == "v1":
        return open_foreign_torrent(raw)
    return open_torrent(raw, describe(content).files)


async def got_from(
    tmp_path: Path, torrent: CheckedTorrent, content: Path, *urls: str, **options: Any
) -> dict[str, int]:
    """Download from these mirrors; return who sent how much once all of it is right."""
    settings = options.get("settings", LOCAL)
    async with running(settings, tmp_path / "home") as torrents:
        last = await fetch(torrents, torrent, mirrors=list(urls))
        assert await trio.to_thread.run_sync(same_files, torrents, torrent, content)
    return last.by_source


async def failed_of(tmp_path: Path, torrent: CheckedTorrent, url: str) -> str:
    """Return the sentence in which a download ends that this mirror cannot give."""
    async with running(HASTY, tmp_path / "home") as torrents:
        with pytest.raises(PeerError) as caught:
            await fetch(torrents, torrent, mirrors=[url])
        assert not torrents.holds(torrent.key)
    return str(caught.value)


# --- URLs -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", KINDS)
async def test_a_file_comes_from_the_url_of_its_folder(
    tmp_path: Path, tile: Path, kind: str
) -> None:
    async with web_seed(files(tile.parent)) as seed:
        await got_from(tmp_path, torrent_of(tile, kind), tile, seed.url)


@pytest.mark.parametrize("kind", ["v1", "hybrid"])
async def test_a_file_comes_from_a_url_of_its_own_under_another_name(
    tmp_path: Path, tile: Path, kind: str
) -> None:
    """Data repositories give files names and queries of their own."""
    await trio.to_thread.run_sync(shutil.copyfile, tile, tile.with_name("content"))
    async with web_seed(files(tile.parent)) as seed:
        url = f"{seed.url}content?download=1"
        await got_from(tmp_path, torrent_of(tile, kind), tile, url)
    assert {request.target for request in seed.requests} == {"/content?download=1"}


async def test_a_file_of_a_v2_torrent_alone_comes_piece_by_piece_from_a_url_of_its_own(
    tmp_path: Path, tile: Path
) -> None:
    """The engine takes it for a folder, because of the padding behind it, and asks in vain."""
    async with web_seed(files(tile.parent)) as seed:
        await got_from(tmp_path, torrent_of(tile, "v2"), tile, f"{seed.url}tile.bin")
    assert "/tile.bin/tile.bin" in {request.target for request in seed.requests}


async def test_a_file_of_a_v2_torrent_of_whole_pieces_comes_from_a_url_of_its_own(
    tmp_path: Path, tile: Path
) -> None:
    await trio.Path(tile).write_bytes(random.Random(1).randbytes(3 * MIB))
    async with web_seed(files(tile.parent)) as seed:
        await got_from(tmp_path, torrent_of(tile, "v2"), tile, f"{seed.url}tile.bin")
    assert {request.target for request in seed.requests} == {"/tile.bin"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("slash", ["/", ""])
async def test_a_folder_comes_from_its_url_with_and_without_a_slash(
    tmp_path: Path, folder: Path, kind: str, slash: str
) -> None:
    async with web_seed(files(folder.parent)) as seed:
        url = seed.url.rstrip("/") + slash
        await got_from(tmp_path, torrent_of(folder, kind), folder, url)


# --- Several at once ------------------------------------------------------------------------------
async def test_four_mirrors_give_at_once(tmp_path: Path, tile: Path) -> None:
    await trio.Path(tile).write_bytes(random.Random(2).randbytes(24 * MIB))
    given: set[str] = set()
    async with AsyncExitStack() as stack:
        slow = [await stack.enter_async_context(web_seed(slowly(tile.parent))) for _ in range(4)]
        mirrors = [seed.url for seed in slow]
        torrents = await stack.enter_async_context(running(LOCAL, tmp_path / "home"))
        steps = torrents.download(torrent_of(tile, "hybrid"), mirrors=mirrors)
        await stack.enter_async_context(aclosing(steps))
        with trio.fail_after(60):
            async for progress in steps:
                given = {name for name, count in progress.by_source.items() if count >= MIB}
                if len(given) == 4:
                    break
    assert given == {f"mirror {url}" for url in mirrors}


def slowly(folder: Path) -> Any:
    """Serve a folder, each answer a tenth of a second late, as over a long way."""
    plain = files(folder)

    def made(seed: WebSeed) -> Any:
        respond = plain(seed)

        async def late(stream: trio.abc.Stream, request: Request) -> bool:
            await trio.sleep(0.1)
            return await respond(stream, request)

        return late

    return made


# --- Wrong bytes ----------------------------------------------------------------------------------
async def test_one_bad_byte_costs_a_mirror_its_standing_and_the_payload_nothing(
    tmp_path: Path, tile: Path
) -> None:
    bad_at = 2 * MIB + 5

    def rot(_path: str, first: int, body: bytes) -> bytes:
        if not first <= bad_at < first + len(body):
            return body
        place = bad_at - first
        return body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]

    torrent = torrent_of(tile, "hybrid")
    async with (
        web_seed(files(tile.parent, rot)) as rotten,
        web_seed(files(tile.parent)) as good,
        running(LOCAL, tmp_path / "home") as torrents,
    ):
        with pytest.raises(PeerError, match="sent corrupt bytes"):
            await fetch(torrents, torrent, mirrors=[rotten.url])
        kept = sum((await torrents.open(torrent)).held_pieces())
        await fetch(torrents, torrent, mirrors=[good.url])
        assert await trio.to_thread.run_sync(same_files, torrents, torrent, tile)
        assert good.sent_bytes <= (torrent.piece_count - kept) * PIECE  # the others stayed


@pytest.mark.parametrize("body", [b"<html>Please sign in</html>", b"x" * (4 * MIB)])
async def test_a_page_instead_of_the_bytes_is_never_taken(
    tmp_path: Path, tile: Path, body: bytes
) -> None:
    async with web_seed(says("200 OK", body, "Content-Type: text/html")) as seed:
        await failed_of(tmp_path, torrent_of(tile, "hybrid"), seed.url)
    assert len(seed.requests) <= 3


# --- Errors ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("403 Forbidden", "answered with an error (HTTP 403)"),
        ("404 Not Found", "answered with an error (HTTP 404)"),
        ("429 Too Many Requests", "is busy (HTTP 429)"),
        ("500 Server Error", "answered with an error (HTTP 500)"),
        ("503 Service Unavailable", "is busy (HTTP 503)"),
    ],
)
async def test_a_mirror_that_answers_with_an_error_is_named_and_not_hammered(
    tmp_path: Path, tile: Path, status: str, said: str
) -> None:
    async with web_seed(says(status)) as seed:
        failure = await failed_of(tmp_path, torrent_of(tile, "hybrid"), seed.url)
    assert f"mirror {seed.url}: {said}" in failure
    assert len(seed.requests) == 1


@pytest.mark.parametrize("after_bytes", [0, 1000])
async def test_what_a_silent_mirror_was_asked_for_comes_from_another(
    tmp_path: Path, tile: Path, after_bytes: int
) -> None:
    size = (await trio.Path(tile).stat()).st_size
    async with (
        web_seed(falls_silent(after_bytes, size)) as silent,
        web_seed(files(tile.parent)) as good,
    ):
        by_source = await got_from(tmp_path, torrent_of(tile, "hybrid"), tile, silent.url, good.url)
    assert by_source[f"mirror {good.url}"] >= size
    assert silent.requests


# --- Redirects ------------------------------------------------------------------------------------
async def test_redirects_are_followed_to_another_server(tmp_path: Path, tile: Path) -> None:
    async with web_seed(files(tile.parent)) as real:
        there = redirects(lambda request: f"{real.url}{request.target.lstrip('/')}")
        async with web_seed(there) as first:
            await got_from(tmp_path, torrent_of(tile, "hybrid"), tile, first.url)
    assert first.requests


async def test_a_redirect_may_be_relative_and_lead_to_a_url_that_expires(
    tmp_path: Path, tile: Path
) -> None:
    """As object stores sign their URLs. What expired is asked for anew, at the first URL."""
    plain = files(tile.parent)

    def made(seed: WebSeed) -> Any:
        respond = plain(seed)
        go = redirects(lambda request: f"/signed{request.target}?token=1")(seed)

        async def either(stream: trio.abc.Stream, request: Request) -> bool:
            if not request.path.startswith("/signed/"):
                return await go(stream, request)
            return await respond(stream, replace(request, path=request.path[len("/signed") :]))

        return either

    async with web_seed(made) as seed:
        await got_from(tmp_path, torrent_of(tile, "hybrid"), tile, seed.url)
    assert {request.target.partition("?")[2] for request in seed.requests} == {"", "token=1"}


async def test_a_circle_of_redirects_ends(tmp_path: Path, tile: Path) -> None:
    async with web_seed(redirects(lambda request: request.target)) as seed:
        await failed_of(tmp_path, torrent_of(tile, "hybrid"), seed.url)
    assert len(seed.requests) <= 10


# --- HTTPS ----------------------------------------------------------------------------------------
async def test_a_certificate_that_nobody_vouches_for_is_not_trusted(
    tmp_path: Path, tile: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path / "certificate.pem"))
    async with web_seed(files(tile.parent), tls=context) as seed:
        said = await failed_of(tmp_path, torrent_of(tile, "hybrid"), seed.url)
    assert seed.url.startswith("https://")
    assert f"mirror {seed.url}" in said
    assert seed.requests == []


async def test_a_certificate_that_the_operator_trusts_is_trusted_by_engine_and_proof(
    tmp_path: Path, tile: Path
) -> None:
    """The engine reads SSL_CERT_FILE when it is loaded: the peer is a process of its own."""
    certificate = self_signed(tmp_path / "certificate.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    made = describe(tile)
    (tmp_path / "torrent").write_bytes(made.torrent)
    (tmp_path / "files").write_bytes(made.file_list)
    async with web_seed(files(tile.parent), tls=context) as seed:
        command = [sys.executable, "-c", FETCHER, str(tmp_path), seed.url]
        environment = {**os.environ, "SSL_CERT_FILE": str(certificate)}
        with trio.fail_after(120):
            await trio.run_process(command, env=environment, cwd=PROJECT)
    assert len(seed.requests) >= 2  # the proof, then the engine
    assert seed.sent_bytes == 3 * MIB + 77


FETCHER = """
import sys, trio
from contextlib import aclosing
from pathlib import Path
from meshnode.core.filelist import decode_file_list
from meshnode.runtime.payloads.torrent_check import open_torrent
from meshnode.runtime.payloads.torrent_session import TorrentSettings
from meshnode.runtime.payloads.torrents import Torrents

async def main(folder, url):
    files = decode_file_list((folder / "files").read_bytes())
    torrent = open_torrent((folder / "torrent").read_bytes(), files)
    torrents = Torrents(TorrentSettings(allow_local_addresses=True), folder / "home")
    async with trio.open_nursery() as nursery:
        await nursery.start(torrents.run)
        async with aclosing(torrents.download(torrent, mirrors=[url])) as steps:
            async for _ in steps:
                pass
        nursery.cancel_scope.cancel()

trio.run(main, Path(sys.argv[1]), sys.argv[2])
"""


def self_signed(path: Path) -> Path:
    """Make a certificate of 127.0.0.1 for itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "127.0.0.1")])
    day = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(day)
        .not_valid_after(day.replace(year=2120))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path


# --- Parts ----------------------------------------------------------------------------------------
async def test_scattered_pieces_cost_their_own_bytes_and_no_others(
    tmp_path: Path, tile: Path
) -> None:
    torrent = torrent_of(tile, "hybrid")
    places = [0, 3, 4, 9, 12]
    async with (
        web_seed(files(tile.parent)) as seed,
        running(LOCAL, tmp_path / "home") as torrents,
    ):
        for place in places:
            span = range(place * PIECE + 10, place * PIECE + 20)
            parts = torrents.read(torrent, 0, span, mirrors=[seed.url])
            async with aclosing(parts):
                assert b"".join([part async for part in parts]) == bytes_at(tile, span)
        assert seed.sent_bytes == 4 * PIECE + 77  # the last piece has 77 bytes


def bytes_at(path: Path, span: range) -> bytes:
    return path.read_bytes()[span.start : span.stop]


def without_layers(tile: Path) -> CheckedTorrent:
    whole = torrent_of(tile, "v2")
    decoded: Any = lt.bdecode(whole.raw)
    return open_torrent(bytes(lt.bencode({b"info": decoded[b"info"]})), whole.files)


async def test_without_piece_layers_a_v2_torrent_comes_whole_and_is_verified_at_the_end(
    tmp_path: Path, tile: Path
) -> None:
    async with web_seed(files(tile.parent)) as seed:
        await got_from(tmp_path, without_layers(tile), tile, seed.url)


async def test_without_piece_layers_a_v2_torrent_cannot_be_read_in_place(
    tmp_path: Path, tile: Path
) -> None:
    """Nothing of it can be verified before all is here: the reader is told, and gets no byte."""
    bare = without_layers(tile)
    impatient = replace(LOCAL, read_stall_seconds=3)
    async with (
        web_seed(files(tile.parent)) as seed,
        running(impatient, tmp_path / "home") as torrents,
    ):
        parts = torrents.read(bare, 0, range(10), mirrors=[seed.url])
        async with aclosing(parts):
            with pytest.raises(PeerError, match="nothing came for 3 s"):
                await anext(parts)
