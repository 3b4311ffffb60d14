"""Fork evidence: two signed heads of one seq, or two signed roots of one version, that differ.

Owns the record (protocol/02-records.md); that both signatures hold is checked by `trust`.
"""

from __future__ import annotations

from dataclasses import dataclass

from meshnode.core import shapes
from meshnode.core.encoding import MalformedRecordError, decode, encode
from meshnode.core.heads import Head, decode_head
from meshnode.core.limits import FORK_BYTES_MAX
from meshnode.core.roots import Root, decode_root
from meshnode.core.signed import Signed, read_signed


@dataclass(frozen=True, slots=True)
class Fork:
    a: Signed
    b: Signed


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


_FORK = shapes.Layout("fork", 1, Fork, (read_signed, read_signed), _check_fork)
