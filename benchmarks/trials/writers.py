"""Writers whose announcements have the size that is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from benchmarks.samples import COLLECTION
from meshnode.core.authoring import LogState, extend, first_root
from meshnode.core.entries import MirrorsChanged
from meshnode.core.gossip import announce
from meshnode.core.heads import decode_signed_head
from meshnode.core.identifiers import CatalogueId, Kid, key_id, sha256
from meshnode.core.merkle import Frontier, leaf_hash
from meshnode.core.roots import encode_root
from meshnode.core.signed import encode_signed
from meshnode.core.signing import public_key, sign
from meshnode.runtime.clock import unix_now

_URL_BYTES: Final = 200  # about
_SAID_BYTES: Final = 255  # of an announcement, beside the URLs: the head, its signature, the entry


@dataclass(frozen=True, slots=True)
class Step:
    """A signed head and the entry under it, as a peer's operator submits them."""

    head: bytes
    first: int
    entries: tuple[bytes, ...]
    seq: int
    announcement: bytes


@dataclass(slots=True)
class Writer:
    """A catalogue of its own and the log that grows. Its entries name no objects, so that nothing
    but the announcement travels.
    """

    name: str
    _key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    raw_root: bytes = field(init=False)
    catalogue: CatalogueId = field(init=False)
    _state: LogState = field(init=False)

    def __post_init__(self) -> None:
        public, now = public_key(self._key), unix_now()
        meta = {"title": self.name}
        root = encode_root(first_root(public, [(public, "writer")], meta, now, now + 86_400))
        self.raw_root = encode_signed(sign("root", root, [self._key]))
        self.catalogue = CatalogueId(sha256(root))
        self._state = LogState(self.catalogue, self.kid, 1, None, Frontier(), 0)

    @property
    def kid(self) -> Kid:
        return key_id(public_key(self._key))

    def sign(self, size_bytes: int) -> Step:
        """Sign the next head: its announcement has about `size_bytes`, 500 to 16,000."""
        state = self._state
        seq = state.head.head.seq + 1 if state.head else 1
        entry = MirrorsChanged(
            clock=state.clock + 1,
            collection=COLLECTION,
            key=sha256(self.name.encode()),
            add=_urls(seq, size_bytes - _SAID_BYTES),
            drop=(),
        )
        raw, first, entries = extend(
            state,
            [entry],
            issued=unix_now(),
            next_by=None,
            sign=lambda payload: sign("head", payload, [self._key]),
        )
        head = decode_signed_head(raw)
        frontier = state.frontier.extend([leaf_hash(each) for each in entries])
        self._state = LogState(self.catalogue, self.kid, 1, head, frontier, entry.clock)
        return Step(raw, first, entries, seq, announce(head, first, entries))


def _urls(seq: int, size_bytes: int) -> tuple[str, ...]:
    count = max(1, size_bytes // _URL_BYTES)
    stems = (f"https://mirror-{number}.example/{seq}/" for number in range(count))
    return tuple(stem.ljust(size_bytes // count - 2, "x") for stem in stems)
