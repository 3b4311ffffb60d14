"""What web sites said of catalogues, kept across restarts: `domains.json`.

Implements the asking side of N-93 and N-94 (protocol/05-sync.md). What the answer means is decided
in `meshnode.core.domains`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog
import trio

from meshnode.core.domains import Binding, binding_of, domain_of, read_site, well_known_url
from meshnode.core.identifiers import CatalogueId, catalogue_text, parse_catalogue
from meshnode.core.limits import SITE_BYTES_MAX
from meshnode.core.roots import Root
from meshnode.core.trust import RootChain
from meshnode.errors import PeerError, StorageError
from meshnode.runtime.clock import unix_now
from meshnode.runtime.files import read_kept, write_durably

FRESH_SECONDS: Final = 86_400  # a site is asked once a day
LASTING_SECONDS: Final = 30 * 86_400  # what a site said stays while it is away for so long
ROUND_SECONDS: Final = 60.0
SITES_A_ROUND_MAX: Final = 8  # ten thousand catalogues at once are no reason to flood the web
DOMAINS_MAX: Final = 4096  # more catalogues than anybody follows; the oldest are forgotten


_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Domain:
    """What is known of one catalogue's domain.

    `checked` is when the site was asked last, `said` when it last gave `binding` (unix seconds).
    """

    name: str
    binding: Binding
    reason: str
    checked: int
    said: int


NO_DOMAIN: Final = Domain("", Binding.NONE, "its root names no domain", 0, 0)


async def ask_site(
    catalogue: CatalogueId, root: Root, unix: int, *, allow_local: bool = False
) -> Domain:
    """Ask the domain that a root names whether it names the catalogue."""
    from meshnode.runtime.joining.documents import fetch  # slow to import: httpx

    name = domain_of(root)
    if name is None:
        return NO_DOMAIN
    try:
        document = await fetch(
            well_known_url(name), SITE_BYTES_MAX, allow_local=allow_local, only_https=True
        )
        binding, reason = binding_of(catalogue, read_site(document.body or b"")), ""
    except PeerError as error:
        binding, reason = Binding.NOT_SEEN, str(error)
    return Domain(name, binding, reason, unix, unix)


class DomainBook:
    """The last word of each site. Bounded; the file is replaced whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._domains: dict[CatalogueId, Domain] = read_kept(
            path, _parsed, {}, "remove it: the sites are asked again"
        )

    def of(self, catalogue: CatalogueId, root: Root | None) -> Domain:
        """Return what is known; a root that names another domain than before makes it unknown."""
        name = domain_of(root) if root is not None else None
        if name is None:
            return NO_DOMAIN
        known = self._domains.get(catalogue)
        if known is None or known.name != name:
            return Domain(name, Binding.NOT_SEEN, "its site was not asked yet", 0, 0)
        return known

    def is_due(self, catalogue: CatalogueId, root: Root, unix: int) -> bool:
        known = self.of(catalogue, root)
        # A clock that was set back must not keep a site from being asked.
        return known.binding is not Binding.NONE and abs(unix - known.checked) >= FRESH_SECONDS

    async def note(self, catalogue: CatalogueId, found: Domain) -> None:
        """Take over what a site said; while it is away its last word stands. Raises StorageError.

        A site that is silent says nothing: it neither confirms nor contradicts.
        """
        if found.binding is Binding.NONE:
            return
        before = self._domains.pop(catalogue, None)
        if before is not None and _still_stands(before, found):
            found = Domain(found.name, before.binding, found.reason, found.checked, before.said)
        self._domains[catalogue] = found
        if len(self._domains) > DOMAINS_MAX:
            del self._domains[next(iter(self._domains))]
        said = {catalogue_text(name): _said(domain) for name, domain in self._domains.items()}
        await trio.to_thread.run_sync(
            write_durably, self._path, json.dumps(said, indent=1).encode()
        )

    async def run(
        self,
        followed: Callable[[], Sequence[RootChain]],
        rng: random.Random,
        *,
        allow_local: bool,
    ) -> None:
        """Ask the sites of these catalogues once a day each, until cancelled."""
        while True:
            unix = unix_now()
            due = [c for c in followed() if self.is_due(c.catalogue, c.current, unix)]
            for chain in due[:SITES_A_ROUND_MAX]:
                found = await ask_site(
                    chain.catalogue, chain.current, unix_now(), allow_local=allow_local
                )
                try:
                    await self.note(chain.catalogue, found)
                except StorageError as error:
                    _log.warning("what a site said could not be kept", reason=str(error))
            await trio.sleep(ROUND_SECONDS * rng.uniform(0.75, 1.25))


def _parsed(raw: bytes) -> dict[CatalogueId, Domain]:
    return {
        parse_catalogue(name): Domain(**{**said, "binding": Binding(said["binding"])})
        for name, said in json.loads(raw).items()
    }


def _still_stands(before: Domain, found: Domain) -> bool:
    is_silent = found.binding is Binding.NOT_SEEN and before.name == found.name
    return is_silent and 0 <= found.checked - before.said < LASTING_SECONDS


def _said(domain: Domain) -> dict[str, Any]:
    return {
        "name": domain.name,
        "binding": domain.binding.value,
        "reason": domain.reason,
        "checked": domain.checked,
        "said": domain.said,
    }
