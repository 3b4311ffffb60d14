"""Whom a followed catalogue delegates to: what is admitted without being asked for, depth 1.

Implements L-22 of protocol/04-log-and-trust.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from meshnode.core.catalogue import Catalogue
from meshnode.core.identifiers import CatalogueId

DELEGATED_MAX: Final = 256  # catalogues in all; an institution may name 64


def delegated_prefixes(
    catalogues: Mapping[CatalogueId, Catalogue], denies: Callable[[CatalogueId], bool]
) -> dict[CatalogueId, tuple[str, ...]]:
    """Return the delegates of what the operator follows himself, with the prefixes they answer for.

    A delegate's own delegates do not count; nor does what is denied, or what he follows anyway.
    """
    found: dict[CatalogueId, tuple[str, ...]] = {}
    for catalogue in catalogues.values():
        if not _is_chosen(catalogue) or catalogue.chain is None:
            continue
        for delegate in catalogue.chain.current.delegates:
            name = delegate.catalogue
            known = catalogues.get(name)
            if denies(name) or (known is not None and _is_chosen(known)):
                continue
            if name in found or len(found) < DELEGATED_MAX:
                found[name] = (*found.get(name, ()), delegate.prefix)
    return found


def _is_chosen(catalogue: Catalogue) -> bool:
    return catalogue.followed and not catalogue.delegated
