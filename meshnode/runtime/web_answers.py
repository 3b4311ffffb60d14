"""What a web server answers, as httpcore gives it: headers, a body that may be left, a failure."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import httpcore
import trio


async def body_of(response: httpcore.Response) -> AsyncGenerator[bytes, None]:
    """Yield the body; who stops before its end gives the connection up.

    httpcore reads through generators in generators, of which an early end closes the outermost
    alone. Cancelled where it waits for more, each of them ends in order.
    """
    stream = response.aiter_stream()
    is_read = False
    try:
        async for chunk in stream:
            yield chunk
        is_read = True
    finally:
        if not is_read:
            with trio.CancelScope() as scope:
                scope.cancel()
                async for _ in stream:
                    pass


def headers_of(response: httpcore.Response) -> dict[str, str]:
    """Return the headers, their names in small letters."""
    return {
        name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers
    }


def reason_of(error: BaseException) -> str:
    """Return what an error says, or what caused it."""
    cause: BaseException | None = error
    while cause is not None and not str(cause):
        cause = cause.__cause__ or cause.__context__
    return str(cause) if cause else type(error).__name__
