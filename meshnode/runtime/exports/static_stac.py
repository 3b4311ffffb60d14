"""A static STAC catalogue in a folder: relative links, pages of items, proofs beside them.

    catalog.json                      all institutions
    1/catalog.json                    the first institution
    1/1/collection.json               its first collection
    1/1/items/HASH.json               its items; more than PAGE_ITEMS are in pages instead:
    1/1/1/catalog.json, HASH.json     its first page
    proofs/HASH.json                  what shows who signed the segment of that SHA-256

Names come from numbers and hashes, never from ids that others chose. An item's links to its
surroundings are made anew, so it is not what was signed: its link `meshnode:proof` names the
SHA-256 of the exact bytes, the segment that holds them, and the proof of that segment.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from pydantic_core import from_json, to_json

from meshnode.control import Message
from meshnode.core.identifiers import parse_object
from meshnode.errors import PeerError
from meshnode.runtime.datasets.collection import checked, minimal_collection

PAGE_ITEMS: Final = 1_000  # links in one catalogue: a browser shows them all
STAC_VERSION: Final = "1.1.0"
PROOF: Final = "meshnode:proof"

_JSON: Final = "application/json"
_GEOJSON: Final = "application/geo+json"
_AROUND: Final = frozenset(
    ("self", "root", "parent", "collection", "item", "items", "child", "children", "next", "prev")
)

Link = dict[str, Any]


class StaticStac:
    """Writes below `folder`: `begin` a collection, `add` its items, and `end` when all are there.

    Invariant: every link leads to a file that is there when `end` returns.
    """

    def __init__(self, folder: Path, description: str) -> None:
        self._folder = folder
        self._description = description
        self._institutions: list[_Institution] = []
        self._collection: _Collection | None = None
        self._proofs: dict[str, str | None] = {}  # by segment, the file's name

    def begin(
        self, catalogue: str, title: str, collection: str, document: bytes, count: int
    ) -> None:
        """Begin a collection of about `count` items; those of one catalogue follow each other."""
        self._end_collection()
        if not self._institutions or self._institutions[-1].id != catalogue:
            number = len(self._institutions) + 1
            self._institutions.append(_Institution(self._folder / str(number), catalogue, title))
        self._collection = self._institutions[-1].collection(collection, document, count)

    def lacks_proof(self, segment: str) -> bool:
        """Say whether `prove` was not called for this segment yet."""
        return segment not in self._proofs

    def prove(self, segment: str, evidence: Message | None) -> None:
        """Keep what leads from a segment to its institution; None if this peer cannot show it."""
        self._proofs[segment] = None
        if evidence is not None:
            said = {key: value for key, value in evidence.items() if key not in ("item", "path")}
            self._proofs[segment] = f"{parse_object(segment).hex()}.json"
            _write(self._folder / "proofs" / f"{parse_object(segment).hex()}.json", said)

    def add(self, item: bytes, found: Message) -> None:
        """Add an item; `found` is what a search says of it: id, segment, clock."""
        assert self._collection is not None
        self._collection.add(item, found, self._proofs.get(found["segment"]))

    def end(self) -> None:
        """Write what is left, and the catalogues above."""
        self._end_collection()
        for institution in self._institutions:
            institution.end()
        children = [
            _link("child", f"./{each.folder.name}/catalog.json", each.title)
            for each in self._institutions
        ]
        links = [_link("root", "./catalog.json"), *children]
        _write(self._folder / "catalog.json", _catalog("meshnode", self._description, links))

    def _end_collection(self) -> None:
        if self._collection is not None:
            self._collection.end()
            self._collection = None


class _Institution:
    """The catalogue of one institution, and its collections."""

    def __init__(self, folder: Path, id_: str, title: str) -> None:
        self.folder = folder
        self.id = id_
        self.title = title or id_
        self._children: list[Link] = []

    def collection(self, name: str, document: bytes, count: int) -> _Collection:
        number = len(self._children) + 1
        made = _Collection(self.folder / str(number), name, document, is_paged=count > PAGE_ITEMS)
        self._children.append(_link("child", f"./{number}/collection.json", made.title))
        return made

    def end(self) -> None:
        above = [_link("root", "../catalog.json"), _link("parent", "../catalog.json")]
        said = _catalog(self.id, f"Collections of {self.title}", [*above, *self._children])
        _write(self.folder / "catalog.json", said | {"title": self.title})


class _Collection:
    """A collection, and its items in one folder or in pages."""

    def __init__(self, folder: Path, name: str, document: bytes, *, is_paged: bool) -> None:
        self._folder = folder
        self._name = name
        self._said = _document(document, name)
        self._is_paged = is_paged
        self._links: list[Link] = []  # of the collection
        self._items: list[Link] = []  # of the page
        self._dates: list[str] = []

    @property
    def title(self) -> str:
        said = self._said.get("title")
        return said if isinstance(said, str) and said else self._name

    def add(self, raw: bytes, found: Message, proof: str | None) -> None:
        item = from_json(raw)
        properties = item["properties"]
        name = f"{hashlib.sha256(found['id'].encode()).hexdigest()[:32]}.json"
        parent = "./catalog.json" if self._is_paged else "../collection.json"
        around = [
            _link("root", "../../../catalog.json"),
            _link("parent", parent),
            _link("collection", "../collection.json"),
        ]
        if proof is not None:
            around.append(_proof_link(f"../../../proofs/{proof}", raw, found))
        _write(self._page / name, item | {"links": [*_kept(item.get("links")), *around]})
        self._items.append(_link("item", f"./{name}", properties.get("title"), _GEOJSON))
        date = properties.get("datetime") or properties.get("start_datetime")
        self._dates.append(str(date)[:10] if date else "")
        if self._is_paged and len(self._items) == PAGE_ITEMS:
            self._end_page()

    def end(self) -> None:
        if self._is_paged and self._items:
            self._end_page()
        items = [{**link, "href": f"./items/{link['href'][2:]}"} for link in self._items]
        above = [_link("root", "../../catalog.json"), _link("parent", "../catalog.json")]
        links = [*_kept(self._said.get("links")), *above, *self._links, *items]
        _write(self._folder / "collection.json", self._said | {"links": links})

    @property
    def _page(self) -> Path:
        name = str(len(self._links) + 1) if self._is_paged else "items"
        return self._folder / name

    def _end_page(self) -> None:
        folder, number = self._page, len(self._links) + 1
        dates = sorted(filter(None, self._dates))
        span = f"{dates[0]} to {dates[-1]}" if dates else "no dates"
        title = f"{self.title}, page {number}: {span}"
        above = [_link("root", "../../../catalog.json"), _link("parent", "../collection.json")]
        said = _catalog(f"{self._name}-{number}", title, [*above, *self._items])
        _write(folder / "catalog.json", said | {"title": title})
        self._links.append(_link("child", f"./{number}/catalog.json", title))
        self._items, self._dates = [], []


def _document(raw: bytes, name: str) -> dict[str, Any]:
    """Return a collection's document; one that is not here or broken says no more than its name."""
    try:
        return checked(raw)
    except PeerError:
        return checked(minimal_collection(name))


def _kept(links: object) -> Sequence[Link]:
    """Return the links that do not say where in a catalogue their document stands."""
    found = links if isinstance(links, list) else []
    return [each for each in found if isinstance(each, dict) and each.get("rel") not in _AROUND]


def _proof_link(href: str, raw: bytes, found: Message) -> Link:
    return {
        **_link(PROOF, href),
        "meshnode:segment": found["segment"],
        "meshnode:clock": found["clock"],
        "meshnode:sha256": hashlib.sha256(raw).hexdigest(),
    }


def _catalog(id_: str, description: str, links: list[Link]) -> dict[str, Any]:
    return {
        "type": "Catalog",
        "stac_version": STAC_VERSION,
        "id": id_,
        "description": description,
        "links": links,
    }


def _link(rel: str, href: str, title: object = None, kind: str = _JSON) -> Link:
    link: Link = {"rel": rel, "href": href, "type": kind}
    return link | {"title": title} if isinstance(title, str) and title else link


def _write(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(to_json(value, indent=1))
