"""Collections as the API gives them: the STAC Collection in the catalogue's log, linked here."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic_core import from_json

from meshnode.core.dois import doi_url
from meshnode.core.identifiers import CatalogueId, Digest, catalogue_text, object_text
from meshnode.errors import PeerError
from meshnode.runtime.api.addresses import Addresses
from meshnode.runtime.api.features import GEOJSON, JSON, SIGNED, kept
from meshnode.runtime.api.naming import Names
from meshnode.runtime.api.splicing import Links
from meshnode.runtime.api.standings import Standings
from meshnode.runtime.datasets.collection import (
    DOCUMENT_BYTES_MAX,
    checked,
    is_listed,
    minimal_collection,
    understood,
)
from meshnode.runtime.operator.collections import CollectionName
from meshnode.runtime.peer import Peer

KEPT_MAX: Final = 256  # documents that were checked
KEPT_BYTES_MAX: Final = 64 << 10  # of one that is kept
QUERYABLES_REL: Final = "http://www.opengis.net/def/rel/ogc/1.0/queryables"
SORTABLES_REL: Final = "http://www.opengis.net/def/rel/ogc/1.0/sortables"
SCHEMA: Final = "application/schema+json"


@dataclass(slots=True)
class Documents:
    """Collection documents, checked once each. Used in worker threads."""

    peer: Peer
    standings: Standings
    _kept: OrderedDict[Digest, dict[str, Any]] = field(default_factory=OrderedDict)
    _mutex: threading.Lock = field(default_factory=threading.Lock)

    def collection(
        self, collection: CollectionName, names: Names, addresses: Addresses, items: int
    ) -> dict[str, Any]:
        """Return a collection; one whose document is not here, or is none, says only that it is."""
        catalogue, own_name = collection
        name = names.of(catalogue, own_name)
        document, digest = self._document(catalogue, own_name)
        return {
            **document,
            "id": name,
            "links": [*_links(name, addresses), *_own_links(document)],
            SIGNED: {
                "catalogue": catalogue_text(catalogue),
                **self.standings.of(catalogue),
                "collection": own_name,
                "document": object_text(digest) if digest else None,
                "items": items,
            },
        }

    def _document(self, catalogue: CatalogueId, name: str) -> tuple[dict[str, Any], Digest | None]:
        found = self.peer.node.catalogues[catalogue].contents.collections.get(name)
        if found is None or found[1].size_bytes > DOCUMENT_BYTES_MAX:
            return _minimal(b"", name), None
        digest = found[1].digest
        with self._mutex:
            if digest in self._kept:
                self._kept.move_to_end(digest)
                return self._kept[digest], digest
        raw = self.peer.read_object(digest)
        if raw is None:
            return _minimal(b"", name), None
        try:
            document = checked(raw)
        except PeerError:
            document = _minimal(raw, name)
        if len(raw) <= KEPT_BYTES_MAX:
            self._keep(digest, document)
        return document, digest

    def _keep(self, digest: Digest, document: dict[str, Any]) -> None:
        with self._mutex:
            self._kept[digest] = document
            while len(self._kept) > KEPT_MAX:
                self._kept.popitem(last=False)


def _minimal(raw: bytes, name: str) -> dict[str, Any]:
    """Return a valid Collection with the title and the description that can be read, if any."""
    said, made = understood(raw, name), dict(from_json(minimal_collection(name)))
    if said.title():
        made["title"] = said.title()
    if said.description:
        made["description"] = said.description
    return made


def _links(name: str, addresses: Addresses) -> Links:
    own = addresses.collection(name)
    return [
        {"rel": "self", "type": JSON, "href": own},
        {"rel": "parent", "type": JSON, "href": addresses.landing},
        {"rel": "root", "type": JSON, "href": addresses.landing},
        {"rel": "items", "type": GEOJSON, "href": addresses.items(name)},
        {"rel": QUERYABLES_REL, "type": SCHEMA, "href": f"{own}/queryables"},
        {"rel": SORTABLES_REL, "type": SCHEMA, "href": f"{own}/sortables"},
    ]


def _own_links(document: dict[str, Any]) -> Links:
    """Return the links of the document, and those that its licence and its DOI stand for."""
    links = kept(document["links"])
    rels = {link["rel"] for link in links}
    licence, doi = document["license"], document.get("sci:doi")
    if "license" not in rels and is_listed(licence):
        href = f"https://spdx.org/licenses/{licence}.html"
        links.append({"rel": "license", "type": "text/html", "href": href, "title": licence})
    if "cite-as" not in rels and isinstance(doi, str) and doi:
        links.append({"rel": "cite-as", "href": doi_url(doi), "title": doi})
    return links
