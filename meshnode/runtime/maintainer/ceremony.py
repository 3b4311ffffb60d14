"""Proposals as files, and the amendment of a catalogue's root from the operator's side.

What a proposal contains and who must sign it is in `core.proposals`. Runs in the command line, as
the holder of a key; the peer gets nothing but the signed record at the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from meshnode.control import Control
from meshnode.core.amendments import Change, amended
from meshnode.core.encoding import MalformedRecordError
from meshnode.core.entries import ItemName, Reason
from meshnode.core.identifiers import CatalogueId, Digest, Kid, catalogue_text, key_id, sha256
from meshnode.core.proposals import (
    PROPOSAL_BYTES_MAX,
    PURGE,
    ROOT,
    Proposal,
    catalogue_of,
    chain_of,
    completed,
    decode_proposal,
    encode_proposal,
    signed_by,
    tallies,
)
from meshnode.core.purges import Purge, decode_purge, encode_purge
from meshnode.core.roots import LastHead, Root, encode_root
from meshnode.core.signing import public_key
from meshnode.core.trust import RootChain
from meshnode.errors import StorageError, UsageError
from meshnode.runtime.clock import unix_now
from meshnode.runtime.files import write_durably
from meshnode.runtime.maintainer.institutions import REVIEW_SECONDS


def read_proposal(path: Path) -> Proposal:
    """Raises UsageError: no such file, or not a proposal."""
    try:
        with path.open("rb") as file:
            raw = file.read(PROPOSAL_BYTES_MAX + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    try:
        return decode_proposal(raw)
    except MalformedRecordError as error:
        raise UsageError(f"{path} is not a proposal: {error}") from error


def write_proposal(path: Path, proposal: Proposal) -> None:
    write_durably(path, encode_proposal(proposal))


async def chain_at(
    control: Control, catalogue: CatalogueId, *, despite_rivals: bool = False
) -> RootChain:
    """Return the roots in force, as the peer has them and as they hold here.

    Raises:
        UsageError: the peer does not hold the catalogue, or two roots void each other.
    """
    said = await control.ask("roots", catalogue=catalogue_text(catalogue))
    raws = list(map(bytes.fromhex, said["roots"]))
    if said["rivals"] and not despite_rivals:
        raise UsageError(
            f"{len(said['rivals'])} roots of version {len(raws) + 1} void each other",
            hint="only a root that takes the committed keys ends this: meshnode root rotate --take",
        )
    return RootChain.begin(raws[0]).extend(raws[1:])


def amendment(chain: RootChain, changes: Sequence[Change]) -> Proposal:
    """Propose the next root.

    Raises:
        UsageError: a change that does not fit, or a root that may not follow.
    """
    now = unix_now()
    root = amended(chain.current, changes, issued=now, review_by=now + REVIEW_SECONDS)
    return proposal_of(chain, root)


def proposal_of(chain: RootChain, root: Root) -> Proposal:
    proposal = Proposal(ROOT, encode_root(root), (), chain.raws)
    chain_of(proposal)  # says why, if it may not follow
    return proposal


def purge_of(
    chain: RootChain, reason: str, objects: Sequence[Digest], items: Sequence[ItemName]
) -> Proposal:
    """Propose a purge by the root in force.

    Raises:
        UsageError: it names more than one purge can.
    """
    purge = Purge(
        catalogue=chain.catalogue,
        root_version=chain.current.version,
        reason=Reason[reason.upper()],
        issued=unix_now(),
        objects=tuple(objects),
        items=tuple(items),
    )
    payload = encode_purge(purge)
    try:
        decode_purge(payload)
    except MalformedRecordError as error:
        raise UsageError(f"no peer would take such a purge: {error}") from error
    return Proposal(PURGE, payload, (), chain.raws)


def signed_by_those_asked(proposal: Proposal, keys: Iterable[Ed25519PrivateKey]) -> Proposal:
    """Return it with the signatures of those of these keys that are asked for one."""
    asked = {kid for tally in tallies(proposal) for kid in tally.missing}
    for key in keys:
        if key_id(public_key(key)) in asked:
            proposal = signed_by(proposal, key)
    return proposal


async def publish(control: Control, proposal: Proposal) -> CatalogueId:
    """Give a completed root or purge to the peer, which announces it.

    A root is in force when this returns, a purge obeyed by this peer.

    Raises:
        UsageError: signatures are missing, or the peer knows a root that voids it.
    """
    catalogue, raw = catalogue_of(proposal), completed(proposal)
    roots = [each.hex() for each in (*proposal.roots, raw)]
    await control.ask("follow", catalogue=catalogue_text(catalogue), roots=roots)
    chain = await chain_at(control, catalogue, despite_rivals=True)
    if proposal.kind == ROOT and chain.in_force[-1].digest != sha256(proposal.payload):
        raise UsageError(
            f"this peer knows root {chain.current.version} already, and it is another one",
            hint="propose again: the new proposal builds on the root in force",
        )
    return catalogue


async def last_head(
    control: Control,
    catalogue: CatalogueId,
    writer: Kid,
    seq: int | None,
    digest_starts: str = "",
) -> LastHead | None:
    """Return the head of a writer with this seq, or his newest; None if he signed nothing.

    Where he signed several histories, the digest of the head says which, by its beginning.

    Raises:
        UsageError: this peer holds no such head, or more than one.
    """
    asked = {"catalogue": catalogue_text(catalogue), "writer": writer.hex()}
    said = (await control.ask("heads", **asked))["heads"]
    heads = [(number, digest) for number, digest in said if digest.startswith(digest_starts)]
    at = max((number for number, _ in heads), default=0) if seq is None else seq
    found = [digest for number, digest in heads if number == at]
    if len(found) > 1:
        raise UsageError(
            f"the log has {len(found)} heads of one seq: its writer signed several histories",
            hint="say which one counts with --head, the beginning of its digest: "
            "meshnode log CATALOGUE --json shows them",
        )
    if found:
        return LastHead(at, Digest(bytes.fromhex(found[0])))
    if seq is not None or digest_starts:
        raise UsageError(
            f"this peer holds no head {digest_starts or seq} of {writer.hex()}",
            hint="meshnode log CATALOGUE",
        )
    return None


def require_room(path: Path) -> None:
    """Raise StorageError: the proposal would replace a file."""
    if path.exists():
        raise StorageError(f"there is {path} already", hint="name another file with --to")
