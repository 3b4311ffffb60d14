"""Proposals: a root or a purge on its way through the hands of those who must sign it.

A proposal is a file that people carry from machine to machine. It holds the roots that it builds
on, so that a machine without a peer can check it, and shows what it changes. What comes out at the
end is an ordinary signed record (protocol/02-records.md); peers never see a proposal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from meshnode.core import shapes
from meshnode.core.amendments import differences, role_keys
from meshnode.core.encoding import MalformedRecordError, decode, encode
from meshnode.core.identifiers import CatalogueId, Kid, PublicKey, catalogue_text, key_id, sha256
from meshnode.core.limits import PURGE_BYTES_MAX, SIGNATURES_MAX, SIGNED_ROOT_BYTES_MAX
from meshnode.core.purges import Purge, decode_purge
from meshnode.core.roots import Root, decode_root
from meshnode.core.signed import Signature, Signed, encode_signed
from meshnode.core.signing import sign, signed_bytes, verify
from meshnode.core.succession import succession_fault
from meshnode.core.trust import RootChain, UntrustedError
from meshnode.errors import UsageError

ROOT, PURGE = "root", "purge"
ROOTS_MAX = 1024  # versions of a root that a file carries
PROPOSAL_BYTES_MAX = ROOTS_MAX * SIGNED_ROOT_BYTES_MAX


@dataclass(frozen=True, slots=True)
class Proposal:
    """`payload` is what is signed, a record of `kind`; `roots` are in force before it, raw."""

    kind: str
    payload: bytes
    signatures: tuple[Signature, ...]
    roots: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Tally:
    """How far one root role is: `threshold` of its keys must sign."""

    role: str
    threshold: int
    signed: tuple[Kid, ...]
    missing: tuple[Kid, ...]

    @property
    def is_met(self) -> bool:
        return len(self.signed) >= self.threshold


def encode_proposal(proposal: Proposal) -> bytes:
    return encode(_PROPOSAL.write(proposal))


def decode_proposal(raw: bytes) -> Proposal:
    """Raises MalformedRecordError: not a proposal, or one of a record that no peer would take."""
    return _PROPOSAL.read(decode(raw, PROPOSAL_BYTES_MAX))


def chain_of(proposal: Proposal) -> RootChain | None:
    """Return the checked roots that it builds on, None for the first root of a catalogue.

    Raises:
        UsageError: they are no chain, or the proposal does not follow them.
    """
    if not proposal.roots:
        if proposal.kind == PURGE or decode_root(proposal.payload).prev is not None:
            raise UsageError("the proposal does not hold the roots that it builds on")
        return None
    try:
        chain = RootChain.begin(proposal.roots[0]).extend(proposal.roots[1:])
    except (MalformedRecordError, UntrustedError) as error:
        raise UsageError(f"the roots in the proposal do not hold: {error}") from error
    if chain.raws != proposal.roots:
        raise UsageError("the roots in the proposal are not one after the other")
    if fault := _fault(chain, proposal):
        raise UsageError(f"the proposal does not follow the root in force: {fault}")
    return chain


def catalogue_of(proposal: Proposal) -> CatalogueId:
    chain = chain_of(proposal)
    return chain.catalogue if chain else CatalogueId(sha256(proposal.payload))


def tallies(proposal: Proposal) -> list[Tally]:
    """Return how far each role is that must sign; signatures that do not hold count for none."""
    chain = chain_of(proposal)
    given = {signature.kid: signature.signature for signature in proposal.signatures}
    message = signed_bytes(proposal.kind, proposal.payload)

    def tally(root: Root) -> Tally:
        keys = role_keys(root)
        good = [key for key in keys if _holds(key, given.get(key_id(key)), message)]
        return Tally(
            f"root {root.version}",
            root.root_role.threshold,
            tuple(map(key_id, good)),
            tuple(key_id(key) for key in keys if key not in good),
        )

    roots = [chain.current] if chain else []
    if proposal.kind == ROOT:
        roots.append(decode_root(proposal.payload))
    return [tally(root) for root in roots]


def signed_by(proposal: Proposal, key: Ed25519PrivateKey) -> Proposal:
    """Return it with the signature of one more key.

    Raises:
        UsageError: the key is in none of the roles that must sign.
    """
    (signature,) = sign(proposal.kind, proposal.payload, [key]).signatures
    asked = [kid for tally in tallies(proposal) for kid in (*tally.signed, *tally.missing)]
    if signature.kid not in asked:
        raise UsageError(
            f"the key {signature.kid.hex()} is not asked to sign this",
            hint="these are: " + ", ".join(dict.fromkeys(kid.hex() for kid in asked)),
        )
    return _with(proposal, [signature])


def combined(proposals: Sequence[Proposal]) -> Proposal:
    """Return one proposal with the signatures of all.

    Raises:
        UsageError: they are not copies of one proposal.
    """
    first = proposals[0]
    for other in proposals[1:]:
        if (other.kind, other.payload) != (first.kind, first.payload):
            raise UsageError(
                "these files propose different things", hint="meshnode root show FILE tells them"
            )
    return _with(first, [each for other in proposals for each in _good(other)])


def completed(proposal: Proposal) -> bytes:
    """Return the signed record.

    Raises:
        UsageError: not enough keys have signed.
    """
    for tally in tallies(proposal):
        if not tally.is_met:
            missing = ", ".join(kid.hex() for kid in tally.missing)
            raise UsageError(
                f"{len(tally.signed)} of the {tally.threshold} signatures that {tally.role} asks "
                "for are there",
                hint=f"let one of these keys sign it (meshnode root sign): {missing}",
            )
    return encode_signed(Signed(proposal.payload, _good(proposal)))


def summary(proposal: Proposal) -> list[str]:
    """Return what it is about, for the person who is to sign it; the first line is the title."""
    chain = chain_of(proposal)
    name = catalogue_text(catalogue_of(proposal))
    if proposal.kind == PURGE:
        return [f"a purge in {name}", *_purge_lines(decode_purge(proposal.payload))]
    root = decode_root(proposal.payload)
    before = chain.current if chain else None
    if before is None:
        return [f"the first root of {name}", *differences(None, root)]
    changes = differences(before, root) or ["nothing but its date"]
    return [
        f"root {root.version} of {name}",
        f"it differs from root {before.version} by:",
        *changes,
    ]


def _purge_lines(purge: Purge) -> list[str]:
    return [
        f"to be erased from every disk, {purge.reason.name.lower()}:",
        *(f"object {digest.hex()}" for digest in purge.objects),
        *(f"item {item.collection}/{item.id}" for item in purge.items),
    ]


def _fault(chain: RootChain, proposal: Proposal) -> str | None:
    if proposal.kind == PURGE:
        purge = decode_purge(proposal.payload)
        if purge.catalogue != chain.catalogue:
            return "it is another catalogue's"
        if purge.root_version != chain.current.version:
            return f"it names root {purge.root_version}, not {chain.current.version}"
        return None
    root = decode_root(proposal.payload)
    if root.prev != chain.in_force[-1].digest:
        return f"it does not name root {chain.current.version}"
    return succession_fault(chain.current, root)


def _with(proposal: Proposal, signatures: Iterable[Signature]) -> Proposal:
    all_of_them = {each.kid: each for each in (*_good(proposal), *signatures)}
    return replace(proposal, signatures=tuple(all_of_them[kid] for kid in sorted(all_of_them)))


def _good(proposal: Proposal) -> tuple[Signature, ...]:
    """Return the signatures that hold, of keys that are asked."""
    good = {kid for tally in tallies(proposal) for kid in tally.signed}
    return tuple(each for each in proposal.signatures if each.kid in good)


def _holds(key: PublicKey, signature: bytes | None, message: bytes) -> bool:
    return signature is not None and verify(key, signature, message)


def _check(proposal: Proposal) -> None:
    shapes.require(proposal.kind in (ROOT, PURGE), "it proposes neither a root nor a purge")
    (decode_root if proposal.kind == ROOT else decode_purge)(proposal.payload)
    order = [signature.kid for signature in proposal.signatures]
    shapes.require(shapes.rising(order), "its signatures are not by rising key id")


_PROPOSAL = shapes.Layout(
    "proposal",
    1,
    Proposal,
    (
        shapes.name,
        shapes.blob(1, max(PURGE_BYTES_MAX, SIGNED_ROOT_BYTES_MAX)),
        shapes.listed(shapes.row(Signature, shapes.kid, shapes.signature), 0, SIGNATURES_MAX),
        shapes.listed(shapes.blob(1, SIGNED_ROOT_BYTES_MAX), 0, ROOTS_MAX),
    ),
    _check,
)
