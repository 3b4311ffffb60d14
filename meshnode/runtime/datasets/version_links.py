"""What STAC says of an item's release: version, DOI, and links to the versions around it.

Extensions version 1.2.0 and scientific 1.0.0. It stands beside the item, or in a copy of it: the
bytes that were published are never edited.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from pydantic_core import from_json, to_json

from meshnode.control import Message
from meshnode.core.dois import doi_url

VERSION_EXTENSION: Final = "https://stac-extensions.github.io/version/v1.2.0/schema.json"
SCIENTIFIC_EXTENSION: Final = "https://stac-extensions.github.io/scientific/v1.0.0/schema.json"


def version_members(release: Message) -> dict[str, Any]:
    """Return `stac_extensions`, `properties` and `links` of a release, as `releases` says it.

    A version without a DOI has no address yet, and so no link.
    """
    extensions, properties = [VERSION_EXTENSION], {"version": release["version"]}
    if release["doi"]:
        extensions.append(SCIENTIFIC_EXTENSION)
        properties["sci:doi"] = release["doi"]
    if not release["is_newest"]:
        properties["deprecated"] = True
    return {
        "stac_extensions": extensions,
        "properties": properties,
        "links": list(_links(release)),
    }


def with_release(item: bytes, release: Message) -> bytes:
    """Return a copy of an item that says of which release it is; what it says itself stays."""
    value, members = from_json(item), version_members(release)
    extensions = [*(value.get("stac_extensions") or []), *members["stac_extensions"]]
    known = {(link.get("rel"), link.get("href")) for link in value["links"]}
    links = [each for each in members["links"] if (each["rel"], each["href"]) not in known]
    return to_json(
        {
            **value,
            "stac_extensions": list(dict.fromkeys(extensions)),
            "properties": members["properties"] | value["properties"],
            "links": [*value["links"], *links],
        }
    )


def _links(release: Message) -> Iterator[dict[str, str]]:
    former = [release["predecessor"]] if release["predecessor"] else []
    for rel, versions in (
        ("cite-as", [release]),
        ("predecessor-version", former),
        ("successor-version", release["successors"]),
    ):
        for each in versions:
            if each["doi"]:
                title = f"version {each['version']}"
                yield {"rel": rel, "href": doi_url(each["doi"]), "title": title}
