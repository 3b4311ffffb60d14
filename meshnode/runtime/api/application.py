"""The API as one ASGI application: stac-fastapi's routes, our limits before them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

import trio
from fastapi import APIRouter, FastAPI, Request
from starlette.responses import HTMLResponse, Response

from meshnode import __version__
from meshnode.runtime.api.addresses import PREFIX
from meshnode.runtime.api.catalogue import DESCRIPTION, OPENAPI_TYPE, TITLE
from meshnode.runtime.api.client import Client
from meshnode.runtime.api.framework import (
    ApiSettings,
    FieldsExtension,
    FilterExtension,
    FreeTextExtension,
    ItemCollectionSortExtension,
    SearchSortExtension,
    StacApi,
    TokenPaginationExtension,
)
from meshnode.runtime.api.paths import path_of
from meshnode.runtime.api.proofs import proof_router
from meshnode.runtime.api.reference import reference_page
from meshnode.runtime.api.refusals import RETRY_SECONDS, install
from meshnode.runtime.api.requests import (
    CollectionsGet,
    ItemGet,
    ItemsGet,
    SearchGet,
    SearchPost,
)
from meshnode.runtime.api.shortcuts import add_shortcuts
from meshnode.runtime.http.asgi import App, Message, Receive, Scope, Send, refuse
from meshnode.runtime.peer import Peer

BODY_BYTES_MAX: Final = 1 << 20  # of a POST: a geometry of 20,000 values fits twice
BODY_SECONDS_MAX: Final = 30.0  # in which it must have come
REQUESTS_MAX: Final = 64  # that are answered or wait at once; others are told to come again

_NO_STORE: Final = {"cache-control": "no-cache"}


def stac_api(peer: Peer, url: str = "", routers: Iterable[APIRouter] = ()) -> Limited:
    """Return the API of a peer, to be mounted at PREFIX.

    `url` is where others call it, "" where each request says so. `routers` have paths of their own
    beside those of STAC.
    """
    client = Client(peer, url)
    app = _stac_fastapi(client)
    for router in (proof_router(peer, client), *routers):
        app.include_router(router)
    _describe(app)
    add_shortcuts(app, client)
    install(app)
    return Limited(app)


class Limited:
    """An ASGI application with bounds: requests at once, and the body of one."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._inside = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._inside >= REQUESTS_MAX:
            again = (b"retry-after", b"%d" % RETRY_SECONDS)
            await refuse(send, 503, "this peer answers others at the moment: try again", [again])
            return
        self._inside += 1
        try:
            body = b""
            if scope["method"] not in ("GET", "HEAD"):
                received = await _body(receive)
                if received is None:
                    said = f"the body is larger than {BODY_BYTES_MAX} bytes, or came too slowly"
                    await refuse(send, 413, said)
                    return
                body = received
            path = path_of(scope)
            inner = {
                **scope,
                "root_path": PREFIX,
                "path": f"{PREFIX}/" if path == PREFIX else path,
            }
            await self._app(inner, _replayed(body, receive), send)
        finally:
            self._inside -= 1


def _replayed(body: bytes, receive: Receive) -> Receive:
    is_given = False

    async def replay() -> Message:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


async def _body(receive: Receive) -> bytes | None:
    """Return the whole body; None if it is too long, takes too long, or the client went away."""
    parts, size_bytes = [], 0
    with trio.move_on_after(BODY_SECONDS_MAX):
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return None
            parts.append(message.get("body", b""))
            size_bytes += len(parts[-1])
            if size_bytes > BODY_BYTES_MAX:
                return None
            if not message.get("more_body"):
                return b"".join(parts)
    return None


class _Api(StacApi):  # type: ignore[misc]
    def add_health_check(self) -> None:
        """Add none: `meshnode status` says how the peer is."""


def _stac_fastapi(client: Client) -> FastAPI:
    app = FastAPI(
        title=TITLE,
        description=DESCRIPTION,
        version=__version__,
        openapi_url="/api",
        docs_url=None,  # its page loads scripts of others; ours is in `reference`
        redoc_url=None,
    )
    _Api(
        settings=ApiSettings(
            stac_fastapi_title=TITLE,
            stac_fastapi_description=DESCRIPTION,
            stac_fastapi_version=__version__,
            stac_fastapi_landing_id="meshnode",
            enable_response_models=False,
            enable_direct_response=True,
        ),
        client=client,
        app=app,
        extensions=[
            FieldsExtension(),
            FilterExtension(client=client),
            FreeTextExtension(),
            SearchSortExtension(client=client),
            ItemCollectionSortExtension(client=client),
            TokenPaginationExtension(),
        ],
        exceptions={},
        search_get_request_model=SearchGet,
        search_post_request_model=SearchPost,
        collections_get_request_model=CollectionsGet,
        items_get_request_model=ItemsGet,
        item_get_request_model=ItemGet,
        middlewares=[],  # our server says who may ask, and compression would hold up the loop
    )
    return app


def _describe(app: FastAPI) -> None:
    """Serve what the API can do, for programs and for people, made once."""
    description = app.openapi()
    text = json.dumps(description, ensure_ascii=False)
    page = reference_page(description)
    app.router.routes[:] = [
        route for route in app.router.routes if getattr(route, "path", "") != app.openapi_url
    ]

    async def openapi(_: Request) -> Response:
        return Response(text, media_type=OPENAPI_TYPE, headers=_NO_STORE)

    async def reference(_: Request) -> Response:
        return HTMLResponse(page, headers=_NO_STORE)

    for path, endpoint in (("/api", openapi), ("/api.html", reference)):
        app.router.add_route(path, endpoint, include_in_schema=False)
