"""What a check found: numbers of what was looked at, and every fault by name."""

from __future__ import annotations

from dataclasses import dataclass, field

from meshnode.core.verdicts import Check


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is not what was signed: which check found it, where, and why."""

    check: str
    where: str
    reason: str


@dataclass(slots=True)
class Report:
    """What was checked. `missing` are objects that count and are not here, which is no fault."""

    catalogues: int = 0
    roots: int = 0
    heads: int = 0
    entries: int = 0
    objects: int = 0
    segments: int = 0
    items: int = 0
    missing: int = 0
    faults: list[Fault] = field(default_factory=list)

    def blame(self, check: Check | str, where: str, reason: object) -> None:
        name = check.value if isinstance(check, Check) else check
        self.faults.append(Fault(name, where, str(reason)))
