"""How a release is cited: as text, BibTeX, CSL-JSON, and the metadata that DataCite registers.

Pure: what the log and the Collection document say comes in, text comes out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

from meshnode.core.dois import doi_key, doi_url
from meshnode.runtime.datasets.collection import CollectionDocument, is_listed

_CREATORS: Final = ("producer", "processor", "licensor")  # the first role that anybody has
_CONTRIBUTORS: Final = {"licensor": "RightsHolder", "host": "HostingInstitution"}
_SPDX: Final = "https://spdx.org/licenses/"
_SPECIAL: Final = {each: f"\\{each}" for each in "&%$#_{}"} | {
    "\\": "\\textbackslash{}",
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
}
_NOT_IN_KEY: Final = re.compile(r"[^A-Za-z0-9.:]+")  # of BibTeX entries, as every tool reads them


@dataclass(frozen=True, slots=True)
class Cited:
    """A release as its catalogue says it.

    `title` is the collection's in one language; `publisher` the institution; `released` when its
    head was signed; `name` the release's own name in text; `former` and `later` are DOIs.
    """

    document: CollectionDocument
    title: str
    publisher: str
    version: str
    doi: str | None
    released: date | None
    name: str
    size_bytes: int
    former: tuple[str, ...] = ()
    later: tuple[str, ...] = ()

    @property
    def creators(self) -> tuple[str, ...]:
        """Return who made it: the producers, else processors or licensors, else the institution."""
        by_role = (self.document.providers_with(role) for role in _CREATORS)
        return next(filter(None, by_role), (self.publisher,))

    @property
    def address(self) -> str:
        """Return where it is found: the DOI's address, else what a peer finds it by."""
        return doi_url(self.doi) if self.doi else f"release:{self.name}"

    @property
    def own_words(self) -> str:
        """Return how the publisher wants it to be cited, if he says so of this very DOI."""
        document = self.document
        is_meant = self.doi is not None and doi_key(document.doi) == doi_key(self.doi)
        return " ".join(document.citation.split()) if is_meant else ""


def day_of(unix: int | None) -> date | None:
    return datetime.fromtimestamp(unix, UTC).date() if unix is not None else None


def text(cited: Cited) -> str:
    """Return one line as DataCite recommends it: creators (year): title. version. publisher."""
    if cited.own_words:
        return cited.own_words
    year = f" ({cited.released.year})" if cited.released else ""
    creators = "; ".join(cited.creators)
    parts = (cited.title, f"Version {cited.version}", cited.publisher, "Dataset", cited.address)
    return f"{creators}{year}: {'. '.join(parts)}"


def bibtex(cited: Cited) -> str:
    """Return a `@misc` entry, which every style knows; names of institutions stay whole."""
    fields = {
        "author": " and ".join(f"{{{_escaped(each)}}}" for each in cited.creators),
        "title": f"{{{_escaped(cited.title)}}}",
        "year": str(cited.released.year) if cited.released else "",
        "publisher": f"{{{_escaped(cited.publisher)}}}",
        "version": _escaped(cited.version),
        "doi": _verbatim(cited.doi or ""),
        "url": _verbatim(doi_url(cited.doi)) if cited.doi else "",
        "note": "" if cited.doi else f"Dataset, {cited.address}",
        "copyright": _escaped(cited.document.licence),
    }
    lines = ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items() if value)
    return f"@misc{{{_key(cited)},\n{lines}\n}}"


def csl(cited: Cited) -> dict[str, Any]:
    """Return an item of CSL-JSON 1.0.2."""
    released = cited.released
    return _filled(
        {
            "id": _key(cited),
            "type": "dataset",
            "title": cited.title,
            "author": [{"literal": each} for each in cited.creators],
            "issued": _date_parts(released) if released else None,
            "publisher": cited.publisher,
            "version": cited.version,
            "DOI": cited.doi,
            "URL": doi_url(cited.doi) if cited.doi else None,
            "note": None if cited.doi else cited.address,
            "abstract": cited.document.description,
            "keyword": ", ".join(cited.document.keywords),
        }
    )


def datacite(cited: Cited) -> dict[str, Any]:
    """Return the attributes of DataCite's schema 4.5 in JSON, for who registers the DOI."""
    document, released = cited.document, cited.released
    languages = [language for language in document.titles if language]
    return _filled(
        {
            "schemaVersion": "http://datacite.org/schema/kernel-4",
            "doi": cited.doi,
            "types": {"resourceTypeGeneral": "Dataset", "resourceType": "Dataset"},
            "creators": [_organization(each) for each in cited.creators],
            "titles": list(_titles(cited)),
            "publisher": {"name": cited.publisher},
            "publicationYear": str(released.year) if released else None,
            "version": cited.version,
            "subjects": [{"subject": each} for each in document.keywords],
            "contributors": [
                {**_organization(name), "contributorType": kind}
                for role, kind in _CONTRIBUTORS.items()
                for name in document.providers_with(role)
            ],
            "dates": _dates(cited),
            "language": languages[0] if languages else None,
            "alternateIdentifiers": [
                {
                    "alternateIdentifier": cited.name,
                    "alternateIdentifierType": "SHA-256 of the signed release, as CIDv1",
                }
            ],
            "relatedIdentifiers": [
                *(_related(doi, "IsNewVersionOf") for doi in cited.former),
                *(_related(doi, "IsPreviousVersionOf") for doi in cited.later),
            ],
            "sizes": [f"{cited.size_bytes} bytes"] if cited.size_bytes else [],
            "rightsList": _rights(document),
            "descriptions": _descriptions(document),
            "geoLocations": _places(document),
        }
    )


def _key(cited: Cited) -> str:
    return _NOT_IN_KEY.sub("-", f"{cited.document.id}-{cited.version}").strip("-")


def _escaped(value: str) -> str:
    return "".join(_SPECIAL.get(letter, letter) for letter in " ".join(value.split()))


def _verbatim(value: str) -> str:
    """Keep a DOI as it is, but for what would end the field: BibTeX programs do not unescape it."""
    return value.replace("{", "%7B").replace("}", "%7D").replace("\\", "%5C")


def _date_parts(day: date) -> dict[str, list[list[int]]]:
    return {"date-parts": [[day.year, day.month, day.day]]}


def _organization(name: str) -> dict[str, str]:
    return {"name": name, "nameType": "Organizational"}


def _titles(cited: Cited) -> list[dict[str, str]]:
    others = [
        {"title": title, "lang": language, "titleType": "TranslatedTitle"}
        for language, title in cited.document.titles.items()
        if language and title != cited.title
    ]
    return [{"title": cited.title}, *others]


def _dates(cited: Cited) -> list[dict[str, str]]:
    first, last = cited.document.interval
    issued = [{"date": str(cited.released), "dateType": "Issued"}] if cited.released else []
    covered = [{"date": f"{first or ''}/{last or ''}", "dateType": "Collected"}]
    return [*issued, *(covered if first or last else [])]


def _related(doi: str, relation: str) -> dict[str, str]:
    return {
        "relatedIdentifier": doi,
        "relatedIdentifierType": "DOI",
        "relationType": relation,
    }


def _rights(document: CollectionDocument) -> list[dict[str, str]]:
    if not document.licence:
        return []
    rights = {"rights": document.licence}
    if document.licence_url:
        rights |= {"rightsUri": document.licence_url}
    if is_listed(document.licence):
        rights |= {
            "rightsUri": f"{_SPDX}{document.licence}.html",
            "rightsIdentifier": document.licence,
            "rightsIdentifierScheme": "SPDX",
            "schemeUri": _SPDX,
        }
    return [rights]


def _descriptions(document: CollectionDocument) -> list[dict[str, str]]:
    about = document.description
    return [{"description": about, "descriptionType": "Abstract"}] if about else []


def _places(document: CollectionDocument) -> list[dict[str, Any]]:
    box = document.bbox
    if not box:
        return []
    half = len(box) // 2
    return [
        {
            "geoLocationBox": {
                "westBoundLongitude": box[0],
                "southBoundLatitude": box[1],
                "eastBoundLongitude": box[half],
                "northBoundLatitude": box[half + 1],
            }
        }
    ]


def _filled(members: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is not known."""
    return {name: value for name, value in members.items() if value not in (None, "", [])}
