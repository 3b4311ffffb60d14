"""Institutions that sign seed lists, for tests of whoever reads them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from multiaddr import Multiaddr

from meshnode.core.seed_files import SeedFile, encode_seed_file
from meshnode.core.seeds import SeedCatalogue, Seeds, encode_seeds
from meshnode.core.signed import decode_signed
from meshnode.core.signing import sign
from meshnode.runtime.clock import unix_now
from tests.core.institutions import Institution

DAY = 86_400
MADE = unix_now()  # once: the same list has the same bytes


@dataclass
class SeedMaker:
    """Signs lists of one institution; `domain` stands in its root."""

    name: str
    domain: str = ""

    def __post_init__(self) -> None:
        self.institution = Institution(self.name)
        meta = {"title": self.name} | ({"domain": self.domain} if self.domain else {})
        self.institution.change_root(lambda root: replace(root, meta=meta))

    def signed(self, version: int, *peers: str, days: int = 30, mirror: str = "") -> bytes:
        """Return a seed file that is good for so many days from now on."""
        listed = (SeedCatalogue(self.institution.catalogue, self.name),)
        addresses = tuple(Multiaddr(peer).to_bytes() for peer in peers)
        seeds = Seeds(
            self.institution.catalogue,
            version,
            MADE - 40 * DAY,
            MADE + days * DAY,
            addresses,
            listed,
            (mirror,) if mirror else (),
        )
        root = decode_signed(self.institution.raw_root, 1 << 16)
        key = self.institution.writer_keys[0]
        return encode_seed_file(SeedFile((root,), sign("seeds", encode_seeds(seeds), [key])))
