"""What a run showed, and why it is no pass."""

from __future__ import annotations

from dataclasses import dataclass, field

from simulations.adversaries import Deeds
from simulations.faults import Felt
from simulations.invariants import Verdicts


@dataclass(slots=True)
class Outcome:
    """What a run showed. `settled_seconds` counts from the last heal and publication."""

    verdicts: Verdicts
    felt: list[Felt] = field(default_factory=list)
    deeds: list[Deeds] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    settled_seconds: float | None = None  # None: not within the scenario's bound
    raised: str = ""  # the traceback of an exception, which is always a bug
    finished: bool = False  # False: interrupted or raised, and liveness was not checked

    @property
    def faults(self) -> list[str]:
        """Return, in sentences, why the run is not a pass; empty if it is."""
        said = [f"{name} was broken {n} times" for name, n in sorted(self.verdicts.broken.items())]
        said += [
            f"the {felt.kind} at {felt.at_seconds:g} s was not felt ({felt.what}: 0)"
            for felt in self.felt
            if felt.count == 0
        ]
        said += [
            f"the {deeds.kind} came to nothing ({deeds.what}: 0)"
            for deeds in self.deeds
            if deeds.count == 0
        ]
        said += [f"a publisher was refused: {reason}" for reason in self.refused]
        if self.raised:
            said.append(f"the code raised {self.raised.splitlines()[-1]}")
        elif not self.finished:
            said.append("the run was interrupted")
        return said
