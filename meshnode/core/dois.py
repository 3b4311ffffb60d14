"""DOI names (ISO 26324): read as people write them, compared as the standard does."""

from __future__ import annotations

import re
from typing import Final

from meshnode.core.limits import NAME_BYTES_MAX
from meshnode.errors import UsageError

_RESOLVERS: Final = re.compile(r"(?:doi:|https?://(?:dx\.)?doi\.org/)", re.IGNORECASE)
_NAME: Final = re.compile(r"10\.\d{4,9}(?:\.\d+)*/[!-~]+")  # what DataCite and Crossref register


def is_doi(text: str) -> bool:
    """Say whether a text says of itself that it is a DOI: `doi:…` or the address of a resolver."""
    return _RESOLVERS.match(text) is not None


def parse_doi(text: str) -> str:
    """Return the bare name, `10.5072/example`, of a DOI with or without its resolver.

    Raises:
        UsageError: it is none.
    """
    name = text[found.end() :] if (found := _RESOLVERS.match(text)) else text
    if not _NAME.fullmatch(name) or len(name) > NAME_BYTES_MAX:
        raise UsageError(f"{text!r} is not a DOI", hint="write it as doi:10.5072/example")
    return name


def doi_key(name: str) -> str:
    """Return what two names of one DOI share: the case of ASCII letters does not tell them apart.

    Other letters are compared as they are.
    """
    return name.translate(_LOWER)


def doi_url(name: str) -> str:
    return f"https://doi.org/{name}"


_LOWER: Final = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
