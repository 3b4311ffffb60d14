"""Domains: whether an institution's web site and its catalogue name each other.

Implements N-93 and N-94 of protocol/05-sync.md. The root names the domain; the domain's file
`/.well-known/meshnode.json` names the catalogue. Only both together say that they are one's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from enum import Enum
from typing import Final

from meshnode.core.encoding import MalformedRecordError
from meshnode.core.identifiers import CatalogueId, catalogue_text, parse_catalogue
from meshnode.core.limits import SITE_BYTES_MAX, SITE_CATALOGUES_MAX
from meshnode.core.roots import Root
from meshnode.errors import UsageError

WELL_KNOWN: Final = "/.well-known/meshnode.json"  # RFC 8615
FORMAT: Final = 1
DOMAIN_CHARS_MAX: Final = 259  # a host name (RFC 1123), and a port of five digits
_LABEL: Final = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN: Final = re.compile(rf"{_LABEL}(\.{_LABEL})*(:[0-9]{{1,5}})?")


class Binding(Enum):
    """What is known of a catalogue and the domain that its root names."""

    SEEN = "seen"  # they name each other
    NOT_SEEN = "not seen"  # the site says nothing, or was not reached
    CONTRADICTED = "contradicted"  # the site names catalogues, and not this one
    NONE = "none"  # the root names no domain


def domain_of(root: Root) -> str | None:
    """Return the domain that a root names, None if it names none or what is no domain."""
    text = root.meta.get("domain")
    if not isinstance(text, str) or len(text) > DOMAIN_CHARS_MAX:
        return None
    return text.lower() if _DOMAIN.fullmatch(text.lower()) else None


def well_known_url(domain: str) -> str:
    return f"https://{domain}{WELL_KNOWN}"


def site_text(catalogues: Sequence[CatalogueId]) -> str:
    """Return the file with which a domain names these catalogues."""
    named = [catalogue_text(catalogue) for catalogue in catalogues]
    return json.dumps({"meshnode": FORMAT, "catalogues": named}, indent=2) + "\n"


def read_site(raw: bytes) -> tuple[CatalogueId, ...]:
    """Return the catalogues that a domain names. Fields that are not known are passed over.

    Raises:
        MalformedRecordError: not such a file.
    """
    if len(raw) > SITE_BYTES_MAX:
        raise MalformedRecordError(f"a file of {len(raw)} bytes")
    try:
        said = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise MalformedRecordError("it is not JSON") from error
    match said:
        case {"meshnode": 1, "catalogues": list(named)} if len(named) <= SITE_CATALOGUES_MAX:
            return tuple(map(_catalogue, named))
        case _:
            raise MalformedRecordError("it does not name catalogues")


def binding_of(catalogue: CatalogueId, named: Sequence[CatalogueId]) -> Binding:
    """Judge what a domain's site names; a site that names no catalogue at all says nothing."""
    if catalogue in named:
        return Binding.SEEN
    return Binding.CONTRADICTED if named else Binding.NOT_SEEN


def _catalogue(text: object) -> CatalogueId:
    try:
        return parse_catalogue(text if isinstance(text, str) else "")
    except UsageError as error:
        raise MalformedRecordError(str(error)) from error
