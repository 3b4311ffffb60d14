"""The feed as an ASGI application: pages of changes as JSON, the newest ones as RSS."""

from __future__ import annotations

import json
from functools import partial
from typing import Any, Final
from urllib.parse import urlencode

import trio

from meshnode.core.identifiers import catalogue_text
from meshnode.errors import MeshnodeError, StorageError
from meshnode.runtime.changes.parameters import Parameters, parameters_of
from meshnode.runtime.changes.rss import rss
from meshnode.runtime.http.asgi import Header, Receive, Scope, Send, answer, header, refuse
from meshnode.runtime.http.ranges import is_known
from meshnode.runtime.index.changes import Change, Page, Wanted, latest, newest, page
from meshnode.runtime.operator.changes import change_said, names_of, read_feed, wanted_of
from meshnode.runtime.peer import Peer

PATH: Final = "/changes"
RSS_PATH: Final = "/changes.rss"
RSS_CHANGES: Final = 50


class Feed:
    """An ASGI application for PATH and RSS_PATH."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] not in (PATH, RSS_PATH):
            await refuse(send, 404, f"the feed is at {PATH} and {RSS_PATH}")
            return
        if scope["method"] not in ("GET", "HEAD"):
            await refuse(send, 405, "the feed is only read", [(b"allow", b"GET, HEAD")])
            return
        try:
            await self._answer(scope, send)
        except StorageError as error:
            await refuse(send, 503, str(error))
        except MeshnodeError as error:
            await refuse(send, 400, f"{error} ({error.hint})" if error.hint else str(error))

    async def _answer(self, scope: Scope, send: Send) -> None:
        asked = parameters_of(scope)
        # Before the page is read: what happens in between is told again, never passed over.
        etag = f'"{await read_feed(self._peer, newest)}"'
        headers: list[Header] = [(b"etag", etag.encode()), (b"cache-control", b"no-cache")]
        if is_known(header(scope, b"if-none-match"), etag):
            await send({"type": "http.response.start", "status": 304, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
            return
        peer, wanted = self._peer, await trio.to_thread.run_sync(wanted_of, self._peer, asked)
        if scope["path"] == RSS_PATH:
            changes = await read_feed(peer, partial(latest, wanted=wanted, limit=RSS_CHANGES))
            names = await trio.to_thread.run_sync(names_of, peer, changes)
            body, kind = rss(changes, names, _address(scope)), b"application/rss+xml"
        else:
            asking = partial(page, since=asked.since, wanted=wanted, limit=asked.limit)
            found = await read_feed(peer, asking)
            body, kind = _page_said(found, asked, wanted), b"application/json"
        await answer(send, 200, [(b"content-type", kind), *headers], body)


def _page_said(found: Page, asked: Parameters, wanted: Wanted) -> bytes:
    """Write a page; items stand in it as they were published."""
    next_ = urlencode(
        {
            "since": str(found.cursor),
            **(
                {"catalogues": ",".join(map(catalogue_text, wanted.catalogues))}
                if wanted.catalogues
                else {}
            ),
            **({"collections": ",".join(wanted.collections)} if wanted.collections else {}),
            "limit": asked.limit,
        }
    )
    links = [] if found.is_last else [_link("next", f"{PATH}?{next_}")]
    tail = {
        "reset": found.is_reset,
        "cursor": str(found.cursor),
        "links": [*links, _link("monitor", f"{PATH}?{next_}")],
    }
    changes = b",\n".join(map(_change_said, found.changes))
    return b'{"changes":[' + changes + b"],\n" + json.dumps(tail).encode()[1:] + b"\n"


def _change_said(change: Change) -> bytes:
    said = json.dumps(change_said(change), ensure_ascii=False).encode()
    return said if change.found is None else said[:-1] + b', "item": ' + change.found.item + b"}"


def _link(rel: str, href: str) -> dict[str, Any]:
    return {"rel": rel, "href": href, "type": "application/json"}


def _address(scope: Scope) -> str:
    """Return how the client called: the guard has checked the name."""
    query = scope["query_string"].decode("latin-1")
    host = header(scope, b"host") or "localhost"
    return f"http://{host}{scope['path']}{'?' * bool(query)}{query}"
