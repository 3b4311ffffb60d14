"""Whom a catalogue trusts: the chain of its signed roots, and what its writers may do.

Implements protocol/04-log-and-trust.md, "Roots". Every authentic root is kept, also one that
another of the same version voids; which of them are in force follows from the set alone, whatever
the order in which they came. What the records contain is in `roots`, which root may follow which in
`succession`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from meshnode.core.encoding import MalformedRecordError
from meshnode.core.heads import Head
from meshnode.core.identifiers import CatalogueId, Digest, Kid, PublicKey, key_id
from meshnode.core.limits import PURGE_BYTES_MAX, PURGES_MAX, SIGNED_ROOT_BYTES_MAX
from meshnode.core.purges import Purge, decode_purge
from meshnode.core.roots import ED25519, FIRST_VERSION, Root, Writer, decode_root
from meshnode.core.signed import Signed, decode_signed
from meshnode.core.signing import Verify, is_admissible, signed_bytes, verify
from meshnode.core.succession import succession_fault, takes_committed
from meshnode.errors import PeerError

RIVALS_MAX = 2  # of one kind that follow one root: two void each other, and a third changes nothing


REMEMBERED_CHAINS = 64  # first roots that are not checked twice: at most 1 MiB of bytes


class UntrustedError(PeerError):
    """A well-formed record that nobody entitled to it has signed."""


@dataclass(frozen=True, slots=True)
class SignedRoot:
    """A root whose signatures hold; `digest` is its payload's, `raw` the envelope as received."""

    root: Root
    digest: Digest
    raw: bytes


@dataclass(frozen=True, slots=True)
class SignedPurge:
    """A purge whose signatures hold; `by` is the digest of the root whose threshold signed it."""

    purge: Purge
    digest: Digest
    by: Digest
    raw: bytes


@dataclass(frozen=True, slots=True)
class RootChain:
    """All that the root thresholds of a catalogue signed, as far as it is held.

    Invariant: each of `held` but the first is signed as the root before it, also held, demands;
    each of `purges` by the threshold of a root that is held. `held` is sorted by version and
    digest, `purges` by digest. `in_force` begins with version 1; its last root counts.
    """

    catalogue: CatalogueId
    held: tuple[SignedRoot, ...]
    purges: tuple[SignedPurge, ...]
    in_force: tuple[SignedRoot, ...]
    _writers: dict[Kid, Writer]
    _keys: dict[Kid, PublicKey]  # of the writers of every root held

    @staticmethod
    @lru_cache(REMEMBERED_CHAINS)
    def begin(raw: bytes, check_signature: Verify = verify) -> RootChain:
        """Start a chain with a signed first root.

        Raises:
            MalformedRecordError: not a signed root.
            UntrustedError: not a first root, not signed by its own root role, or with a key that
                is not admitted.
        """
        signed = decode_signed(raw, SIGNED_ROOT_BYTES_MAX)
        root = decode_root(signed.payload)
        _require_admissible(root)
        if root.version != FIRST_VERSION:
            raise UntrustedError(f"a chain begins with root {FIRST_VERSION}, not {root.version}")
        if any(writer.closed is not None for writer in root.writers):
            raise UntrustedError("the first root closes a log that cannot have begun")
        _require_threshold(root, root, signed, check_signature)
        return _chain([SignedRoot(root, signed.digest, raw)], ())

    def extend(self, raws: Sequence[bytes], check_signature: Verify = verify) -> RootChain:
        """Take in later roots, each after the one it follows, and purges.

        Return this chain if none of them is new. What needs a root that is not held says nothing
        yet and is passed over; so is a third rival of one version.

        Raises:
            MalformedRecordError: not a signed root or purge.
            UntrustedError: a root that may not follow the one it names; too few signatures.
        """
        raws = [raw for raw in raws if not self._has_read(raw)]
        if not raws:
            return self
        roots = {root.digest: root for root in self.held}
        purges = {purge.digest: purge for purge in self.purges}
        given = [(raw, decode_signed(raw, PURGE_BYTES_MAX)) for raw in raws]
        for raw, signed in given:
            if signed.kind != "purge" and signed.digest not in roots:
                root = self._new_root(raw, signed, roots, check_signature)
                if root is not None:
                    roots[root.digest] = root
        for raw, signed in given:
            if signed.kind == "purge" and signed.digest not in purges:
                purge = self._new_purge(raw, signed, roots.values(), check_signature)
                if purge is not None and len(purges) < PURGES_MAX:
                    purges[purge.digest] = purge
        is_new = (len(roots), len(purges)) != (len(self.held), len(self.purges))
        return _chain(roots.values(), purges.values()) if is_new else self

    @property
    def current(self) -> Root:
        """The newest root in force."""
        return self.in_force[-1].root

    @property
    def raws(self) -> tuple[bytes, ...]:
        """The signed roots in force as received, from version 1."""
        return tuple(root.raw for root in self.in_force)

    @property
    def rivals(self) -> tuple[SignedRoot, ...]:
        """The authentic roots after the current one that void each other: evidence of a fork."""
        return tuple(_successors(self.in_force[-1], self.held))

    @property
    def purging(self) -> tuple[SignedPurge, ...]:
        """The purges that count: those of the current root."""
        current = self.in_force[-1].digest
        return tuple(purge for purge in self.purges if purge.by == current)

    @property
    def newest(self) -> Iterator[tuple[int, Digest]]:
        """Yield version and digest of what others need to agree with this chain, beyond version 1:
        the newest root, its rivals, and the purges that count.
        """
        for root in (self.in_force[-1], *self.rivals):
            if root.root.version > FIRST_VERSION:
                yield root.root.version, root.digest
        for purge in self.purging:
            yield purge.purge.root_version, purge.digest

    def beyond(self, other: RootChain | None) -> Iterator[tuple[int, bytes]]:
        """Yield what only this chain holds, as received, with the root's version."""
        for root in self.held:
            if other is None or not other.holds(root.digest):
                yield root.root.version, root.raw
        for purge in self.purges:
            if other is None or not other.holds(purge.digest):
                yield purge.purge.root_version, purge.raw

    @property
    def newest_version(self) -> int:
        """The greatest version held, in force or not: up to here heads can be judged."""
        return self.held[-1].root.version

    def holds(self, digest: Digest) -> bool:
        """Say whether a root or purge of this digest is held."""
        held = (root.digest for root in self.held)
        return digest in held or digest in (purge.digest for purge in self.purges)

    def writer(self, kid: Kid) -> Writer | None:
        """Return what the current root grants to a writer, None if it does not list him."""
        return self._writers.get(kid)

    def key_of(self, kid: Kid) -> PublicKey | None:
        """Return the key of a writer of any root held."""
        return self._keys.get(kid)

    def admits(self, writer: Writer, collection: str) -> bool:
        """Say whether entries of this writer in this collection count."""
        if writer.prefixes is None:
            return True
        return collection.startswith(writer.prefixes)

    def head_fault(self, head: Head, signed: Signed, check_signature: Verify) -> str | None:
        """Return why the head is not authentic, None if it is.

        A head has one signature, its writer's. Whether it counts is another question: the root in
        force may have closed the log, or not list the writer.
        """
        key = self.key_of(head.writer)
        if key is None:
            return f"{head.writer.hex()} is not a writer of the catalogue"
        if [signature.kid for signature in signed.signatures] != [head.writer]:
            return "the head is not signed by its writer alone"
        message = signed_bytes("head", signed.payload)
        if not check_signature(key, signed.signatures[0].signature, message):
            return "the signature does not hold"
        return None

    def _has_read(self, raw: bytes) -> bool:
        """Say whether these very bytes are held, which were checked when they came."""
        roots = any(root.raw == raw for root in self.held)
        return roots or any(purge.raw == raw for purge in self.purges)

    def _new_root(
        self,
        raw: bytes,
        signed: Signed,
        held: Mapping[Digest, SignedRoot],
        check_signature: Verify,
    ) -> SignedRoot | None:
        """Check a root that is not held; None if nothing can be said, or nothing would follow."""
        if len(raw) > SIGNED_ROOT_BYTES_MAX:
            raise MalformedRecordError(f"a root of {len(raw)} bytes")
        root = decode_root(signed.payload)
        if root.prev is None:
            raise UntrustedError("it is the first root of another catalogue")
        before = held.get(root.prev)
        if before is None or _is_crowded(before, root, held.values()):
            return None
        _require_admissible(root)
        if any(delegate.catalogue == self.catalogue for delegate in root.delegates):
            raise UntrustedError(f"root {root.version} delegates to its own catalogue")
        if fault := succession_fault(before.root, root):
            raise UntrustedError(f"root {root.version}: {fault}")
        _require_threshold(before.root, root, signed, check_signature)
        _require_threshold(root, root, signed, check_signature)
        return SignedRoot(root, signed.digest, raw)

    def _new_purge(
        self, raw: bytes, signed: Signed, held: Iterable[SignedRoot], check_signature: Verify
    ) -> SignedPurge | None:
        """Check a purge that is not held; None if its root is not held."""
        purge = decode_purge(signed.payload)
        if purge.catalogue != self.catalogue:
            raise UntrustedError("it is a purge of another catalogue")
        roots = [root for root in held if root.root.version == purge.root_version]
        for root in roots:
            good = _signers(root.root, "purge", signed, check_signature)
            if good >= root.root.root_role.threshold:
                return SignedPurge(purge, signed.digest, root.digest, raw)
        if roots:
            raise UntrustedError(f"too few keys of root {purge.root_version} signed the purge")
        return None


def first_of(catalogue: CatalogueId, raws: Sequence[bytes]) -> bytes:
    """Return the first root of a catalogue, which its id names; the first of `raws` without it.

    Raises:
        MalformedRecordError: one of them is not signed.
    """
    named = [raw for raw in raws if decode_signed(raw, PURGE_BYTES_MAX).digest == Digest(catalogue)]
    return (named or raws)[0]


def _chain(roots: Iterable[SignedRoot], purges: Iterable[SignedPurge]) -> RootChain:
    held = tuple(sorted(roots, key=lambda signed: (signed.root.version, signed.digest)))
    in_force = [held[0]]
    while (successor := _successor(in_force[-1], held)) is not None:
        in_force.append(successor)
    return RootChain(
        catalogue=CatalogueId(held[0].digest),
        held=held,
        purges=tuple(sorted(purges, key=lambda signed: signed.digest)),
        in_force=tuple(in_force),
        _writers={writer.kid: writer for writer in in_force[-1].root.writers},
        _keys={writer.kid: writer.public_key for signed in held for writer in signed.root.writers},
    )


def _successor(before: SignedRoot, held: Iterable[SignedRoot]) -> SignedRoot | None:
    """Return the one root that counts after `before`: the one that takes the committed keys, else
    the only one; None if rivals void each other.
    """
    candidates = _successors(before, held)
    takers = [root for root in candidates if takes_committed(before.root, root.root)]
    counted = takers or candidates
    return counted[0] if len(counted) == 1 else None


def _successors(before: SignedRoot, held: Iterable[SignedRoot]) -> list[SignedRoot]:
    return [root for root in held if root.root.prev == before.digest]


def _is_crowded(before: SignedRoot, root: Root, held: Iterable[SignedRoot]) -> bool:
    taking = takes_committed(before.root, root)
    rivals = _successors(before, held)
    alike = [rival for rival in rivals if takes_committed(before.root, rival.root) is taking]
    return len(alike) >= RIVALS_MAX


def _require_admissible(root: Root) -> None:
    keys = [key.public_key for key in root.keys if key.algorithm == ED25519]
    for key in [*keys, *(writer.public_key for writer in root.writers)]:
        if not is_admissible(key):
            raise UntrustedError(
                f"the key {key.hex()} is not admitted: of low order or not canonical"
            )


def _require_threshold(role_of: Root, root: Root, signed: Signed, check_signature: Verify) -> None:
    """Demand that enough keys of a root's role signed `root`."""
    good = _signers(role_of, "root", signed, check_signature)
    if good < role_of.root_role.threshold:
        raise UntrustedError(
            f"root {root.version} has {good} of the {role_of.root_role.threshold} signatures "
            f"that root {role_of.version} asks for"
        )


def _signers(role_of: Root, record: str, signed: Signed, check_signature: Verify) -> int:
    """Count the keys of a root's role that signed; signatures of others do not count."""
    listed = (role_of.keys[index] for index in role_of.root_role.keys)
    keys = [key.public_key for key in listed if key.algorithm == ED25519]
    message = signed_bytes(record, signed.payload)
    given = {signature.kid: signature.signature for signature in signed.signatures}
    signatures = [(key, given.get(key_id(key))) for key in keys]
    return sum(
        signature is not None and check_signature(key, signature, message)
        for key, signature in signatures
    )
