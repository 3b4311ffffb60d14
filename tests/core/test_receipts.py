"""Receipts: each link from an entry to the catalogue's id is checked, and a broken one is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from meshnode.core.amendments import amended, close_writer
from meshnode.core.heads import decode_signed_head
from meshnode.core.identifiers import CatalogueId, Digest, sha256
from meshnode.core.merkle import inclusion_proof, leaf_hash
from meshnode.core.receipts import Receipt, examine
from meshnode.core.roots import Closing, LastHead, encode_root
from meshnode.core.signed import encode_signed
from meshnode.core.signing import sign
from tests.core.institutions import ISSUED, Institution, altered, content, segment

NAMES = ["entry", "inclusion", "head", "root", "catalogue"]


def made() -> tuple[Institution, Receipt]:
    """Return a receipt for the second of five entries."""
    institution = Institution("towns")
    for clock in range(1, 6):
        institution.log.publish(segment(clock))
    leaves = [leaf_hash(raw) for raw in institution.log.entries]
    return institution, Receipt(
        catalogue=institution.catalogue,
        collection="ortho",
        segment=sha256(content("2")),
        entry=institution.log.entries[1],
        index=1,
        proof=inclusion_proof(leaves, 1),
        head=institution.log.heads[-1],
        roots=(institution.raw_root,),
    )


def failing(receipt: Receipt) -> list[str]:
    return [step.name for step in examine(receipt) if step.fault]


def test_an_honest_receipt_holds_in_every_step():
    _, receipt = made()
    assert [(step.name, step.fault) for step in examine(receipt)] == [(name, "") for name in NAMES]


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        (lambda r: replace(r, segment=sha256(b"other")), ["entry"]),
        (lambda r: replace(r, collection="other"), ["entry"]),
        (lambda r: replace(r, entry=b"\x80"), ["entry", "inclusion"]),
        (lambda r: replace(r, index=2), ["inclusion"]),
        (lambda r: replace(r, proof=r.proof[1:]), ["inclusion"]),
        (lambda r: replace(r, catalogue=CatalogueId(bytes(32))), ["catalogue"]),
        (lambda r: replace(r, head=r.head[:-1] + bytes([r.head[-1] ^ 1])), ["head"]),
        (lambda r: replace(r, head=b"\x80"), ["head"]),
        (lambda r: replace(r, roots=(b"\x80",)), ["root"]),
    ],
)
def test_a_broken_link_is_named(change: Callable[[Receipt], Receipt], broken: list[str]):
    _, receipt = made()
    assert failing(change(receipt)) == broken


def test_a_head_of_another_catalogue_is_found():
    institution, receipt = made()
    other = Institution("other")
    assert failing(replace(receipt, roots=(other.raw_root,))) == ["head", "catalogue"]
    moved = altered(receipt.head, institution.log.key, catalogue=other.catalogue)
    assert failing(replace(receipt, head=moved)) == ["catalogue"]


def closed_at(institution: Institution, seq: int | None, digest: bytes = b"") -> bytes:
    """Return a second root that closes the log at this head, or (None) altogether."""
    head = decode_signed_head(institution.log.heads[(seq or 1) - 1])
    good = Digest(digest) if digest else head.signed.digest
    last: Closing = LastHead(seq, good) if seq else False
    root = amended(
        institution.root,
        [close_writer(institution.log.writer, last)],
        issued=ISSUED,
        review_by=ISSUED,
    )
    return encode_signed(sign("root", encode_root(root), [institution.root_key]))


@pytest.mark.parametrize(
    ("seq", "digest", "fault"),
    [
        (5, b"", ""),
        (5, bytes(32), "has closed the log at head 5"),
        (4, b"", "has closed the log at head 4"),
        (None, b"", "counts nothing of this writer"),
    ],
)
def test_a_closing_decides_whether_the_head_counts(seq: int | None, digest: bytes, fault: str):
    institution, receipt = made()
    receipt = replace(receipt, roots=(*receipt.roots, closed_at(institution, seq, digest)))
    (step,) = (step for step in examine(receipt) if step.name == "head")
    assert fault in step.fault
    assert bool(fault) == bool(step.fault)
