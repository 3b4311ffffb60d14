"""Chains of roots for tests: later versions, signed by whom the test says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from meshnode.core.identifiers import CatalogueId, Digest, sha256
from meshnode.core.roots import (
    ED25519,
    Closing,
    NextRole,
    Role,
    Root,
    RootKey,
    Writer,
    encode_root,
)
from meshnode.core.signed import encode_signed
from meshnode.core.signing import public_key, sign
from tests.core.institutions import ISSUED, key_of


@dataclass(frozen=True, slots=True)
class Signers:
    """A root role by the names of its keys: `threshold` of them must sign."""

    names: tuple[str, ...]
    threshold: int = 1

    @property
    def keys(self) -> list[Ed25519PrivateKey]:
        return [key_of(name) for name in self.names]

    @property
    def role(self) -> Role:
        return Role(self.threshold, tuple(range(len(self.names))))

    @property
    def listed(self) -> tuple[RootKey, ...]:
        return tuple(RootKey(ED25519, public_key(key)) for key in self.keys)

    @property
    def committed(self) -> NextRole:
        digests = tuple(sha256(public_key(key)) for key in self.keys)
        return NextRole(self.threshold, digests)


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a root, with the keys that signed it."""

    root: Root
    raw: bytes

    @property
    def digest(self) -> Digest:
        return sha256(encode_root(self.root))

    def then(
        self,
        *,
        by: Sequence[str],
        to: Signers | None = None,
        commit: Signers | None = None,
        **changes: object,
    ) -> Version:
        """Return a root that follows this one, signed by the keys of these names."""
        fields = {"version": self.root.version + 1, "prev": self.digest} | changes
        if to is not None:
            fields |= {"keys": to.listed, "root_role": to.role}
        if commit is not None:
            fields |= {"next": commit.committed}
        return signed(replace(self.root, **fields), by)  # type: ignore[arg-type]

    def closing(self, label: str, closed: Closing | None, *, by: Sequence[str]) -> Version:
        """Return a root that follows this one and closes the writer of this label."""
        writers = tuple(
            replace(writer, closed=closed) if writer.label == label else writer
            for writer in self.root.writers
        )
        return self.then(by=by, writers=writers)


def signed(root: Root, by: Sequence[str]) -> Version:
    keys = [key_of(name) for name in by]
    return Version(root, encode_signed(sign("root", encode_root(root), keys)))


@dataclass(slots=True)
class Ceremony:
    """The first root of a catalogue with these root keys and writers."""

    signers: Signers
    writers: tuple[str, ...] = ("writer",)
    commit: Signers | None = None
    first: Version = field(init=False)

    def __post_init__(self) -> None:
        root = Root(
            version=1,
            prev=None,
            issued=ISSUED,
            review_by=ISSUED + 1,
            keys=self.signers.listed,
            root_role=self.signers.role,
            next=self.commit.committed if self.commit else None,
            writers=tuple(Writer(public_key(key_of(name)), name) for name in self.writers),
            delegates=(),
            meta={"title": "Ville d'Exemple"},
        )
        self.first = signed(root, self.signers.names)

    @property
    def catalogue(self) -> CatalogueId:
        return CatalogueId(self.first.digest)
