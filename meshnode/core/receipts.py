"""A receipt: all that shows, without asking anybody, who signed for an item.

    item → segment → entry → inclusion proof → head → root → catalogue id

Owns the checks of these steps that need no disk. That the segment's bytes hold the item is checked
by whoever has them (protocol/04-log-and-trust.md, RFC 9162 §2.1.3).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from meshnode.core.encoding import MalformedRecordError
from meshnode.core.entries import SegmentAdded, decode_entry
from meshnode.core.heads import Head, SignedHead, decode_signed_head
from meshnode.core.identifiers import CatalogueId, Digest, catalogue_text, object_text
from meshnode.core.merkle import leaf_hash, verify_inclusion
from meshnode.core.signing import Verify, verify
from meshnode.core.trust import RootChain, UntrustedError


@dataclass(frozen=True, slots=True)
class Receipt:
    """`entry` is the raw entry at `index` of the writer's log, `proof` its audit path to `head`.

    `head` is a signed head; `roots` are the catalogue's signed roots from version 1.
    """

    catalogue: CatalogueId
    collection: str
    segment: Digest
    entry: bytes
    index: int
    proof: tuple[Digest, ...]
    head: bytes
    roots: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One step, what was checked, and why it fails: empty if it holds."""

    name: str
    says: str
    check: str
    fault: str = ""


def examine(receipt: Receipt, check_signature: Verify = verify) -> Iterator[Step]:
    """Yield the steps from the entry to the catalogue's id, each with its check."""
    yield _entry(receipt)
    try:
        offered = decode_signed_head(receipt.head)
    except MalformedRecordError as error:
        yield Step("head", "not readable", "strict decoding", str(error))
        return
    head = offered.head
    yield _inclusion(receipt, head)
    signer = f"head {head.seq} of writer {head.writer.hex()}"
    try:
        chain = RootChain.begin(receipt.roots[0], check_signature)
        chain = chain.extend(receipt.roots[1:], check_signature)
    except (MalformedRecordError, UntrustedError) as error:
        yield Step("root", "not in force", "chain of root signatures", str(error))
        return
    fault = chain.head_fault(head, offered.signed, check_signature) or _closed(
        chain, offered, receipt
    )
    yield Step("head", signer, "signature of a writer of the root", fault)
    role = chain.current.root_role
    says = f"root {chain.current.version}, signed by {role.threshold} of {len(role.keys)} keys"
    yield Step("root", says, "chain of root signatures")
    wrong = chain.catalogue != receipt.catalogue or head.catalogue != receipt.catalogue
    yield Step(
        "catalogue",
        catalogue_text(chain.catalogue),
        "SHA-256 of the first root",
        f"it is not {catalogue_text(receipt.catalogue)}" if wrong else "",
    )


def _entry(receipt: Receipt) -> Step:
    says = f"entry {receipt.index} of the log"
    check = "it adds this segment"
    try:
        entry = decode_entry(receipt.entry)
    except MalformedRecordError as error:
        return Step("entry", says, check, str(error))
    adds = isinstance(entry, SegmentAdded) and (
        (entry.collection, entry.segment) == (receipt.collection, receipt.segment)
    )
    fault = "" if adds else f"it does not add {object_text(receipt.segment)}"
    return Step("entry", f"{says}, clock {entry.clock}", check, fault)


def _inclusion(receipt: Receipt, head: Head) -> Step:
    leaf = leaf_hash(receipt.entry)
    holds = verify_inclusion(leaf, receipt.index, head.size, receipt.proof, head.tree)
    return Step(
        "inclusion",
        f"{len(receipt.proof)} hashes lead to the tree of {head.size} entries",
        "audit path of RFC 9162",
        "" if holds else "they lead to another tree hash",
    )


def _closed(chain: RootChain, offered: SignedHead, receipt: Receipt) -> str:
    """Say why the root in force lets the head not count; empty if it does (L-60)."""
    grant = chain.writer(offered.head.writer)
    if grant is None or grant.closed is False:
        return "the root in force counts nothing of this writer"
    if not chain.admits(grant, receipt.collection):
        return f"the root in force lets this writer sign nothing of {receipt.collection}"
    if grant.closed is None or grant.closed.seq > offered.head.seq:
        return ""
    if grant.closed.head == offered.signed.digest:
        return ""
    return f"the root in force has closed the log at head {grant.closed.seq}"
