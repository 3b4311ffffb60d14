"""Fork evidence: two signed heads of one seq, or two signed roots of one version, that differ.

Owns the record (protocol/02-records.md). That both signatures hold is checked by `gossip`; which
evidence about a log is kept is decided by `catalogue`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from meshnode.core import shapes
from meshnode.core.encoding import MalformedRecordError, decode, encode
from meshnode.core.heads import Head, SignedHead, decode_head, decode_signed_head
from meshnode.core.limits import FORK_BYTES_MAX
from meshnode.core.roots import Root, decode_root
from meshnode.core.signed import ENVELOPE, Signed

_BEGINNING: Final = encode(["fork", 1, 0, 0])[:7]  # neither a notice nor an announcement begins so


@dataclass(frozen=True, slots=True)
class Fork:
    a: Signed
    b: Signed


@dataclass(frozen=True, slots=True)
class Evidence:
    """Two authentic heads of one log and seq that differ; `raw` is the `fork`."""

    seq: int
    raw: bytes


def evidence_of(one: bytes, other: bytes) -> Evidence:
    """Return the evidence that two signed heads of one log and seq make."""
    a, b = sorted((decode_signed_head(one), decode_signed_head(other)), key=_payload)
    return Evidence(a.head.seq, encode_fork(Fork(a.signed, b.signed)))


def _payload(offered: SignedHead) -> bytes:
    return offered.signed.payload


def is_fork(raw: bytes) -> bool:
    """Say whether a gossiped message is meant as evidence of a fork."""
    return raw.startswith(_BEGINNING)


def encode_fork(fork: Fork) -> bytes:
    return encode(_FORK.write(fork))


def decode_fork(raw: bytes) -> Fork:
    """Raises MalformedRecordError: not evidence of a fork."""
    return _FORK.read(decode(raw, FORK_BYTES_MAX))


def _check_fork(fork: Fork) -> None:
    shapes.require(fork.a.payload < fork.b.payload, "the two sides differ, the smaller bytes first")
    a, b = _decoded(fork.a), _decoded(fork.b)
    if isinstance(a, Head) and isinstance(b, Head):
        same = (a.catalogue, a.writer, a.seq) == (b.catalogue, b.writer, b.seq)
    else:
        same = isinstance(a, Root) and isinstance(b, Root) and a.version == b.version
    shapes.require(same, "the two sides are not of one seq of one log, nor of one root version")


def _decoded(signed: Signed) -> Head | Root:
    try:
        return decode_head(signed.payload)
    except MalformedRecordError:
        return decode_root(signed.payload)


_FORK = shapes.Layout("fork", 1, Fork, (ENVELOPE, ENVELOPE), _check_fork)
