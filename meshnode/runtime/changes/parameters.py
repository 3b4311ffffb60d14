"""What a request asks of the feed: the parameters of its address, each checked by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

from meshnode.core.identifiers import CatalogueId, parse_catalogue
from meshnode.errors import UsageError
from meshnode.runtime.http.asgi import Scope
from meshnode.runtime.index.changes import BEGINNING

QUERY_BYTES_MAX: Final = 8_192
LIMIT_DEFAULT: Final = 100
LIMIT_MAX: Final = 1_000  # changes of one answer
NAMES_MAX: Final = 100  # catalogues or collections of one request


@dataclass(frozen=True, slots=True)
class Parameters:
    """The same words as `meshnode changes`; lists have commas between their names."""

    since: str
    catalogues: tuple[CatalogueId, ...]
    collections: tuple[str, ...]
    limit: int


def parameters_of(scope: Scope) -> Parameters:
    """Read the parameters of a request.

    Raises:
        UsageError: one that is unknown, given twice or cannot be read; the sentence names it.
    """
    raw: bytes = scope["query_string"]
    if len(raw) > QUERY_BYTES_MAX:
        raise UsageError(f"the parameters have more than {QUERY_BYTES_MAX} bytes")
    said: dict[str, str] = {}
    for name, value in parse_qsl(raw.decode("latin-1"), keep_blank_values=True):
        if name not in ("since", "catalogues", "collections", "limit"):
            raise UsageError(f"there is no parameter {name[:60]!r}")
        if name in said:
            raise UsageError(f"{name} is given twice: put commas between its values")
        said[name] = value
    return Parameters(
        since=said.get("since", BEGINNING),
        catalogues=tuple(map(_catalogue, _names(said, "catalogues"))),
        collections=_names(said, "collections"),
        limit=_limit(said.get("limit", str(LIMIT_DEFAULT))),
    )


def _names(said: dict[str, str], name: str) -> tuple[str, ...]:
    if name not in said:
        return ()
    names = tuple(dict.fromkeys(said[name].split(",")))
    if "" in names or len(names) > NAMES_MAX:
        raise UsageError(f"{name}: 1 to {NAMES_MAX} names with commas between them")
    return names


def _catalogue(text: str) -> CatalogueId:
    try:
        return parse_catalogue(text)
    except UsageError as error:
        raise UsageError(f"catalogues: {error}") from error


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= LIMIT_MAX):
        raise UsageError(f"limit: {text[:60]!r} is not from 1 to {LIMIT_MAX}")
    return int(text)
