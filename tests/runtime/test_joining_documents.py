"""Documents from the web: bounded, checked by certificate, and never from one's own network."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from meshnode.errors import PeerError
from meshnode.runtime.joining.documents import REDIRECTS_MAX, fetch, is_local
from meshnode.runtime.joining.validators import Validators
from tests.runtime.certificates import Authority, made_authority
from tests.runtime.web import Answer, Folder, Web, serving


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return made_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    (tmp_path / "list").write_bytes(b"first contacts")
    return Folder(root=tmp_path)


@dataclass
class Elsewhere(Web):
    """Sends on whoever asks."""

    to: str = ""
    asked: list[str] = field(default_factory=list)

    def route(self, method: str, path: str, query: dict[str, str], body: Any) -> Answer:
        self.asked.append(path)
        return Answer(302, b"", {"Location": self.to})


async def test_a_document_comes_once_and_then_only_if_it_changed(folder: Folder):
    with serving(folder) as url:
        first = await fetch(f"{url}/list", 100, allow_local=True)
        assert first.body == b"first contacts"
        again = await fetch(f"{url}/list", 100, allow_local=True, known=first.validators)
        assert again.body is None
        (folder.root / "list").write_bytes(b"others")
        changed = await fetch(f"{url}/list", 100, allow_local=True, known=first.validators)
        assert changed.body == b"others"
    assert [status for _, status in folder.answered] == [200, 304, 200]


async def test_a_certificate_is_checked_against_the_name(
    folder: Folder, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with serving(folder, authority.tls) as url:
        with pytest.raises(PeerError, match="certificate verify failed"):
            await fetch(f"{url}/list", 100, allow_local=True)
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
        document = await fetch(f"{url}/list", 100, allow_local=True, only_https=True)
        assert document.body == b"first contacts"
    other = made_authority(tmp_path / "other", host="elsewhere.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(other.file))
    with serving(folder, other.tls) as url, pytest.raises(PeerError, match="localhost"):
        await fetch(f"{url}/list", 100, allow_local=True)


async def test_i13_an_address_of_the_own_network_is_not_asked(folder: Folder):
    with serving(folder) as url:
        assert await is_local(url)
        with pytest.raises(PeerError, match="inside this machine's own network"):
            await fetch(f"{url}/list", 100)
    assert folder.answered == []


async def test_what_is_too_large_is_cut(folder: Folder):
    for size_bytes in (101, 8 << 20):
        (folder.root / "list").write_bytes(bytes(size_bytes))
        with serving(folder) as url, pytest.raises(PeerError, match="larger than 100 bytes"):
            await fetch(f"{url}/list", 100, allow_local=True)


async def test_what_is_packed_is_not_unpacked():
    bomb = gzip.compress(bytes(1 << 20))
    web = Web(first=[Answer(200, bomb, {"Content-Encoding": "gzip"})])
    with serving(web) as url, pytest.raises(PeerError, match="is sent packed"):
        await fetch(f"{url}/list", 100_000, allow_local=True)


async def test_redirects_are_followed_to_an_end(folder: Folder):
    with serving(folder) as url:
        there = Elsewhere(to=f"{url}/list")
        with serving(there) as here:
            document = await fetch(f"{here}/old", 100, allow_local=True)
            assert document.body == b"first contacts"
    circle = Elsewhere(to="/again")
    with serving(circle) as url, pytest.raises(PeerError, match="leads in circles"):
        await fetch(url, 100, allow_local=True)
    assert len(circle.asked) == REDIRECTS_MAX + 1


async def test_n_93_a_redirect_does_not_leave_https(
    folder: Folder, authority: Authority, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    with serving(folder) as plain, serving(Elsewhere(to=f"{plain}/list"), authority.tls) as url:
        with pytest.raises(PeerError, match="from https to http:"):
            await fetch(url, 100, allow_local=True)
        with pytest.raises(PeerError, match="is not an https address"):
            await fetch(f"{plain}/list", 100, allow_local=True, only_https=True)
    assert folder.answered == []


@pytest.mark.parametrize("there", ["http://[::1", "//[", "https://\\x", "http://h:port/", "\xff"])
async def test_a_redirect_to_nowhere_is_an_error(there: str):
    web = Web(first=[Answer(302, b"", {"Location": there})])
    with serving(web) as url, pytest.raises(PeerError):
        await fetch(url, 100, allow_local=True)


async def test_an_etag_of_any_letters_is_an_error_at_most(folder: Folder):
    with serving(folder) as url, pytest.raises(PeerError):
        await fetch(f"{url}/list", 100, allow_local=True, known=Validators("\u2603"))


@pytest.mark.parametrize("status", [404, 500, 206])
async def test_an_answer_without_the_document_is_an_error(status: int):
    web = Web(first=[Answer(status)])
    with serving(web) as url, pytest.raises(PeerError, match=f"answers HTTP {status}"):
        await fetch(url, 100, allow_local=True)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/x",
        "file:///etc/passwd",
        "example.org/x",
        "https://",
        "https://user:word@example.org/x",
        f"https://example.org/{'x' * 1024}",
    ],
)
async def test_what_is_no_web_address_is_refused(url: str):
    with pytest.raises(PeerError, match="is not an http or https address"):
        await fetch(url, 100)


async def test_a_server_that_is_not_there_is_an_error():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(PeerError, match="cannot be had"):
        await fetch(f"http://127.0.0.1:{port}/", 100, allow_local=True)


async def test_a_server_that_speaks_nonsense_is_an_error():
    with _speaking(b"SSH-2.0-OpenSSH\r\n") as port, pytest.raises(PeerError, match="cannot be had"):
        await fetch(f"http://127.0.0.1:{port}/", 100, allow_local=True)


async def test_validators_ask_only_by_what_the_server_said():
    assert Validators("e", "m").conditions() == {"If-None-Match": "e", "If-Modified-Since": "m"}
    assert Validators().conditions() == {}


@contextmanager
def _speaking(greeting: bytes) -> Iterator[int]:
    """Answer one caller with these bytes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            caller, _ = listener.accept()
            with caller:
                caller.sendall(greeting)

        thread = threading.Thread(target=answer)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()
