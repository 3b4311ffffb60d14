"""The answers of the API, as stac-fastapi asks for them: each is one call of what knows them."""

from __future__ import annotations

from typing import Any

import trio
from fastapi import Request
from starlette.responses import Response

from meshnode.runtime.api import wanted
from meshnode.runtime.api.addresses import Addresses
from meshnode.runtime.api.catalogue import TITLE, Catalogue, landing
from meshnode.runtime.api.conformance import CLASSES
from meshnode.runtime.api.documents import Documents
from meshnode.runtime.api.features import GEOJSON
from meshnode.runtime.api.framework import (
    AsyncBaseCoreClient,
    AsyncBaseFiltersClient,
    AsyncBaseSortablesClient,
)
from meshnode.runtime.api.naming import CurrentNames
from meshnode.runtime.api.pages import Asked, Searches
from meshnode.runtime.api.paths import unescaped
from meshnode.runtime.api.queryables import queryables, sortables
from meshnode.runtime.api.refusals import RefusedError
from meshnode.runtime.api.requests import PARAMETERS, SearchPost
from meshnode.runtime.api.standings import Standings
from meshnode.runtime.index.query import Query
from meshnode.runtime.peer import Peer

Answer = dict[str, Any]


class Client(AsyncBaseCoreClient, AsyncBaseFiltersClient, AsyncBaseSortablesClient):  # type: ignore[misc]
    """The peer behind stac-fastapi; `url` is what the operator says the API is called."""

    def __init__(self, peer: Peer, url: str) -> None:
        super().__init__()
        self._peer = peer
        self._url = url
        self._names = CurrentNames(peer)
        standings = Standings(peer)
        self._searches = Searches(peer, standings)
        self._catalogue = Catalogue(peer, Documents(peer, standings))

    # --- The catalogue ----------------------------------------------------------------------------
    def conformance_classes(self) -> list[str]:
        return list(CLASSES)

    async def landing_page(self, **kwargs: Any) -> Answer:  # noqa: ANN401 - as stac-fastapi calls
        return landing(self._addresses(kwargs["request"]))

    async def all_collections(
        self,
        limit: int,
        token: str | None,
        **kwargs: Any,  # noqa: ANN401
    ) -> Answer:
        request = kwargs["request"]
        wanted.require_known(request.query_params, PARAMETERS["collections"])
        names, addresses = self._names.now(), self._addresses(request)
        return await trio.to_thread.run_sync(
            self._catalogue.page, names, addresses, min(limit, 1000), token
        )

    async def get_collection(self, collection_id: str, **kwargs: Any) -> Answer:  # noqa: ANN401
        names, addresses = self._names.now(), self._addresses(kwargs["request"])
        asked = unescaped(collection_id)
        return await trio.to_thread.run_sync(self._catalogue.collection, asked, names, addresses)

    # --- Items ------------------------------------------------------------------------------------
    async def get_search(self, **given: Any) -> Response:  # noqa: ANN401
        request = given.pop("request")
        wanted.require_known(request.query_params, PARAMETERS["search"])
        return await self._page(request, given, self._addresses(request).search)

    async def post_search(self, search_request: SearchPost, **kwargs: Any) -> Response:  # noqa: ANN401
        names, addresses = self._names.now(), self._addresses(kwargs["request"])
        page = wanted.of_post(names, search_request)
        said = search_request.model_dump(mode="json", by_alias=True, exclude_unset=True)
        asked = Asked(addresses.search, body=said)
        return _geojson(await self._searches.collection_of_features(page, names, addresses, asked))

    async def item_collection(self, collection_id: str, **given: Any) -> Response:  # noqa: ANN401
        request = given.pop("request")
        wanted.require_known(request.query_params, PARAMETERS["items"])
        names = self._names.now()
        found = await trio.to_thread.run_sync(self._catalogue.one, unescaped(collection_id), names)
        name = names.of(*found)
        address = self._addresses(request).items(name)
        return await self._page(request, {**given, "collections": [name]}, address)

    async def get_item(
        self,
        item_id: str,
        collection_id: str,
        proof: bool = False,
        **kwargs: Any,  # noqa: ANN401
    ) -> Response:
        request = kwargs["request"]
        wanted.require_known(request.query_params, PARAMETERS["item"])
        names = self._names.now()
        query = await self.item_query(collection_id, item_id)
        found = await self._searches.feature(query, names, self._addresses(request), proof=proof)
        if found is None:
            raise RefusedError(404, f"the collection has no item {query.ids[0][:100]!r} here")
        return _geojson(found)

    async def item_query(self, collection_id: str, item_id: str) -> Query:
        """Return the query of one item, named as steps of a path.

        Raises:
            RefusedError: there is no such collection, or several.
        """
        names, asked = self._names.now(), unescaped(collection_id)
        pair = await trio.to_thread.run_sync(self._catalogue.one, asked, names)
        return Query(ids=(unescaped(item_id),), pairs=(pair,), limit=1)

    # --- What can be asked ------------------------------------------------------------------------
    async def get_queryables(
        self,
        collection_id: str | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> Answer:
        addresses, names = self._addresses(kwargs["request"]), self._names.now()
        if collection_id is None:
            own = await trio.to_thread.run_sync(self._peer.index.properties)
            return queryables(addresses.at("queryables"), TITLE, own)
        asked = unescaped(collection_id)
        pair = await trio.to_thread.run_sync(self._catalogue.one, asked, names)
        own = await trio.to_thread.run_sync(self._peer.index.properties, pair)
        name = names.of(*pair)
        return queryables(f"{addresses.collection(name)}/queryables", name, own)

    async def get_sortables(self, **kwargs: Any) -> Answer:  # noqa: ANN401
        return sortables(self._addresses(kwargs["request"]).at("sortables"), TITLE)

    async def get_collection_sortables(self, collection_id: str, **kwargs: Any) -> Answer:  # noqa: ANN401
        names, addresses = self._names.now(), self._addresses(kwargs["request"])
        asked = unescaped(collection_id)
        pair = await trio.to_thread.run_sync(self._catalogue.one, asked, names)
        name = names.of(*pair)
        return sortables(f"{addresses.collection(name)}/sortables", name)

    # --- Help -------------------------------------------------------------------------------------
    async def _page(self, request: Request, given: Answer, address: str) -> Response:
        names, addresses = self._names.now(), self._addresses(request)
        page = wanted.of_get(names, given)
        asked = Asked(address, tuple(request.query_params.multi_items()))
        return _geojson(await self._searches.collection_of_features(page, names, addresses, asked))

    def _addresses(self, request: Request) -> Addresses:
        return Addresses.of(request.scope, self._url)


def _geojson(body: bytes) -> Response:
    return Response(body, media_type=GEOJSON)
