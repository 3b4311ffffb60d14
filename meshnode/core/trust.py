"""Whom a catalogue trusts: the chain of its signed roots, and what its writers may do.

Implements protocol/04-log-and-trust.md, "Roots". This version begins a chain with its first root
and follows no later one. What the records contain is in `roots`.
"""

from __future__ import annotations

from dataclasses import dataclass

from meshnode.core.heads import Head
from meshnode.core.identifiers import CatalogueId, Kid, PublicKey, key_id
from meshnode.core.limits import SIGNED_ROOT_BYTES_MAX
from meshnode.core.roots import ED25519, FIRST_VERSION, Root, Writer, decode_root
from meshnode.core.signed import Signed, decode_signed
from meshnode.core.signing import Verify, is_admissible, signed_bytes, verify
from meshnode.errors import PeerError


class UntrustedError(PeerError):
    """A well-formed record that nobody entitled to it has signed."""


@dataclass(frozen=True, slots=True)
class RootChain:
    """Invariant: `current` is the last of `raws`, each signed as the chain demands.

    `raws` are the signed roots as received, from version 1; `catalogue` is the first one's digest.
    """

    catalogue: CatalogueId
    raws: tuple[bytes, ...]
    current: Root
    _writers: dict[Kid, Writer]

    @staticmethod
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
        _require_threshold(root, signed, check_signature)
        writers = {writer.kid: writer for writer in root.writers}
        return RootChain(CatalogueId(signed.digest), (raw,), root, writers)

    def writer(self, kid: Kid) -> Writer | None:
        return self._writers.get(kid)

    def admits(self, writer: Writer, collection: str) -> bool:
        """Say whether entries of this writer in this collection count."""
        if writer.prefixes is None:
            return True
        return collection.startswith(writer.prefixes)

    def head_fault(self, head: Head, signed: Signed, check_signature: Verify) -> str | None:
        """Return why the head is not authentic, None if it is.

        A head has one signature, its writer's, and the writer is one of the current root.
        """
        writer = self.writer(head.writer)
        if writer is None:
            return f"{head.writer.hex()} is not a writer of the catalogue"
        if [signature.kid for signature in signed.signatures] != [head.writer]:
            return "the head is not signed by its writer alone"
        message = signed_bytes("head", signed.payload)
        if not check_signature(writer.public_key, signed.signatures[0].signature, message):
            return "the signature does not hold"
        return None


def _require_admissible(root: Root) -> None:
    keys = [key.public_key for key in root.keys if key.algorithm == ED25519]
    for key in [*keys, *(writer.public_key for writer in root.writers)]:
        if not is_admissible(key):
            raise UntrustedError(
                f"the key {key.hex()} is not admitted: of low order or not canonical"
            )


def _require_threshold(root: Root, signed: Signed, check_signature: Verify) -> None:
    """Demand that enough keys of the root role signed; signatures of others do not count."""
    listed = (root.keys[index] for index in root.root_role.keys)
    usable = [key.public_key for key in listed if key.algorithm == ED25519]
    good = _signers(usable, signed, check_signature)
    if good < root.root_role.threshold:
        raise UntrustedError(
            f"root {root.version} has {good} of the {root.root_role.threshold} signatures it needs"
        )


def _signers(keys: list[PublicKey], signed: Signed, check_signature: Verify) -> int:
    message = signed_bytes("root", signed.payload)
    given = {signature.kid: signature.signature for signature in signed.signatures}
    signatures = [(key, given.get(key_id(key))) for key in keys]
    return sum(
        signature is not None and check_signature(key, signature, message)
        for key, signature in signatures
    )
