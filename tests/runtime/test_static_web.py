"""A static mirror on a web server: polite, bounded, resumable, and never led astray."""

from __future__ import annotations

import base64
import contextlib
import random
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio

from meshnode.core.entries import ObjectRef
from meshnode.core.identifiers import Digest, sha256
from meshnode.core.limits import STATIC_POINTER_BYTES_MAX
from meshnode.core.static_mirror import POINTER_NAME, object_path
from meshnode.runtime.static_mirror.shelves import (
    NotThereError,
    UnreachableError,
    WrongFileError,
    read_whole,
)
from meshnode.runtime.static_mirror.web import WebShelf
from tests.runtime.certificates import made_authority
from tests.runtime.web import Answer, Folder, Web, serving

DATA = random.Random(7).randbytes(300_000)
NAME = sha256(DATA)


@pytest.fixture(autouse=True)
def _no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    www = tmp_path / "www"
    place = www / object_path(NAME)
    place.parent.mkdir(parents=True)
    place.write_bytes(DATA)
    (www / POINTER_NAME).write_bytes(b"the pointer")
    return Folder(root=www)


@pytest.fixture
def served(folder: Folder) -> Iterator[Folder]:
    with serving(folder):
        yield folder


@asynccontextmanager
async def reading(web: Web, *, allow_local: bool = True) -> AsyncIterator[WebShelf]:
    shelf = WebShelf(web.url, allow_local=allow_local)
    try:
        yield shelf
    finally:
        await shelf.aclose()


async def rest_of(shelf: WebShelf, digest: Digest, offset: int) -> bytes:
    async with shelf.open(digest, offset) as opened:
        return b"".join([chunk async for chunk in opened.chunks])


async def test_n_87_a_pointer_that_is_as_it_was_is_not_sent_again(served: Folder) -> None:
    async with reading(served) as shelf:
        assert await shelf.pointer() == b"the pointer"
        assert await shelf.pointer() is None
        (served.root / POINTER_NAME).write_bytes(b"another")
        assert await shelf.pointer() == b"another"
    assert [status for _, status in served.answered] == [200, 304, 200]


async def test_n_87_the_rest_of_a_file_is_asked_for_alone(served: Folder) -> None:
    async with reading(served) as shelf, shelf.open(NAME, 200_000) as opened:
        assert opened.size_bytes == len(DATA)
        assert b"".join([chunk async for chunk in opened.chunks]) == DATA[200_000:]
    assert served.answered[-1][1] == 206


async def test_a_server_without_ranges_costs_bytes_and_nothing_else(served: Folder) -> None:
    served.knows_ranges = False
    async with reading(served) as shelf:
        assert await rest_of(shelf, NAME, 200_000) == DATA[200_000:]


async def test_a_whole_file_is_checked_against_its_name(served: Folder) -> None:
    (served.root / object_path(NAME)).write_bytes(DATA[:-1] + b"\0")
    async with reading(served) as shelf:
        with pytest.raises(WrongFileError, match="is not what its name says"):
            await read_whole(shelf, ObjectRef(NAME, len(DATA)))


async def test_a_file_that_is_longer_than_named_is_not_read_to_its_end(served: Folder) -> None:
    async with reading(served) as shelf:
        with pytest.raises(WrongFileError):
            await read_whole(shelf, ObjectRef(NAME, 1000))


async def test_what_is_not_there_is_no_fault(served: Folder) -> None:
    async with reading(served) as shelf:
        with pytest.raises(NotThereError, match="HTTP 404"):
            await rest_of(shelf, sha256(b"?"), 0)


async def test_n_87_a_pointer_without_end_is_not_read_to_its_end(served: Folder) -> None:
    (served.root / POINTER_NAME).write_bytes(bytes(STATIC_POINTER_BYTES_MAX + 1))
    async with reading(served) as shelf:
        with pytest.raises(UnreachableError, match="too long"):
            await shelf.pointer()


async def test_n_87_a_server_says_when_it_wants_to_be_asked_again(served: Folder) -> None:
    served.first.append(Answer(503, headers={"Retry-After": "120"}))
    async with reading(served) as shelf:
        with pytest.raises(UnreachableError, match="HTTP 503") as refused:
            await shelf.pointer()
        assert refused.value.seconds == 120
        with pytest.raises(UnreachableError, match=r"it wants not to be asked for 1[12]\d s"):
            await rest_of(shelf, NAME, 0)
    assert len(served.answered) == 1


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"Location": "/elsewhere/mirror.cbor"}, "redirects"),
        ({"Location": "ftp://127.0.0.1/"}, "it redirects to 'ftp://127.0.0.1/'"),
        ({"Location": "file:///etc/passwd"}, "it redirects to"),
    ],
)
async def test_redirects_that_lead_nowhere_end(headers: dict[str, str], said: str) -> None:
    web = Redirecting(headers=headers)
    with serving(web):
        async with reading(web) as shelf:
            with pytest.raises(UnreachableError, match=said):
                await shelf.pointer()
    assert len(web.answered) <= 6


@dataclass
class Redirecting(Web):
    """Sends everybody on."""

    headers: dict[str, str] = field(default_factory=dict)

    def route(self, method: str, path: str, query: dict[str, str], body: object) -> Answer:
        return Answer(302, headers=self.headers)


async def test_n_87_a_redirect_is_followed_and_its_file_checked(served: Folder) -> None:
    path = object_path(NAME)
    served.first.append(Answer(302, headers={"Location": f"/{path}"}))
    async with reading(served) as shelf:
        assert await read_whole(shelf, ObjectRef(NAME, len(DATA))) == DATA
    assert [status for _, status in served.answered] == [302, 200]


async def test_n_87_no_address_of_the_own_network_is_connected_to(served: Folder) -> None:
    async with reading(served, allow_local=False) as shelf:
        with pytest.raises(UnreachableError, match="inside this machine's own network") as refused:
            await shelf.pointer()
    assert "allow_local_addresses" in refused.value.hint
    assert served.answered == []


async def test_a_name_that_leads_into_the_own_network_is_refused_too(served: Folder) -> None:
    port = served.url.rpartition(":")[2]
    shelf = WebShelf(f"http://localhost:{port}/", allow_local=False)
    with pytest.raises(UnreachableError, match="inside this machine's own network"):
        await shelf.pointer()
    assert served.answered == []


async def test_a_server_that_is_gone_is_unreachable(folder: Folder) -> None:
    with serving(folder):
        pass
    async with reading(folder) as shelf:
        with pytest.raises(UnreachableError):
            await shelf.pointer()


async def test_files_in_another_encoding_are_not_taken(served: Folder) -> None:
    served.first.append(Answer(200, b"...", {"Content-Encoding": "gzip"}))
    async with reading(served) as shelf:
        with pytest.raises(UnreachableError, match="another encoding"):
            await shelf.pointer()


@contextmanager
def over_tls(folder: Folder, where: Path) -> Iterator[Path]:
    authority = made_authority(where)
    with serving(folder, authority.tls):
        yield authority.file


async def test_a_certificate_that_nobody_vouches_for_is_refused(
    folder: Folder, tmp_path: Path
) -> None:
    with over_tls(folder, tmp_path):
        async with reading(folder) as shelf:
            with pytest.raises(UnreachableError, match="certificate verify failed"):
                await shelf.pointer()
    assert folder.answered == []


async def test_https_is_never_left_for_http(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.first.append(Answer(302, headers={"Location": "http://127.0.0.1:9/mirror.cbor"}))
    with over_tls(folder, tmp_path) as certificate:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        async with reading(folder) as shelf:
            with pytest.raises(UnreachableError, match="it redirects to 'http:"):
                await shelf.pointer()
            assert await shelf.pointer() == b"the pointer"


async def test_a_proxy_of_the_environment_is_asked_instead(
    served: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", served.url)
    shelf = WebShelf("http://mirror.example.org/", allow_local=False)
    assert await shelf.pointer() == b"the pointer"
    assert await read_whole(shelf, ObjectRef(NAME, len(DATA))) == DATA
    await shelf.aclose()
    assert served.answered[0][0] == "http://mirror.example.org/mirror.cbor"


async def test_a_host_that_needs_no_proxy_is_reached_without(
    served: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    async with reading(served) as shelf:
        assert await shelf.pointer() == b"the pointer"


async def test_https_goes_through_a_tunnel_of_the_proxy_who_sees_no_content(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with over_tls(folder, tmp_path) as certificate, tunnelling() as proxy:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        monkeypatch.setenv("https_proxy", f"http://me:a%20secret@127.0.0.1:{proxy.port}")
        async with reading(folder) as shelf:
            assert await shelf.pointer() == b"the pointer"
    [asked] = proxy.asked
    lines = asked.decode().splitlines()
    assert lines[0] == f"CONNECT {folder.url.removeprefix('https://')} HTTP/1.1"
    secret = base64.b64encode(b"me:a secret").decode()
    assert f"Proxy-Authorization: Basic {secret}" in lines


@dataclass
class Tunnels:
    """An HTTP proxy that knows CONNECT alone; `asked` is what clients said before the tunnel."""

    port: int
    asked: list[bytes] = field(default_factory=list)


@contextmanager
def tunnelling() -> Iterator[Tunnels]:
    """Run such a proxy in threads until the block ends."""
    listener = socket.create_server(("127.0.0.1", 0))
    tunnels = Tunnels(listener.getsockname()[1])

    def relay(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def serve() -> None:
        with contextlib.suppress(OSError):
            client, _ = listener.accept()
            with client:
                asked = b""
                while not asked.endswith(b"\r\n\r\n"):
                    asked += client.recv(1 << 16)
                tunnels.asked.append(asked)
                host, _, port = asked.split(b" ", 2)[1].decode().partition(":")
                with socket.create_connection((host, int(port))) as server:
                    client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    back = threading.Thread(target=relay, args=(server, client))
                    back.start()
                    relay(client, server)
                    back.join()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield tunnels
    finally:
        listener.close()
        thread.join()


async def test_a_server_that_stalls_costs_a_bounded_time(autojump_clock: object) -> None:
    """The deadline is that of a wait: in virtual time, it passes at once."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    shelf = WebShelf(f"http://127.0.0.1:{port}/", allow_local=True)
    with pytest.raises(UnreachableError, match="no answer within 30 s"):
        await shelf.pointer()
    for listener in listeners:
        await listener.aclose()
