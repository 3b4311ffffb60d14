"""STAC Collection documents: good enough to publish, and what a reader takes from one.

Checks are offline: stac-pydantic for the structure, the list of SPDX for the licence. A publisher's
own document must pass them all. What others published is read as far as it can be understood.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from pydantic import ValidationError
from pydantic_core import to_json
from stac_pydantic import Collection

from meshnode.core.limits import NAME_BYTES_MAX
from meshnode.errors import PeerError, UsageError
from meshnode.runtime.segments.json_text import parse_object
from meshnode.runtime.segments.validation import Problem, Severity, is_dangerous

DOCUMENT_BYTES_MAX: Final = 1 << 20  # a search reads one of each collection that it shows

# STAC 1.1 has `other` for what SPDX does not list; 1.0 had these two words for it.
UNLISTED_LICENCES: Final = ("other", "proprietary", "various")
# The language extension says the language of `title`; Canadian portals add `title_fr` beside it.
_TITLE: Final = re.compile(r"title[_:]([A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8})*)")


@dataclass(frozen=True, slots=True)
class Provider:
    name: str
    roles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CollectionDocument:
    """What a reader takes from a document; a member that is missing or of a wrong type is empty.

    `titles` by language tag (RFC 5646) in lower case, "" where the document does not say which.
    `bbox` is the overall extent, 4 or 6 numbers in degrees; `interval` its first and last time, as
    written. `doi` and `citation` are those of the scientific extension.
    """

    id: str
    titles: Mapping[str, str]
    description: str
    licence: str
    licence_url: str
    providers: tuple[Provider, ...]
    keywords: tuple[str, ...]
    bbox: tuple[float, ...]
    interval: tuple[str | None, str | None]
    doi: str
    citation: str

    def title(self, language: str = "") -> str:
        """Return the title in a language if it is given, else any, else nothing."""
        return self.titles.get(language) or next(iter(self.titles.values()), "")

    def providers_with(self, *roles: str) -> tuple[str, ...]:
        """Return the names of the providers that have one of these roles, each once."""
        found = (each.name for each in self.providers if set(roles) & set(each.roles))
        return tuple(dict.fromkeys(found))


def read_document(path: Path) -> tuple[str, bytes]:
    """Read a publisher's own document; return its id and exact bytes.

    Raises:
        UsageError: not readable, no valid STAC Collection, or its licence is no SPDX expression.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    try:
        value = checked(raw)
    except PeerError as error:
        raise UsageError(
            f"{path} is not a STAC Collection: {error}", hint="mend the document"
        ) from error
    problem = licence_problem(value)
    if problem is not None and problem.severity is Severity.REFUSE:
        raise UsageError(
            f"{path}: {problem.reason}",
            hint="name it as SPDX does (spdx.org/licenses), or 'other' with a link rel 'license'",
        )
    return str(value["id"]), raw


def checked(raw: bytes) -> dict[str, Any]:
    """Return a document that is a valid STAC Collection.

    Raises:
        PeerError: it is none; the message says why.
    """
    if len(raw) > DOCUMENT_BYTES_MAX:
        raise PeerError(f"{len(raw)} bytes, the limit is {DOCUMENT_BYTES_MAX}")
    value = parse_object(raw)
    try:
        Collection.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "document"
        raise PeerError(f"{place}: {first['msg']}") from error
    if problem := next(_problems(value), None):
        raise PeerError(problem)
    return value


def licence_problem(value: Mapping[str, Any]) -> Problem | None:
    """Say what is wrong with the licence of a valid document, if anything is.

    One that is no SPDX expression is to be refused. Of `other` without a link nobody knows what it
    allows, which is a warning.
    """
    licence = value["license"]
    if licence in UNLISTED_LICENCES:
        if any(link.get("rel") == "license" for link in value["links"]):
            return None
        reason = f"its licence is {licence!r}, and no link with rel 'license' says which"
        return Problem(Severity.WARN, reason)
    try:
        canonicalize_license_expression(licence)
    except InvalidLicenseExpression as error:
        return Problem(Severity.REFUSE, f"its licence is no SPDX expression: {error}")
    return None


def is_listed(licence: str) -> bool:
    """Say whether a licence is one identifier of the SPDX list, written as SPDX writes it."""
    try:
        is_canonical = canonicalize_license_expression(licence) == licence
    except InvalidLicenseExpression:
        return False
    return is_canonical and re.fullmatch(r"(?!LicenseRef-)[\w.+-]+", licence) is not None


def minimal_collection(collection: str) -> bytes:
    """Return a valid STAC Collection that says no more than that it exists."""
    return to_json(
        {
            "type": "Collection",
            "stac_version": "1.1.0",
            "id": collection,
            "description": f"Items of {collection}. The publisher gave no description.",
            "license": "other",
            "extent": {
                "spatial": {"bbox": [[-180, -90, 180, 90]]},
                "temporal": {"interval": [[None, None]]},
            },
            "links": [],
        }
    )


def understood(raw: bytes, collection: str) -> CollectionDocument:
    """Take from a stranger's document what can be understood; `collection` is its id in the log.

    Of one that is larger than anybody may publish nothing is.
    """
    try:
        value = parse_object(raw) if len(raw) <= DOCUMENT_BYTES_MAX else {}
    except PeerError:
        value = {}
    return CollectionDocument(
        id=collection,
        titles=_titles(value),
        description=_text(value, "description"),
        licence=_text(value, "license"),
        licence_url=next(_licence_urls(value), ""),
        providers=tuple(
            Provider(name, tuple(_texts(each, "roles")))
            for each in _objects(value, "providers")
            if (name := _text(each, "name"))
        ),
        keywords=tuple(_texts(value, "keywords")),
        bbox=_bbox(value),
        interval=_interval(value),
        doi=_text(value, "sci:doi"),
        citation=_text(value, "sci:citation"),
    )


def _problems(value: Mapping[str, Any]) -> Iterator[str]:
    """Apply what the structure does not say, and what a reader's machine must not be asked."""
    if not 1 <= len(str(value["id"]).encode()) <= NAME_BYTES_MAX:
        yield f"id: 1 to {NAME_BYTES_MAX} bytes"
    for position, box in enumerate(value["extent"]["spatial"]["bbox"]):
        south, north = box[1], box[len(box) // 2 + 1]
        if not -90 <= south <= north <= 90:
            yield f"extent.spatial.bbox.{position}: its latitudes are not -90..90, south to north"
    for where, href in _addresses(value):
        if is_dangerous(href):
            yield f"{where} {href!r:.60} could run or read something on the reader's machine"


def _addresses(value: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    for position, link in enumerate(value["links"]):
        yield f"links.{position}.href", link.get("href")
    for key, asset in (value.get("assets") or {}).items():
        yield f"assets.{key}.href", asset.get("href")
    for position, provider in enumerate(value.get("providers") or ()):
        yield f"providers.{position}.url", provider.get("url")


def _titles(value: Mapping[str, Any]) -> dict[str, str]:
    language = value.get("language")
    code = _text(language, "code").lower() if isinstance(language, dict) else ""
    titles = {code: title} if (title := _text(value, "title")) else {}
    for key in value:
        if found := _TITLE.fullmatch(key):
            titles.setdefault(found[1].lower(), _text(value, key))
    return {language: title for language, title in titles.items() if title}


def _licence_urls(value: Mapping[str, Any]) -> Iterator[str]:
    for link in _objects(value, "links"):
        href = _text(link, "href")
        if link.get("rel") == "license" and href and not is_dangerous(href):
            yield href


def _bbox(value: Mapping[str, Any]) -> tuple[float, ...]:
    match value:
        case {"extent": {"spatial": {"bbox": [[*numbers], *_]}}} if _is_box(numbers):
            return tuple(numbers)
        case _:
            return ()


def _is_box(numbers: list[Any]) -> bool:
    return len(numbers) in (4, 6) and all(type(each) in (int, float) for each in numbers)


def _interval(value: Mapping[str, Any]) -> tuple[str | None, str | None]:
    match value:
        case {"extent": {"temporal": {"interval": [[first, last], *_]}}}:
            return first if isinstance(first, str) else None, last if isinstance(
                last, str
            ) else None
        case _:
            return None, None


def _text(value: Mapping[str, Any], name: str) -> str:
    found = value.get(name)
    return found.strip() if isinstance(found, str) else ""


def _texts(value: Mapping[str, Any], name: str) -> list[str]:
    found = value.get(name)
    return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []


def _objects(value: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    found = value.get(name)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
