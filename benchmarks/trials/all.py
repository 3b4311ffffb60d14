"""Every trial by name."""

from __future__ import annotations

from typing import Final

from benchmarks.trials import gossip, healing, idle, newcomer
from benchmarks.trials.trial import Trial

TRIALS: Final[dict[str, Trial]] = {
    trial.name: trial for trial in (*gossip.TRIALS, *idle.TRIALS, *healing.TRIALS, *newcomer.TRIALS)
}
