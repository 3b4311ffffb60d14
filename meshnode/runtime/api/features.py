"""Items as the API gives them: the published text, with links of this API in place of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from pydantic_core import from_json, to_json

from meshnode.core.identifiers import catalogue_text, object_text, sha256
from meshnode.runtime.api.addresses import Addresses
from meshnode.runtime.api.naming import Names
from meshnode.runtime.api.released import ReleasedItems
from meshnode.runtime.api.splicing import Links, with_links
from meshnode.runtime.api.standings import Standings
from meshnode.runtime.datasets.version_links import with_release
from meshnode.runtime.index.fields import Fields
from meshnode.runtime.index.query import Found
from meshnode.runtime.peer import Peer

# Links that lead through the publisher's catalogue; here they lead through this one.
STRUCTURAL: Final = frozenset(
    ("self", "root", "parent", "collection", "items", "item", "child", "next", "prev", "data")
)
SIGNED: Final = "meshnode:signed"
PROOF_REL: Final = "meshnode:proof"
PROOF_TYPE: Final = "application/zip"
GEOJSON: Final = "application/geo+json"
JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Features:
    """What turns rows of the index into features of one answer. Used in a worker thread."""

    peer: Peer
    addresses: Addresses
    names: Names
    released: ReleasedItems
    standings: Standings

    def of(self, found: Found, fields: Fields | None, *, proof: bool) -> str:
        """Return the JSON of one feature."""
        name = self.names.of(found.catalogue, found.collection)
        text = self._text(found, name)
        members = {SIGNED: self.signed(found)} if proof else {}
        if fields is None:
            return with_links(text, lambda own: self._links(found, name, own), members)
        whole = from_json(with_links(text, lambda own: self._links(found, name, own)))
        return to_json({**fields.of(whole), **members}).decode()

    def signed(self, found: Found) -> dict[str, Any]:
        """Return who signed an item, in what, and how far its catalogue can be trusted now."""
        held = self.peer.node.catalogues.get(found.catalogue)
        writer = held.chain.writer(found.writer) if held and held.chain else None
        standing = self.standings.of(found.catalogue)
        return {
            "catalogue": catalogue_text(found.catalogue),
            **standing,
            "collection": found.collection,
            "segment": object_text(found.segment),
            "writer": writer.label if writer else "",
            "writer_key": found.writer.hex(),
            "clock": found.clock,
            "item_sha256": sha256(found.item).hex(),
        }

    def _text(self, found: Found, name: str) -> str:
        item = found.item
        if release := self.released.get((found.catalogue, found.collection, found.id)):
            item = with_release(item, release)
        if name != found.collection:
            item = to_json({**from_json(item), "collection": name})
        return item.decode()

    def _links(self, found: Found, name: str, own: Links) -> Links:
        collection = self.addresses.collection(name)
        links = [
            {"rel": "self", "type": GEOJSON, "href": self.addresses.item(name, found.id)},
            {"rel": "parent", "type": JSON, "href": collection},
            {"rel": "collection", "type": JSON, "href": collection},
            {"rel": "root", "type": JSON, "href": self.addresses.landing},
            {
                "rel": PROOF_REL,
                "type": PROOF_TYPE,
                "href": self.addresses.proof(name, found.id),
                "title": "What shows who signed this item",
            },
        ]
        return links + kept(own)


def kept(own: Links) -> Links:
    """Return a publisher's links that lead somewhere from here; its own address as canonical.

    A relative address is one below the publisher's own: nobody knows where it leads from here.
    """
    links: Links = []
    for link in own:
        rel, href = link.get("rel"), link.get("href")
        if not isinstance(href, str) or not href.startswith(("https://", "http://")):
            continue
        if rel == "self":
            links.append({**link, "rel": "canonical"})
        elif rel not in STRUCTURAL:
            links.append(link)
    return links
