"""What a peer asks another to find what it lacks, and what comes back: part of `events`.

Questions are effects, what they end in are events (protocol/05-sync.md, "Hello" and
"Reconciliation"). `attempt` tells a question and its answer from earlier ones.
"""

from __future__ import annotations

from dataclasses import dataclass

from meshnode.core.hello import Greeting
from meshnode.core.identifiers import Digest, PeerId


# --- Events ---------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class HelloReceived:
    """The answer to `AskHello`, or to an `AskRecon` about a list that the peer no longer has.

    `greeting` is None if the peer does not know the question.
    """

    peer: PeerId
    attempt: int
    greeting: Greeting | None


@dataclass(frozen=True, slots=True)
class ReconReceived:
    """The answer to `AskRecon`: a message of reconciliation, untrusted."""

    peer: PeerId
    attempt: int
    message: bytes


@dataclass(frozen=True, slots=True)
class RecordsReceived:
    """The answer to `AskRecords`: signed heads, notices, evidence of forks; untrusted."""

    peer: PeerId
    attempt: int
    raws: tuple[bytes, ...]


# --- Effects --------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class AskHello:
    """Who the peer is. `known` is the digest of its list of catalogues that is held here.

    Ends in HelloReceived or RequestFailed.
    """

    peer: PeerId
    known: Digest | None
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class AskRecon:
    """A message of reconciliation, about catalogues of the peer's list of digest `admitted`:
    all of them, or those that the bitmap `chosen` names.

    Ends in ReconReceived, HelloReceived or RequestFailed.
    """

    peer: PeerId
    admitted: Digest
    chosen: bytes | None
    message: bytes
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class AskRecords:
    """The records of these names. Ends in RecordsReceived or RequestFailed."""

    peer: PeerId
    names: tuple[Digest, ...]
    attempt: int = 0
