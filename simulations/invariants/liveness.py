"""I14 and I15, and I9 for good: after the last heal all is everywhere, and equal."""

from __future__ import annotations

from collections.abc import Sequence

from meshnode.core.identifiers import CatalogueId
from simulations.invariants.verdicts import Verdicts
from simulations.invariants.visibility import check_withdrawal
from simulations.ledger import Ledger
from simulations.machine import Machine


def is_settled(machine: Machine, ledger: Ledger) -> bool:
    """Say whether a peer has all that was published and nothing left to do."""
    if not machine.running or machine.syncing or machine.index_queue:
        return False
    logs = machine.disk.logs
    for log, published in ledger.logs.items():
        if published.acknowledged < published.seq:
            return False
        if published.seq and (log not in logs or logs[log].seq < published.seq):
            return False
    if len(machine.index.segments) < len(ledger.segments):
        return False
    return all(w.item in machine.index.hidden for w in ledger.withdrawals)


def check_liveness(machines: Sequence[Machine], ledger: Ledger, verdicts: Verdicts) -> None:
    """Check once, when the settling time is over; all peers run."""
    for machine in machines:
        _check_nothing_lost(machine, ledger, verdicts)
        _check_equal(machines[0], machine, verdicts)
        for withdrawal in ledger.withdrawals:
            check_withdrawal(ledger, verdicts, machine, withdrawal)


def _check_nothing_lost(machine: Machine, ledger: Ledger, verdicts: Verdicts) -> None:
    for log, published in ledger.logs.items():
        if log.catalogue not in machine.disk.followed:
            continue
        file = machine.disk.logs.get(log)
        held = [] if file is None else [raw for _, raw in file.heads]
        said = f"holds {len(held)} of {published.seq} heads"
        verdicts.hold("I15", machine, held == published.heads, said)
        if published.home == machine.name:
            said = f"confirmed {published.acknowledged} of {published.seq} submissions"
            verdicts.hold("I15", machine, published.acknowledged == published.seq, said)
    shown = machine.index.segments
    missing = sum(1 for key in ledger.segments if key not in shown)
    verdicts.hold("I15", machine, missing == 0, f"does not show {missing} segments")


def _check_equal(first: Machine, other: Machine, verdicts: Verdicts) -> None:
    """Compare two peers with one another, not with the ledger, over what both follow."""
    common = [c for c in first.disk.followed if c in other.disk.followed]
    same = all(_state(first, catalogue) == _state(other, catalogue) for catalogue in common)
    verdicts.hold("I14", other, same, f"differs from {first.name}")


def _state(machine: Machine, catalogue: CatalogueId) -> tuple[object, ...]:
    logs = {
        log.writer: (file.heads, file.entries)
        for log, file in machine.disk.logs.items()
        if log.catalogue == catalogue
    }
    index = machine.index
    shown = {key: clock for key, clock in index.segments.items() if key.catalogue == catalogue}
    hidden = {name: clock for name, clock in index.hidden.items() if name[0] == catalogue}
    return logs, shown, hidden
