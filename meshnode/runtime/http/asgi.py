"""The part of ASGI that this project uses (https://asgi.readthedocs.io), and plain answers."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from http import HTTPStatus
from typing import Any

import trio

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Header = tuple[bytes, bytes]


def header(scope: Scope, name: bytes) -> str | None:
    """Return a header that was sent once; None if it was not, or several times."""
    found = [value for key, value in scope["headers"] if key == name]
    return str(found[0], "latin-1") if len(found) == 1 else None


async def answer(
    send: Send, status: int, headers: Iterable[Header] = (), body: bytes = b""
) -> None:
    """Send a whole answer; to a HEAD request the server sends its headers alone."""
    length = (b"content-length", b"%d" % len(body))
    start = {"type": "http.response.start", "status": status, "headers": [*headers, length]}
    await send(start)
    await send({"type": "http.response.body", "body": body})


async def answer_json(send: Send, value: object, headers: Iterable[Header] = ()) -> None:
    body = json.dumps(value, ensure_ascii=False, indent=2).encode() + b"\n"
    await answer(send, 200, [(b"content-type", b"application/json"), *headers], body)


async def refuse(send: Send, status: int, sentence: str, headers: Iterable[Header] = ()) -> None:
    """Say why something cannot be had (RFC 9457, problem details)."""
    problem = {"status": status, "title": HTTPStatus(status).phrase, "detail": sentence}
    body = json.dumps(problem, ensure_ascii=False).encode() + b"\n"
    await answer(send, status, [(b"content-type", b"application/problem+json"), *headers], body)


async def cancel_when_gone(receive: Receive, scope: trio.CancelScope) -> None:
    """Wait until the client goes away, and cancel what is made for it."""
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
