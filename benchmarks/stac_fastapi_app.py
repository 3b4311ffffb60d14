"""A STAC API by stac-fastapi over items in memory: `python stac_fastapi_app.py ITEMS.ndjson`.

Run by an interpreter that has stac-fastapi. Writes the port that it listens on to standard output.
"""

import json
import socket
import sys
from pathlib import Path
from typing import Any

import uvicorn
from stac_fastapi.api.app import StacApi
from stac_fastapi.api.models import create_get_request_model, create_post_request_model
from stac_fastapi.extensions import TokenPaginationExtension
from stac_fastapi.types.config import ApiSettings
from stac_fastapi.types.core import BaseCoreClient
from starlette.requests import Request

ITEMS = [json.loads(line) for line in Path(sys.argv[1]).read_bytes().splitlines()]
TOKENS = TokenPaginationExtension()
Answer = dict[str, Any]


class Client(BaseCoreClient):  # type: ignore[misc]
    def all_collections(self, **kwargs: object) -> Answer:
        return {"collections": [], "links": []}

    def get_collection(self, collection_id: object, **kwargs: object) -> Answer:
        raise NotImplementedError

    def get_item(self, item_id: str, collection_id: str, **kwargs: object) -> Answer:
        raise NotImplementedError

    def item_collection(self, collection_id: object, **kwargs: object) -> Answer:
        raise NotImplementedError

    def post_search(self, search_request: object, **kwargs: object) -> Answer:
        raise NotImplementedError

    def get_search(
        self, limit: int = 10, token: str | None = None, *, request: Request, **kwargs: object
    ) -> Answer:
        start = int(token or 0)
        end = start + limit
        links = []
        if end < len(ITEMS):
            href = f"{request.base_url}search?limit={limit}&token={end}"
            links.append({"rel": "next", "type": "application/geo+json", "href": href})
        return {"type": "FeatureCollection", "features": ITEMS[start:end], "links": links}


def main() -> None:
    api = StacApi(
        settings=ApiSettings(enable_response_models=False),
        client=Client(),
        extensions=[TOKENS],
        search_get_request_model=create_get_request_model([TOKENS]),
        search_post_request_model=create_post_request_model([TOKENS]),
    )
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(api.app, log_level="warning"))
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    server.run(sockets=[listener])


if __name__ == "__main__":
    main()
