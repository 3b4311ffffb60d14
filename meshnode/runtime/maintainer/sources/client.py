"""One polite way to ask web servers: time-outs, retries that wait as asked, bounds, no surprises.

A server may send us on (redirects, links to a next page). Unless the operator named a local address
himself, none of it leads into his own network.
"""

from __future__ import annotations

import io
import re
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, BinaryIO, Final, NoReturn
from urllib.parse import urljoin, urlsplit

import httpx

from meshnode import __version__
from meshnode.core.addresses import is_forbidden
from meshnode.errors import UsageError
from meshnode.runtime.clock import unix_now
from meshnode.runtime.maintainer.sources.responses import Kept, Responses

DOCUMENT_BYTES_MAX: Final = 64 << 20  # a page of 10,000 items of 6 kB
FILE_BYTES_MAX: Final = 64 << 30  # a file of items: as much as a disk may hold
ATTEMPTS_MAX: Final = 6  # with pauses of 1 to 16 s: a restart of the server passes
PAUSE_SECONDS_MAX: Final = 600.0  # a server that asks for more is not waited for
REDIRECTS_MAX: Final = 5
TIMEOUT: Final = httpx.Timeout(120.0, connect=10.0)  # a page of an API may take long to make
_TRANSIENT: Final = (429, 500, 502, 503, 504)
_REDIRECTS: Final = (301, 302, 303, 307, 308)
_CHUNK_BYTES: Final = 1 << 16
_CONTENT_RANGE: Final = re.compile(r"bytes (?P<first>\d+)-\d+/(?P<total>\d+)")


class PassingError(Exception):
    """An attempt failed in a way that may pass; `seconds` is the pause that the server wants."""

    def __init__(self, message: str, seconds: float | None = None) -> None:
        super().__init__(message)
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked: a URL, and for POST a JSON body."""

    url: str
    method: str = "GET"
    headers: Mapping[str, str] | None = None
    body: Any = None


@dataclass(frozen=True, slots=True)
class Part:
    """Some bytes of a file, how many it has in all, and its ETag if the server says one."""

    body: bytes
    total_bytes: int
    etag: str | None


class Client:
    """Asks the servers of one source, in any thread. Use as a context manager.

    Args:
        source: the URL that the operator named; None: none, so nothing local is allowed.
        responses: what was answered last time; a server that says "not modified" sends nothing.
        pause: waits for so many seconds; by default until the block ends at most.
    """

    def __init__(
        self,
        source: str | None,
        responses: Responses | None = None,
        pause: Callable[[float], object] | None = None,
    ) -> None:
        self._source = source
        self._allows_local: bool | None = None  # not known before the first request
        self._vetted = {_host(source)} if source is not None else set()
        self._responses = responses
        self._is_over = threading.Event()
        self._pause = pause or self._is_over.wait
        agent = f"meshnode/{__version__}"
        self._http = httpx.Client(timeout=TIMEOUT, headers={"User-Agent": agent})

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_over.set()  # threads that wait to ask again stop waiting
        self._http.close()

    def document(self, request: Request | str) -> tuple[bytes, str]:
        """Return a document and where it was found; unchanged since last time, from this disk.

        Raises:
            UsageError: it cannot be had, is too large, or lies in the operator's own network.
        """
        request = Request(request) if isinstance(request, str) else request
        keeps = self._responses is not None and request.method == "GET"
        kept = self._responses.get(request.url) if self._responses and keeps else None
        buffer = io.BytesIO()
        response, url = self._retried(request, kept, buffer, DOCUMENT_BYTES_MAX)
        if response.status_code == httpx.codes.NOT_MODIFIED and kept is not None:
            return kept.body, url
        body = buffer.getvalue()
        if self._responses and keeps:
            etag, modified = response.headers.get("ETag"), response.headers.get("Last-Modified")
            self._responses.put(request.url, Kept(etag, modified, body))
        return body, url

    def download(self, url: str, file: BinaryIO) -> None:
        """Write what is at a URL into an empty file.

        Raises:
            UsageError: as `document`.
        """
        self._retried(Request(url), None, file, FILE_BYTES_MAX)

    def part(self, url: str, first: int, size_bytes: int) -> Part:
        """Return some bytes of a file (RFC 9110 section 14); fewer at its end.

        Raises:
            UsageError: as `document`, or the server answers with something else than that part.
        """
        wanted = f"bytes={first}-{first + size_bytes - 1}"
        headers = {"Range": wanted, "Accept-Encoding": "identity"}
        buffer = io.BytesIO()
        response, _ = self._retried(Request(url, headers=headers), None, buffer, size_bytes)
        content = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        body, total = buffer.getvalue(), int(content["total"]) if content else 0
        if (
            content is None
            or int(content["first"]) != first
            or len(body) != min(size_bytes, total - first)
        ):
            raise UsageError(f"{url} answers with another part than the one asked for")
        return Part(body, total, response.headers.get("ETag"))

    def _retried(
        self, request: Request, kept: Kept | None, file: BinaryIO, size_bytes_max: int
    ) -> tuple[httpx.Response, str]:
        for attempt in range(ATTEMPTS_MAX):
            try:
                return self._followed(request, kept, file, size_bytes_max)
            except (PassingError, httpx.TransportError) as error:
                said = getattr(error, "seconds", None)
                seconds = 2.0**attempt if said is None else said
                is_last = attempt == ATTEMPTS_MAX - 1 or self._is_over.is_set()
                if is_last or seconds > PAUSE_SECONDS_MAX:
                    raise UsageError(
                        f"{request.url} cannot be had: {str(error) or type(error).__name__}",
                        hint="try again later: nothing is published, and nothing is lost",
                    ) from error
                file.seek(0)
                file.truncate()
                self._pause(seconds)
        raise AssertionError("the last attempt returns or raises")

    def _followed(
        self, request: Request, kept: Kept | None, file: BinaryIO, size_bytes_max: int
    ) -> tuple[httpx.Response, str]:
        url, method, body = request.url, request.method, request.body
        headers = dict(request.headers or {})
        headers |= kept.conditions() if kept else {}
        for _ in range(REDIRECTS_MAX + 1):
            self._vet(url)
            with self._http.stream(method, url, headers=headers, json=body) as response:
                if response.status_code == httpx.codes.SEE_OTHER:
                    method, body = "GET", None
                if response.status_code in _REDIRECTS:
                    url = urljoin(url, response.headers.get("Location", ""))
                    continue
                _check_status(url, response, is_partial="Range" in headers)
                _copy(response, file, size_bytes_max)
                return response, url
        raise UsageError(f"{request.url} leads in circles: more than {REDIRECTS_MAX} redirects")

    def _vet(self, url: str) -> None:
        """Refuse a URL that leads into the operator's network from a source that is not there."""
        host = _host(url)
        if self._allows_local is None:
            named = _addresses(self._source) if self._source is not None else []
            self._allows_local = any(map(is_forbidden, named))
        if self._allows_local or host in self._vetted:
            return
        for address in _addresses(url):
            if is_forbidden(address):
                raise UsageError(
                    f"{url} is at {address}, inside this machine's own network",
                    hint="name a source there yourself if this is meant",
                )
        self._vetted.add(host)


def _check_status(url: str, response: httpx.Response, *, is_partial: bool) -> None:
    status = response.status_code
    if is_partial and status == httpx.codes.OK:
        raise UsageError(f"{url} is given as a whole only: its server knows no range requests")
    if is_partial and status == httpx.codes.PARTIAL_CONTENT:
        return
    if status in _TRANSIENT:
        raise PassingError(f"HTTP {status}", _seconds(response.headers.get("Retry-After")))
    if status not in (httpx.codes.OK, httpx.codes.NOT_MODIFIED):
        raise UsageError(f"{url} answers HTTP {status}", hint="check the address")


def _seconds(retry_after: str | None) -> float | None:
    """Read the header Retry-After (RFC 9110 section 10.2.3): seconds, or a date."""
    if retry_after is None:
        return None
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - unix_now())
    except ValueError:
        return None


def _copy(response: httpx.Response, file: BinaryIO, size_bytes_max: int) -> None:
    size_bytes = 0
    for chunk in response.iter_bytes(_CHUNK_BYTES):
        size_bytes += len(chunk)
        if size_bytes > size_bytes_max:
            raise UsageError(f"{response.url} is larger than {size_bytes_max} bytes")
        file.write(chunk)


def _host(url: str) -> str:
    parts = _parts(url)
    return f"{parts[0]}:{parts[1]}"


def _addresses(url: str) -> list[str]:
    host, port = _parts(url)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UsageError(f"{url}: {host} is not found", hint="check the address") from error
    return [str(entry[4][0]) for entry in found]


def _parts(url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        _refuse(url)
    if parts.scheme not in ("http", "https") or not host:
        _refuse(url)
    return host, port or (443 if parts.scheme == "https" else 80)


def _refuse(url: str) -> NoReturn:
    raise UsageError(f"{url[:200]!r} is not an http or https address")
