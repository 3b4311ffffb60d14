"""Bytes of one file from a mirror, by HTTP range (RFC 9110 section 14): polite, bounded, vetted.

Every address is checked when it is connected to, whichever redirect led there (P-31). What a server
says of itself is not believed: only its bytes count, and whoever asked hashes them.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Final
from urllib.parse import urljoin, urlsplit

import httpcore
import trio

from meshnode import __version__
from meshnode.core.limits import URL_BYTES_MAX
from meshnode.errors import PeerError
from meshnode.runtime.clock import unix_now
from meshnode.runtime.retry_after import pause_seconds
from meshnode.runtime.vetted_network import ForbiddenAddressError, open_pool
from meshnode.runtime.web_answers import body_of, headers_of, reason_of

SECONDS_MAX: Final = 20.0  # for each wait: connecting, and each part of an answer
REDIRECTS_MAX: Final = 5
PAUSE_SECONDS_MAX: Final = 86_400.0  # a server that asks for more is asked again then
LED_SECONDS_MAX: Final = 30.0  # a redirect is followed anew after that: what it leads to expires
_LED_MAX: Final = 64  # files of one mirror whose redirects are remembered
_DRAINED_BYTES_MAX: Final = 64 << 10  # of the page below an error: read, the connection serves on
_HINT: Final = "set [payload] allow_local_addresses = true if this is meant"
_REDIRECTS: Final = (301, 302, 303, 307, 308)
_GIVEN: Final = (200, 206)
_BUSY: Final = (429, 503)
_TIMEOUT: Final = dict.fromkeys(("connect", "read", "write", "pool"), SECONDS_MAX)
_CONTENT_RANGE: Final = re.compile(r"bytes (?P<first>\d{1,18})-(?P<last>\d{1,18})/(?P<total>\d+)")


class Fault(Enum):
    """Why a mirror gave nothing."""

    UNREACHABLE = "unreachable"  # no connection, no answer in time, or it broke off
    ERROR = "error"  # an HTTP status, or something that is no answer to the question
    BUSY = "busy"  # it wants to be left alone for a while
    NO_RANGES = "no ranges"  # it gives the file as a whole only
    WRONG = "wrong"  # what it has is not the file
    FORBIDDEN = "forbidden"  # it leads into the operator's own network


class MirrorError(PeerError):
    """A mirror gave nothing. The message goes on after its name; `pause_seconds`: for so long it
    wants to be left alone; `piece`: which one was wrong, if one was.
    """

    def __init__(
        self,
        fault: Fault,
        message: str,
        pause_seconds: float = 0.0,
        *,
        piece: int | None = None,
    ) -> None:
        super().__init__(message, hint=_HINT if fault is Fault.FORBIDDEN else "")
        self.fault = fault
        self.pause_seconds = pause_seconds
        self.piece = piece


@dataclass(frozen=True, slots=True)
class Answer:
    """The body that a mirror sends; `status` 200: from the file's first byte, whatever was asked.

    `total` is the length of the whole file as the server says it, None if it does not.
    """

    status: int
    total: int | None
    headers: dict[str, str]
    chunks: AsyncGenerator[bytes, None]

    async def read(self, count: int) -> bytes:
        """Return its first bytes, exactly so many; raises MirrorError where it breaks off."""
        gathered = bytearray()
        async for chunk in self.chunks:
            gathered += chunk
            if len(gathered) > count:
                break  # read to its end otherwise: the connection serves on
        if len(gathered) < count:
            said = f"broke off after {len(gathered)} of {count} bytes"
            raise MirrorError(Fault.UNREACHABLE, said)
        return bytes(gathered[:count])


class RangeClient:
    """Asks one mirror, and those servers to which it redirects. Use `aclose`, or `aclosing`."""

    def __init__(self, url: str, *, allow_local: bool) -> None:
        self._secure = url.startswith("https:")
        self._pool = open_pool(url, allow_local=allow_local, hint=_HINT)
        self._led: dict[str, tuple[str, float]] = {}

    async def aclose(self) -> None:
        await self._pool.aclose()

    async def document(self, url: str, size_bytes_max: int) -> bytes:
        """Return a small document, such as a list of files; raises MirrorError."""
        async with self.asked(url, None) as answer:
            gathered = bytearray()
            async for chunk in answer.chunks:
                gathered += chunk
                if len(gathered) > size_bytes_max:
                    said = f"sends a document of more than {size_bytes_max} bytes"
                    raise MirrorError(Fault.ERROR, said)
            return bytes(gathered)

    @asynccontextmanager
    async def asked(self, url: str, span: range | None) -> AsyncIterator[Answer]:
        """Ask for bytes of a file, for all of it with None; follows redirects.

        Raises:
            MirrorError: no connection, or a status other than 200 and 206.
        """
        headers = [("User-Agent", f"meshnode/{__version__}"), ("Accept-Encoding", "identity")]
        if span is not None:
            headers.append(("Range", f"bytes={span.start}-{span.stop - 1}"))
        try:
            async with self._followed(url, headers) as response:
                said = headers_of(response)
                if said.get("content-encoding", "identity") != "identity":
                    raise MirrorError(Fault.ERROR, "sends its files in another encoding")
                async with aclosing(body_of(response)) as chunks:
                    yield Answer(response.status, _total(response.status, said), said, chunks)
        except ForbiddenAddressError as error:
            raise MirrorError(Fault.FORBIDDEN, str(error)) from error
        except (httpcore.TimeoutException, trio.TooSlowError) as error:
            said_nothing = f"sends nothing for {SECONDS_MAX:g} s"
            raise MirrorError(Fault.UNREACHABLE, said_nothing) from error
        except (
            httpcore.NetworkError,
            httpcore.ProtocolError,
            httpcore.UnsupportedProtocol,
            httpcore.ProxyError,
            OSError,
            ValueError,  # what a server says may be no address, no host name, no text
        ) as error:
            failure = f"cannot be reached: {reason_of(error)}"
            raise MirrorError(Fault.UNREACHABLE, failure) from error

    @asynccontextmanager
    async def _followed(
        self, url: str, headers: list[tuple[str, str]]
    ) -> AsyncIterator[httpcore.Response]:
        """Ask where the last redirect led; where that has expired, ask from the beginning."""
        here, until = self._led.pop(url, (url, 0.0))
        if trio.current_time() < until:
            async with self._answered(here, headers) as response:
                if response.status in _GIVEN:
                    self._remember(url, here, until)
                    yield response
                    return
                await _drain(response)
                if response.status in _BUSY:
                    raise _refusal(response)
        here = url
        for _ in range(REDIRECTS_MAX + 1):
            async with self._answered(here, headers) as response:
                if response.status in _GIVEN:
                    self._remember(url, here, trio.current_time() + LED_SECONDS_MAX)
                    yield response
                    return
                await _drain(response)
                if response.status not in _REDIRECTS:
                    raise _refusal(response)
                here = self._redirected(here, headers_of(response).get("location", ""))
        raise MirrorError(Fault.ERROR, f"answers with more than {REDIRECTS_MAX} redirects")

    def _answered(
        self, url: str, headers: list[tuple[str, str]]
    ) -> AbstractAsyncContextManager[httpcore.Response]:
        return self._pool.stream("GET", url, headers=headers, extensions={"timeout": _TIMEOUT})

    def _remember(self, url: str, here: str, until: float) -> None:
        if here != url:
            while len(self._led) >= _LED_MAX:
                del self._led[next(iter(self._led))]
            self._led[url] = here, until

    def _redirected(self, url: str, location: str) -> str:
        """Return where a redirect leads; never from https to http."""
        try:
            target = urljoin(url, location)
            scheme = urlsplit(target).scheme
        except ValueError:
            target, scheme = location, ""
        allowed = ("https",) if self._secure else ("https", "http")
        if scheme not in allowed or len(target) > 2 * URL_BYTES_MAX or not target.isascii():
            raise MirrorError(Fault.ERROR, f"redirects to {target[:100]!r}")
        return target


def require_part(answer: Answer, span: range, size_bytes: int) -> None:
    """Compare an answer with the bytes that were asked for, and with the file's size.

    Raises:
        MirrorError: it is another part, of a file of another size, or something else.
    """
    if answer.total is not None and answer.total != size_bytes:
        if "html" in answer.headers.get("content-type", ""):
            raise MirrorError(Fault.ERROR, "answers with a web page")
        said = f"has a file of {answer.total} bytes instead of {size_bytes}"
        raise MirrorError(Fault.WRONG, said)
    if answer.status == 200:
        if span != range(size_bytes):
            raise MirrorError(Fault.NO_RANGES, "gives whole files only")
        return
    content = _CONTENT_RANGE.fullmatch(answer.headers.get("content-range", ""))
    if content is None or int(content["first"]) != span.start or int(content["last"]) < span[-1]:
        raise MirrorError(Fault.ERROR, "answers with another part than the one asked for")


async def _drain(response: httpcore.Response) -> None:
    left = _DRAINED_BYTES_MAX
    async with aclosing(body_of(response)) as chunks:
        async for chunk in chunks:
            left -= len(chunk)
            if left < 0:
                return


def _refusal(response: httpcore.Response) -> MirrorError:
    status = response.status
    said = headers_of(response).get("retry-after", "")
    pause = min(pause_seconds(said, unix_now()), PAUSE_SECONDS_MAX)
    if status == 416:
        return MirrorError(Fault.WRONG, "has a shorter file")
    if status in _BUSY or pause:
        return MirrorError(Fault.BUSY, f"is busy (HTTP {status})", pause)
    return MirrorError(Fault.ERROR, f"answered with an error (HTTP {status})")


def _total(status: int, headers: dict[str, str]) -> int | None:
    """Return the length of the whole file, as the server says it."""
    if status == 200:
        length = headers.get("content-length", "")
        return int(length) if length.isdecimal() and length.isascii() else None
    content = _CONTENT_RANGE.fullmatch(headers.get("content-range", ""))
    return int(content["total"]) if content else None
