"""One small document over HTTP under trio: bounded in bytes and time, and never into one's own net.

The host of each URL is resolved once, and the addresses found are those that are called: a name
cannot be public when it is checked and private when it is asked. The certificate is still checked
against the name (RFC 9110 section 4.3.4).
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Final
from urllib.parse import urljoin

import httpx
import trio

from meshnode import __version__
from meshnode.core.addresses import is_forbidden
from meshnode.errors import PeerError
from meshnode.runtime.joining.validators import Validators

URL_BYTES_MAX: Final = 1024  # as any URL of the protocol (protocol/04-log-and-trust.md, limits)
REDIRECTS_MAX: Final = 5
ADDRESSES_MAX: Final = 4  # of one host that are tried
FETCH_SECONDS_MAX: Final = 60.0  # for all of it: a server that drips bytes is given up
_NOTHING: Final = Validators()
_TIMEOUT: Final = httpx.Timeout(20.0, connect=10.0)
_REDIRECTS: Final = (301, 302, 303, 307, 308)


@dataclass(frozen=True, slots=True)
class Document:
    """`body` is None if the server says that nothing changed."""

    body: bytes | None
    validators: Validators


async def is_local(url: str) -> bool:
    """Say whether a URL that the operator typed leads into his own network.

    Raises:
        PeerError: not an http or https URL, or its host is not found.
    """
    return any(map(is_forbidden, await _addresses(_parsed(url))))


async def fetch(
    url: str,
    size_bytes_max: int,
    *,
    allow_local: bool = False,
    only_https: bool = False,
    known: Validators = _NOTHING,
) -> Document:
    """Return a document.

    Raises:
        PeerError: it cannot be had, is too large, or lies in the operator's own network.
    """
    try:
        with trio.fail_after(FETCH_SECONDS_MAX):
            async with httpx.AsyncClient(timeout=_TIMEOUT, trust_env=False, verify=_trust()) as web:
                return await _followed(
                    web, url, size_bytes_max, known, allow_local=allow_local, only_https=only_https
                )
    except trio.TooSlowError as error:
        raise PeerError(f"{url} is not here after {FETCH_SECONDS_MAX:.0f} s") from error
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        # ValueError: what a server says in a header may be no address, no host name, no text.
        raise PeerError(
            f"{url} cannot be had: {_why(error)}",
            hint="check the address, and try again later",
        ) from error


def _trust() -> ssl.SSLContext:
    """Trust the usual authorities; SSL_CERT_FILE and SSL_CERT_DIR name others, as for any tool."""
    return httpx.create_ssl_context(trust_env=True)


async def _followed(
    web: httpx.AsyncClient,
    asked: str,
    size_bytes_max: int,
    known: Validators,
    *,
    allow_local: bool,
    only_https: bool,
) -> Document:
    url = _parsed(asked)
    for _ in range(REDIRECTS_MAX + 1):
        if url.scheme != "https" and only_https:
            raise PeerError(f"{_shown(url)} is not an https address")
        response, body = await _asked(web, url, size_bytes_max, known, allow_local=allow_local)
        if response.status_code not in _REDIRECTS:
            return _document(url, response, body)
        there = _parsed(urljoin(str(url), response.headers.get("Location", "")))
        if url.scheme == "https" and there.scheme != "https":
            raise PeerError(f"{_shown(url)} sends us on from https to {_shown(there)}")
        url = there
    raise PeerError(f"{asked} leads in circles: more than {REDIRECTS_MAX} redirects")


async def _asked(
    web: httpx.AsyncClient,
    url: httpx.URL,
    size_bytes_max: int,
    known: Validators,
    *,
    allow_local: bool,
) -> tuple[httpx.Response, bytes]:
    """Ask at the first address of the host that answers."""
    addresses = await _addresses(url)
    for address in addresses:
        if is_forbidden(address) and not allow_local:
            raise PeerError(
                f"{_shown(url)} is at {address}, inside this machine's own network",
                hint="name an address there yourself if this is meant",
            )
    failure: httpx.HTTPError | None = None
    for address in addresses[:ADDRESSES_MAX]:
        try:
            return await _stream(web, url, address, size_bytes_max, known)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            failure = error
    assert failure is not None  # a host that is found has an address
    raise failure


async def _stream(
    web: httpx.AsyncClient, url: httpx.URL, address: str, size_bytes_max: int, known: Validators
) -> tuple[httpx.Response, bytes]:
    headers = {
        "Host": url.netloc.decode(),
        "User-Agent": f"meshnode/{__version__}",
        "Accept-Encoding": "identity",  # what is packed could be a bomb
        **known.conditions(),
    }
    here = url.copy_with(host=address)
    named = {"sni_hostname": url.host}
    async with web.stream("GET", here, headers=headers, extensions=named) as response:
        if response.status_code != httpx.codes.OK:
            return response, b""
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise PeerError(f"{_shown(url)} is sent packed, which was not asked for")
        return response, await _body(response, url, size_bytes_max)


async def _body(response: httpx.Response, url: httpx.URL, size_bytes_max: int) -> bytes:
    """Read a body. Of one that is too long the rest is cancelled, not left: the library's nested
    generators have to end by themselves.
    """
    body = bytearray()
    with trio.CancelScope() as scope:
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > size_bytes_max:
                scope.cancel()
    if len(body) > size_bytes_max:
        raise PeerError(f"{_shown(url)} is larger than {size_bytes_max} bytes")
    return bytes(body)


def _document(url: httpx.URL, response: httpx.Response, body: bytes) -> Document:
    headers = response.headers
    validators = Validators(headers.get("ETag"), headers.get("Last-Modified"))
    if response.status_code == httpx.codes.NOT_MODIFIED:
        return Document(None, validators)
    if response.status_code != httpx.codes.OK:
        raise PeerError(
            f"{_shown(url)} answers HTTP {response.status_code}", hint="check the address"
        )
    return Document(body, validators)


async def _addresses(url: httpx.URL) -> list[str]:
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        found = await trio.socket.getaddrinfo(url.host, port, type=trio.socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise PeerError(
            f"{_shown(url)}: {url.host} is not found", hint="check the address"
        ) from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _why(error: BaseException) -> str:
    """Return what went wrong beneath: a certificate, a refused connection, a time-out."""
    chain: list[BaseException] = [error]
    while (beneath := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(beneath)
    said = [str(each) for each in chain if str(each)]
    return said[-1] if said else type(error).__name__


def _parsed(text: str) -> httpx.URL:
    refused = PeerError(
        f"{text[:200]!r} is not an http or https address",
        hint="it looks like https://example.org/…",
    )
    if len(text.encode()) > URL_BYTES_MAX:
        raise refused
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise refused from error
    if url.scheme not in ("http", "https") or not url.host or url.userinfo:
        raise refused
    return url


def _shown(url: httpx.URL) -> str:
    return str(url)[:200]
