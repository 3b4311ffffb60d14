"""Where the API serves what: absolute addresses for the links in its answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlencode

from meshnode.runtime.http.asgi import Scope, header

PREFIX: Final = "/stac"


@dataclass(frozen=True, slots=True)
class Addresses:
    """`base` is where the API is called, without a slash at its end."""

    base: str

    @classmethod
    def of(cls, scope: Scope, url: str) -> Addresses:
        """Return the addresses as the operator says them, else as a request called the server."""
        if url:
            return cls(url)
        return cls(f"{scope.get('scheme', 'http')}://{header(scope, b'host')}{PREFIX}")

    @property
    def landing(self) -> str:
        return f"{self.base}/"

    @property
    def search(self) -> str:
        return f"{self.base}/search"

    def at(self, path: str) -> str:
        return f"{self.base}/{path}"

    def page_of_collections(self, limit: int, token: str) -> str:
        parameters = [("limit", str(limit)), ("token", token)]
        return with_parameters(self.at("collections"), parameters)

    def collection(self, collection: str) -> str:
        return f"{self.base}/collections/{step(collection)}"

    def items(self, collection: str) -> str:
        return f"{self.collection(collection)}/items"

    def item(self, collection: str, item: str) -> str:
        return f"{self.items(collection)}/{step(item)}"

    def proof(self, collection: str, item: str) -> str:
        return f"{self.item(collection, item)}/proof"


def step(name: str) -> str:
    """Return a name as one step of a path, whatever characters it has."""
    return quote(name, safe="~:")


def with_parameters(address: str, parameters: list[tuple[str, str]]) -> str:
    return f"{address}?{urlencode(parameters)}" if parameters else address
