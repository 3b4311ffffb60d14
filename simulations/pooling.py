"""What single peers showed, those of all runs of a setting together.

Means over runs hide the slowest peer: whoever promises something of every peer has to look at all
of them. Owns no meaning of a figure; `output` names those of a peer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from meshnode.errors import UsageError
from simulations.recording import Delays
from simulations.samples import Run, Sample
from simulations.series import MESH

METRICS = "metrics.parquet"


@dataclass(frozen=True, slots=True)
class Pool:
    """A figure's values of all peers in all runs of one sample, ranked; `failed` are seeds."""

    sample: Sample
    values: Delays
    failed: tuple[int, ...]

    def exceeds(self, median_max: float | None, longest_max: float | None) -> bool:
        """Say whether a bound is broken, or a run failed: its slowest peers may be missing."""
        return (
            bool(self.failed)
            or (median_max is not None and self.values.median > median_max)
            or (longest_max is not None and self.values.longest > longest_max)
        )


def pool(sample: Sample, figure: str) -> Pool:
    """Put together what every peer showed.

    Raises:
        UsageError: no peer of any run has such a figure.
    """
    found = [value for run in sample.runs for value in _of_peers(run, figure)]
    if not found:
        raise UsageError(
            f"no peer in {sample.folder} has a figure {figure}",
            hint="name one that metrics.parquet has for single peers, as heal_seconds",
        )
    failed = tuple(run.seed for run in sample.runs if not run.passed)
    return Pool(sample, Delays.of(found), failed)


def _of_peers(run: Run, figure: str) -> Sequence[float]:
    # Loaded here, so that a command that reads no figures does not pay for it.
    import pyarrow.parquet as pq

    filters = [("name", "==", figure), ("node", "not in", ["", MESH])]
    table = pq.read_table(run.folder / METRICS, columns=["value"], filters=filters)
    values: list[float] = table.column("value").to_pylist()
    return values
