"""What was seen of a mesh, real or simulated, and the figures that both worlds have in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields

from simulations.recording import Delays

# A head that was signed so shortly before the cut, or after the heal, is no sign of calm times.
CALM_BEFORE_SECONDS = 3.0
CALM_AFTER_SECONDS = 10.0

HeadNumber = tuple[str, int]  # of which log, seq


@dataclass(frozen=True, slots=True)
class Totals:
    """What all peers together did up to some second."""

    sent_bytes: int  # on the streams that carry everything else, before TCP and IP
    messages: int  # of gossip that were news to the peer that got them
    duplicates: int  # copies of those

    def since(self, before: Totals) -> Totals:
        return Totals(*(getattr(self, f.name) - getattr(before, f.name) for f in fields(Totals)))


@dataclass(slots=True)
class Account:
    """At which second each peer adopted each head and could search each segment.

    Invariant: of a log a peer has every head up to the last that it adopted.
    """

    heads: dict[HeadNumber, dict[str, float]] = field(default_factory=dict)
    segments: dict[str, dict[str, float]] = field(default_factory=dict)
    _seqs: dict[tuple[str, str], int] = field(default_factory=dict)  # of peer and log

    def adopted(self, second: float, peer: str, log: str, seq: int) -> None:
        """Note that a peer follows a log up to this head now."""
        before = self._seqs.get((peer, log), 0)
        for each in range(before + 1, seq + 1):
            self.heads.setdefault((log, each), {})[peer] = second
        self._seqs[peer, log] = max(before, seq)

    def shown(self, second: float, peer: str, segment: str) -> None:
        self.segments.setdefault(segment, {}).setdefault(peer, second)

    def is_everywhere(self, peers: int, heads: int) -> bool:
        """Say whether so many heads, each with a segment, have reached so many peers."""
        published = min(len(self.heads), len(self.segments))
        return published >= heads and self.missing(peers) == 0

    def missing(self, peers: int) -> int:
        """Return how many arrivals of heads and segments so many peers still wait for."""
        return sum(peers - len(s) for s in (*self.heads.values(), *self.segments.values()))


@dataclass(frozen=True, slots=True)
class Figures:
    """What a mesh is judged by. Seconds of heads count from their adoption by their own peer."""

    propagation_median_seconds: float
    propagation_p99_seconds: float
    duplicates_per_message: float
    heal_heads_seconds: float  # from the heal until the last peer has the last head of the cut
    heal_segments_seconds: float  # ... can search the last segment of the cut
    sent_bytes_per_peer: float
    control_bytes_per_peer: float  # of those, all but the objects themselves


def figures(
    account: Account, totals: Totals, peers: int, cut: tuple[float, float], object_bytes: int
) -> Figures:
    """Return the figures of a whole account.

    `cut` are the seconds at which the mesh was cut and healed, `object_bytes` those of all objects
    together; each peer but one has fetched each of them once.
    """
    delays = Delays.of(list(_propagation(account.heads, cut)))
    return Figures(
        delays.median,
        delays.p99,
        totals.duplicates / max(totals.messages, 1),
        _last(account.heads.values(), cut) - cut[1],
        _last(account.segments.values(), cut) - cut[1],
        totals.sent_bytes / peers,
        (totals.sent_bytes - object_bytes * (peers - 1)) / peers,
    )


def _propagation(
    heads: Mapping[HeadNumber, Mapping[str, float]], cut: tuple[float, float]
) -> Iterator[float]:
    """Yield how long each head of calm times took to each peer but its own."""
    for seconds in heads.values():
        first, *others = sorted(seconds.values())
        if not cut[0] - CALM_BEFORE_SECONDS <= first <= cut[1] + CALM_AFTER_SECONDS:
            yield from (second - first for second in others)


def _last(seen: Iterable[Mapping[str, float]], cut: tuple[float, float]) -> float:
    """Return when the last peer had the last of what was first seen during the cut."""
    return max(
        (max(s.values()) for s in seen if cut[0] <= min(s.values()) <= cut[1]), default=cut[1]
    )
