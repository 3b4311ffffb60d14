"""Seed files: a signed seed list with the roots that a newcomer needs to verify it.

Implements R-38 and R-90 to R-92 of protocol/02-records.md. A seed file is one file behind any web
server; everything in it is checked here, and nothing outside it is needed for that.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from meshnode.core import shapes
from meshnode.core.encoding import MalformedRecordError, decode, encode
from meshnode.core.identifiers import CatalogueId, Digest
from meshnode.core.limits import (
    ROOT_VERSION_MAX,
    SEED_FILE_BYTES_MAX,
    SEEDS_BYTES_MAX,
    SIGNED_ROOT_BYTES_MAX,
)
from meshnode.core.roots import Writer
from meshnode.core.seeds import Seeds, decode_seeds
from meshnode.core.signed import ENVELOPE, Signed, encode_signed
from meshnode.core.signing import Verify, signed_bytes, verify
from meshnode.core.trust import RootChain, UntrustedError


@dataclass(frozen=True, slots=True)
class SeedFile:
    """Nothing says yet that the signatures hold. `roots` begin with version 1."""

    roots: tuple[Signed, ...]
    seeds: Signed


@dataclass(frozen=True, slots=True)
class SeedList:
    """An authentic seed list. `raw` is the whole file, `digest` the list's own name."""

    seeds: Seeds
    digest: Digest
    chain: RootChain
    signer: Writer
    raw: bytes

    @property
    def catalogue(self) -> CatalogueId:
        return self.seeds.catalogue

    def is_expired(self, unix: int) -> bool:
        return unix >= self.seeds.expires


class SeedStanding(Enum):
    """How an authentic list stands to the one that is held."""

    NEWER = "newer"  # also: none is held
    SAME = "same"
    OLDER = "older"
    CONTRADICTS = "contradicts"  # the same version, with other content
    EXPIRED = "expired"
    FOREIGN = "foreign"  # another catalogue's than the one that was pinned


def encode_seed_file(file: SeedFile) -> bytes:
    return encode(_SEED_FILE.write(file))


def decode_seed_file(raw: bytes) -> SeedFile:
    """Raises MalformedRecordError: not the encoding of a seed file."""
    return _SEED_FILE.read(decode(raw, SEED_FILE_BYTES_MAX))


def read_seed_list(raw: bytes, check_signature: Verify = verify) -> SeedList:
    """Return the list in a seed file, all of whose signatures hold. Nothing is said of its expiry.

    Raises:
        MalformedRecordError: not a seed file.
        UntrustedError: the roots are no chain of the list's catalogue, or no open writer signed.
    """
    file = decode_seed_file(raw)
    seeds = decode_seeds(file.seeds.payload)
    chain = _chain_of(file.roots, check_signature)
    if chain.catalogue != seeds.catalogue:
        raise UntrustedError("the roots of the seed file are another catalogue's")
    signer = _signer_of(file.seeds, chain, check_signature)
    return SeedList(seeds, file.seeds.digest, chain, signer, raw)


def standing(
    held: SeedList | None, offered: SeedList, pinned: CatalogueId, unix: int
) -> SeedStanding:
    """Say how an authentic list stands to the held one of the pinned catalogue, at this time."""
    if offered.catalogue != pinned:
        return SeedStanding.FOREIGN
    if held is not None and offered.seeds.version < held.seeds.version:
        return SeedStanding.OLDER
    if held is not None and offered.seeds.version == held.seeds.version:
        is_same = offered.digest == held.digest
        return SeedStanding.SAME if is_same else SeedStanding.CONTRADICTS
    return SeedStanding.EXPIRED if offered.is_expired(unix) else SeedStanding.NEWER


def _chain_of(roots: tuple[Signed, ...], check_signature: Verify) -> RootChain:
    raws = [encode_signed(root) for root in roots]
    if len(raws[0]) > SIGNED_ROOT_BYTES_MAX:
        raise MalformedRecordError(f"a root of {len(raws[0])} bytes")
    chain = RootChain.begin(raws[0], check_signature).extend(raws[1:], check_signature)
    if len(chain.in_force) != len(roots):
        raise UntrustedError("the roots of the seed file are no chain: one is missing or too many")
    return chain


def _signer_of(signed: Signed, chain: RootChain, check_signature: Verify) -> Writer:
    [signature, *others] = signed.signatures
    writer = chain.writer(signature.kid)
    if others or writer is None:
        raise UntrustedError("the seed list is not signed by one writer of its catalogue")
    if writer.closed is not None:
        raise UntrustedError(f"the writer {writer.kid.hex()} that signed the list is closed")
    message = signed_bytes("seeds", signed.payload)
    if not check_signature(writer.public_key, signature.signature, message):
        raise UntrustedError("the signature of the seed list does not hold")
    return writer


def _check_file(file: SeedFile) -> None:
    shapes.require(len(file.seeds.payload) <= SEEDS_BYTES_MAX, "the seed list is too long")


_SEED_FILE = shapes.Layout(
    "seed-file", 1, SeedFile, (shapes.listed(ENVELOPE, 1, ROOT_VERSION_MAX), ENVELOPE), _check_file
)
