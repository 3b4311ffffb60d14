"""A STAC API by stac-fastapi over one file of items, which is read anew at each request.

Run by an interpreter that has stac-fastapi: `python stac_fastapi_app.py FOLDER`. Writes the port it
listens on into FOLDER/port.
"""

import json
import socket
import sys
from pathlib import Path

import uvicorn
from stac_fastapi.api.app import StacApi
from stac_fastapi.api.models import create_get_request_model, create_post_request_model
from stac_fastapi.extensions import TokenPaginationExtension
from stac_fastapi.types.config import ApiSettings
from stac_fastapi.types.core import BaseCoreClient

FOLDER = Path(sys.argv[1])
TOKENS = TokenPaginationExtension()


class Client(BaseCoreClient):  # type: ignore[misc]
    def all_collections(self, **kwargs):
        return {"collections": json.loads((FOLDER / "collections.json").read_text()), "links": []}

    def get_collection(self, collection_id, **kwargs):
        raise NotImplementedError

    def get_item(self, item_id, collection_id, **kwargs):
        raise NotImplementedError

    def item_collection(self, collection_id, **kwargs):
        raise NotImplementedError

    def post_search(self, search_request, **kwargs):
        raise NotImplementedError

    def get_search(self, collections=None, limit=10, token=None, **kwargs):
        items = json.loads((FOLDER / "items.json").read_text())
        found = [each for each in items if not collections or each["collection"] in collections]
        start = int(token or 0)
        end = start + min(limit, 64)
        url = str(kwargs["request"].base_url)
        links = []
        if end < len(found):
            href = f"{url}search?limit={limit}&token={end}"
            links.append({"rel": "next", "type": "application/geo+json", "href": href})
        return {
            "type": "FeatureCollection",
            "features": found[start:end],
            "links": links,
            "numberMatched": len(found),
        }


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
    part = FOLDER / "port.part"
    part.write_text(str(listener.getsockname()[1]))
    part.rename(FOLDER / "port")
    server.run(sockets=[listener])


if __name__ == "__main__":
    main()
