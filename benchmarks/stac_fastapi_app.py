"""A STAC API by stac-fastapi over files: `python stac_fastapi_app.py FOLDER [PAGE_ITEMS_MAX]`.

FOLDER/items.json and FOLDER/collections.json are read again when they have changed. Run by an
interpreter that has stac-fastapi. Writes the port that it listens on into FOLDER/port.
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

FOLDER = Path(sys.argv[1])
PAGE_ITEMS_MAX = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000
TOKENS = TokenPaginationExtension()
Answer = dict[str, Any]


class Values:
    """The list in a file, as it was when the file last changed."""

    def __init__(self, name: str) -> None:
        self._path = FOLDER / name
        self._version: tuple[int, int] | None = None
        self._values: list[Answer] = []

    def now(self) -> list[Answer]:
        stat = self._path.stat()
        version = stat.st_mtime_ns, stat.st_ino
        if version != self._version:
            self._values, self._version = json.loads(self._path.read_bytes()), version
        return self._values


ITEMS, COLLECTIONS = Values("items.json"), Values("collections.json")


class Client(BaseCoreClient):  # type: ignore[misc]
    def all_collections(self, **kwargs: object) -> Answer:
        return {"collections": COLLECTIONS.now(), "links": []}

    def get_collection(self, collection_id: object, **kwargs: object) -> Answer:
        raise NotImplementedError

    def get_item(self, item_id: str, collection_id: str, **kwargs: object) -> Answer:
        raise NotImplementedError

    def item_collection(self, collection_id: object, **kwargs: object) -> Answer:
        raise NotImplementedError

    def post_search(self, search_request: object, **kwargs: object) -> Answer:
        raise NotImplementedError

    def get_search(
        self,
        collections: list[str] | None = None,
        limit: int = 10,
        token: str | None = None,
        *,
        request: Request,
        **kwargs: object,
    ) -> Answer:
        found = ITEMS.now()
        if collections:
            found = [each for each in found if each["collection"] in collections]
        start = int(token or 0)
        end = start + min(limit, PAGE_ITEMS_MAX)
        links = []
        if end < len(found):
            href = f"{request.base_url}search?limit={limit}&token={end}"
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
