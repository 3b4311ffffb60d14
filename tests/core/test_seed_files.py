"""Seed files: a newcomer verifies all of it from the file alone, and takes no older list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from meshnode.core.identifiers import CatalogueId, sha256
from meshnode.core.roots import Writer
from meshnode.core.seed_files import (
    SeedFile,
    SeedStanding,
    decode_seed_file,
    encode_seed_file,
    read_seed_list,
    standing,
)
from meshnode.core.seeds import Seeds, encode_seeds
from meshnode.core.signed import Signed, decode_signed
from meshnode.core.signing import public_key, sign
from meshnode.core.trust import UntrustedError
from tests.core.ceremonies import Ceremony, Signers, Version
from tests.core.institutions import ISSUED, key_of

CEREMONY = Ceremony(Signers(("alice",)), writers=("laptop", "server"))
SECOND = CEREMONY.first.then(by=["alice"])
CLOSING = CEREMONY.first.closing("laptop", False, by=["alice"])
STRANGER = Ceremony(Signers(("mallory",)), writers=("laptop",))


def list_of(
    version: int = 1, *, catalogue: CatalogueId = CEREMONY.catalogue, days: int = 30
) -> Seeds:
    expires = ISSUED + days * 86_400
    return Seeds(catalogue, version, ISSUED, expires, (b"\x04\x7f\0\0\1",), (), ())


def file_of(
    seeds: Seeds, roots: Sequence[Version] = (CEREMONY.first,), by: Sequence[str] = ("laptop",)
) -> bytes:
    chain = tuple(decode_signed(root.raw, 1 << 16) for root in roots)
    keys = [key_of(name) for name in by]
    return encode_seed_file(SeedFile(chain, sign("seeds", encode_seeds(seeds), keys)))


def test_r_90_a_list_is_verified_from_the_file_alone():
    found = read_seed_list(file_of(list_of(), [CEREMONY.first, SECOND]))
    assert found.seeds == list_of()
    assert found.chain.current.version == 2
    assert found.signer == Writer(public_key(key_of("laptop")), "laptop")


def test_a_file_is_written_as_it_was_read():
    raw = file_of(list_of())
    assert encode_seed_file(decode_seed_file(raw)) == raw
    assert read_seed_list(raw).raw == raw


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (file_of(list_of(), [CEREMONY.first, CLOSING]), "is closed"),
        (file_of(list_of(), by=["mallory"]), "not signed by one writer"),
        (file_of(list_of(), by=["laptop", "server"]), "not signed by one writer"),
        (file_of(list_of(), [STRANGER.first]), "another catalogue's"),
        (file_of(list_of(), [SECOND]), "begins with root 1"),
        (file_of(list_of(), [CEREMONY.first, STRANGER.first]), "first root of another"),
        (file_of(list_of(), [CEREMONY.first, SECOND, CLOSING]), "no chain"),
        (file_of(list_of(), [CEREMONY.first, SECOND.then(by=["alice"])]), "no chain"),
    ],
    ids=[
        "closed-writer",
        "no-writer",
        "two-writers",
        "foreign-roots",
        "without-the-first",
        "foreign-root-after",
        "rivals",
        "gap",
    ],
)
def test_r_90_what_does_not_verify_is_refused(raw: bytes, reason: str):
    with pytest.raises(UntrustedError, match=reason):
        read_seed_list(raw)


def test_r_90_a_changed_list_does_not_verify():
    good = decode_seed_file(file_of(list_of()))
    payload = encode_seeds(list_of(2))
    forged = SeedFile(good.roots, Signed(payload, good.seeds.signatures))
    with pytest.raises(UntrustedError, match="does not hold"):
        read_seed_list(encode_seed_file(forged))


def test_r_90_a_list_signed_as_something_else_does_not_verify():
    good = decode_seed_file(file_of(list_of()))
    as_head = sign("head", encode_seeds(list_of()), [key_of("laptop")])
    with pytest.raises(UntrustedError, match="does not hold"):
        read_seed_list(encode_seed_file(SeedFile(good.roots, as_head)))


@pytest.mark.parametrize(
    ("held", "offered", "unix", "found"),
    [
        (None, list_of(1), ISSUED, SeedStanding.NEWER),
        (list_of(1), list_of(2), ISSUED, SeedStanding.NEWER),
        (list_of(2), list_of(2), ISSUED, SeedStanding.SAME),
        (list_of(2), list_of(1), ISSUED, SeedStanding.OLDER),
        (list_of(2), list_of(2, days=31), ISSUED, SeedStanding.CONTRADICTS),
        (list_of(1), list_of(2), ISSUED + 30 * 86_400 - 1, SeedStanding.NEWER),
        (list_of(1), list_of(2), ISSUED + 30 * 86_400, SeedStanding.EXPIRED),
        (list_of(2), list_of(1), ISSUED + 30 * 86_400, SeedStanding.OLDER),
    ],
)
def test_n_91_only_a_newer_list_that_has_not_ended_is_taken(
    held: Seeds | None, offered: Seeds, unix: int, found: SeedStanding
):
    before = read_seed_list(file_of(held)) if held else None
    after = read_seed_list(file_of(offered))
    assert standing(before, after, CEREMONY.catalogue, unix) is found


def test_n_91_another_institution_is_not_the_pinned_one():
    theirs = replace(list_of(9), catalogue=STRANGER.catalogue)
    offered = read_seed_list(file_of(theirs, [STRANGER.first]))
    assert standing(None, offered, CEREMONY.catalogue, ISSUED) is SeedStanding.FOREIGN
    assert offered.digest == sha256(encode_seeds(theirs))
