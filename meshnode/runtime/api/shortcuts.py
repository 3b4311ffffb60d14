"""Searches by GET without FastAPI's reading of parameters, which costs as much as the search.

The routes that stac-fastapi makes describe themselves in OpenAPI; requests come to these first. The
models are the same, so that what is taken and what is refused is the same.
"""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from meshnode.runtime.api.client import Client
from meshnode.runtime.api.requests import ItemsGet, SearchGet

_SEARCH: Final = TypeAdapter[SearchGet](SearchGet)
_ITEMS: Final = TypeAdapter[ItemsGet](ItemsGet)


def add_shortcuts(app: FastAPI, client: Client) -> None:
    """Have an application answer searches by GET directly."""

    async def search(request: Request) -> Response:
        return await client.get_search(request=request, **_read(_SEARCH, request))

    async def items(request: Request) -> Response:
        return await client.item_collection(request=request, **_read(_ITEMS, request))

    app.router.routes[:0] = [
        Route("/search", search, methods=["GET"], include_in_schema=False),
        Route(
            "/collections/{collection_id}/items", items, methods=["GET"], include_in_schema=False
        ),
    ]


def _read(model: TypeAdapter[Any], request: Request) -> dict[str, Any]:
    said = {**request.query_params, **request.path_params}
    try:
        return dict(vars(model.validate_python(said)))
    except ValidationError as error:
        raise RequestValidationError(
            error.errors(include_url=False, include_input=False)
        ) from error
