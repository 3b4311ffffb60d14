"""A static mirror behind a web server (protocol/05-sync.md, N-87): polite, bounded, resumable."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Final
from urllib.parse import urljoin, urlsplit

import httpcore
import trio

from meshnode import __version__
from meshnode.core.identifiers import Digest
from meshnode.core.limits import STATIC_POINTER_BYTES_MAX, URL_BYTES_MAX
from meshnode.core.static_mirror import POINTER_NAME, object_path
from meshnode.runtime.clock import unix_now
from meshnode.runtime.retry_after import pause_seconds
from meshnode.runtime.static_mirror.shelves import (
    NotThereError,
    OpenFile,
    UnreachableError,
    folder_url,
)
from meshnode.runtime.vetted_network import ForbiddenAddressError, open_pool
from meshnode.runtime.web_answers import body_of, headers_of, reason_of

SECONDS_MAX: Final = 30.0  # for each wait: connecting, and each part of an answer
REDIRECTS_MAX: Final = 5
PAUSE_SECONDS_MAX: Final = 3600.0  # a server that asks for more is asked again then
_HINT: Final = "set [static_mirrors] allow_local_addresses = true if this is meant"
_REDIRECTS: Final = (301, 302, 303, 307, 308)
_TIMEOUT: Final = dict.fromkeys(("connect", "read", "write", "pool"), SECONDS_MAX)
_CONTENT_RANGE: Final = re.compile(r"bytes (?P<first>\d+)-\d+/(?P<total>\d+)")

Headers = dict[str, str]


class WebShelf:
    """Asks one web server, and those it redirects to. Use as a context manager.

    Args:
        url: of the folder with the pointer; https, or http where the operator says so himself.
        allow_local: also addresses inside this machine's own network.
    """

    def __init__(self, url: str, *, allow_local: bool) -> None:
        self.url = folder_url(url)
        self._etag = ""
        self._not_before = 0.0  # as the server wishes; in the time of trio's clock
        self._pool = open_pool(self.url, allow_local=allow_local, hint=_HINT)

    async def aclose(self) -> None:
        await self._pool.aclose()

    async def pointer(self) -> bytes | None:
        """Ask for the pointer, unless it is the one that was read last (RFC 9110 section 13)."""
        condition = {"If-None-Match": self._etag} if self._etag else {}
        async with self._asked(POINTER_NAME, condition) as (status, headers, chunks):
            if status == 304 and self._etag:
                return None
            self._require(status, headers, 200)
            gathered = bytearray()
            async for chunk in chunks:
                gathered += chunk
                if len(gathered) > STATIC_POINTER_BYTES_MAX:
                    raise UnreachableError(f"its {POINTER_NAME} is too long")
            self._etag = headers.get("etag", "")
            return bytes(gathered)

    @asynccontextmanager
    async def open(self, digest: Digest, offset: int) -> AsyncIterator[OpenFile]:
        """Ask for a file, or for the rest of it (RFC 9110 section 14)."""
        wanted = {"Range": f"bytes={offset}-"} if offset else {}
        async with self._asked(object_path(digest), wanted) as (status, headers, chunks):
            self._require(status, headers, 200, 206)
            if status == 206:
                content = _CONTENT_RANGE.fullmatch(headers.get("content-range", ""))
                if content is None or int(content["first"]) != offset:
                    raise UnreachableError("it answers with another part than the one asked for")
                yield OpenFile(int(content["total"]), chunks)
            else:
                size = headers.get("content-length", "")
                if not size.isdecimal():
                    raise UnreachableError("it does not say how long a file is")
                async with aclosing(_without_first(chunks, offset)) as rest:
                    yield OpenFile(int(size), rest)

    @asynccontextmanager
    async def _asked(
        self, name: str, headers: Headers
    ) -> AsyncIterator[tuple[int, Headers, AsyncGenerator[bytes, None]]]:
        """Ask, and follow redirects; each wait has a deadline."""
        left = self._not_before - trio.current_time()
        if left > 0:
            raise UnreachableError(f"it wants not to be asked for {left:.0f} s", left)
        url = self.url + name
        sent = [("User-Agent", f"meshnode/{__version__}"), ("Accept-Encoding", "identity")]
        sent += headers.items()
        try:
            for _ in range(REDIRECTS_MAX + 1):
                async with self._pool.stream(
                    "GET", url, headers=sent, extensions={"timeout": _TIMEOUT}
                ) as response:
                    said = headers_of(response)
                    if response.status not in _REDIRECTS:
                        if said.get("content-encoding", "identity") != "identity":
                            raise UnreachableError("it sends its files in another encoding")
                        async with aclosing(body_of(response)) as chunks:
                            yield response.status, said, chunks
                        return
                    url = self._redirected(url, said.get("location", ""))
            raise UnreachableError(f"more than {REDIRECTS_MAX} redirects")
        except ForbiddenAddressError as error:
            raise UnreachableError(str(error), hint=error.hint) from error
        except (httpcore.TimeoutException, trio.TooSlowError) as error:
            raise UnreachableError(f"no answer within {SECONDS_MAX:g} s") from error
        except (
            httpcore.NetworkError,
            httpcore.ProtocolError,
            httpcore.UnsupportedProtocol,
            OSError,
        ) as error:
            raise UnreachableError(reason_of(error)) from error

    def _redirected(self, url: str, location: str) -> str:
        """Return where a redirect leads; never from https to http."""
        target = urljoin(url, location)
        allowed = ("https",) if self.url.startswith("https:") else ("https", "http")
        if urlsplit(target).scheme not in allowed or len(target) > 2 * URL_BYTES_MAX:
            raise UnreachableError(f"it redirects to {target[:100]!r}")
        return target

    def _require(self, status: int, headers: Headers, *wanted: int) -> None:
        if status in wanted:
            return
        if status in (404, 410, 416):
            raise NotThereError(f"HTTP {status}")
        pause = min(pause_seconds(headers.get("retry-after", ""), unix_now()), PAUSE_SECONDS_MAX)
        self._not_before = trio.current_time() + pause
        raise UnreachableError(f"HTTP {status}", pause)


async def _without_first(
    chunks: AsyncGenerator[bytes, None], offset: int
) -> AsyncGenerator[bytes, None]:
    """Pass over what is here already: the server knows no ranges."""
    async for chunk in chunks:
        if offset < len(chunk):
            yield chunk[offset:]
        offset = max(0, offset - len(chunk))
