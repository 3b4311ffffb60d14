"""How often each invariant was checked, and what broke it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from meshnode.core.identifiers import PeerId
from simulations.machine import Machine

VIOLATIONS_KEPT_MAX = 100  # of one run; more of the same say nothing new

TITLES: Final[dict[str, str]] = {
    "I1": "all that is held or visible was published, byte for byte",
    "I2": "nothing is visible before its bytes are held and its entry is synced",
    "I3": "two copies of one log are prefixes of each other",
    "I4": "root versions and seqs never fall, across crashes",
    "I5": "what a root has closed does not show",
    "I6": "what a thief withdrew shows again when his end of the log is closed",
    "I7": "every adopted root is signed by the thresholds that the chain demands",
    "I8": "who began with a snapshot counts what the whole log says",
    "I9": "a withdrawn item does not reappear",
    "I10": "what was acknowledged before a crash is there after it",
    "I11": "requests, queues and records stay within their bounds",
    "I12": "an honest peer is never blamed",
    "I13": "a peer connects to no address inside its own network",
    "I14": "after the last heal all peers hold equal logs and show equal items",
    "I15": "no published head, segment or submission is lost",
    "I16": "while no fault is at work, a confirmed head is soon everywhere",
    "I17": "closing roots and evidence of forks reach all",
    "I18": "a settled mesh falls quiet",
    "I19": "a newcomer with an empty disk catches up in time",
    "I20": "a payload with one live source can be downloaded",
    "I21": "what is withdrawn so that it erases is gone from every disk in time",
    "I22": "what a peer stated reaches every peer that follows it, and is kept",
}


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken promise: which, when (virtual seconds), where."""

    invariant: str
    second: float
    peer: PeerId
    said: str


@dataclass(slots=True)
class Verdicts:
    """Invariant: a name is in `broken` if and only if it was found false at least once."""

    checked: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TITLES, 0))
    broken: dict[str, int] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)

    def hold(self, invariant: str, machine: Machine, fact: bool, said: str) -> None:
        """Count one check of a fact; `said` tells what is the case when it is false."""
        self.checked[invariant] += 1
        if fact:
            return
        self.broken[invariant] = self.broken.get(invariant, 0) + 1
        if len(self.violations) < VIOLATIONS_KEPT_MAX:
            found = Violation(invariant, machine.world.now, machine.name, said)
            self.violations.append(found)
