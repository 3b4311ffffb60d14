"""I14 and I15, and I9 for good: after the last heal all is everywhere, and equal.

A log of which a thief signed another end is left out: which end a peer holds depends on which it
heard of first, until forks have branches. What counts of it is compared once a root has closed it.
"""

from __future__ import annotations

from collections.abc import Sequence

from meshnode.core.identifiers import CatalogueId
from simulations.invariants.verdicts import Verdicts
from simulations.invariants.visibility import (
    check_closings,
    check_restored,
    check_withdrawal,
    knows_newest_root,
)
from simulations.ledger import Ledger, Withdrawal
from simulations.machine import Machine


def is_settled(machine: Machine, ledger: Ledger) -> bool:
    """Say whether a peer has all that was published and nothing left to do."""
    if not machine.running or machine.syncing or machine.index_queue:
        return False
    logs = machine.disk.logs
    for log, published in ledger.undisputed().items():
        if published.acknowledged < published.seq:
            return False
        if published.seq and (log not in logs or logs[log].seq < published.seq):
            return False
    if not _shows_all(machine, ledger) or not all(
        knows_newest_root(ledger, machine, log.catalogue) for log in ledger.closings
    ):
        return False
    return all(w.item in machine.index.hidden for w in _certain(ledger))


def _shows_all(machine: Machine, ledger: Ledger) -> bool:
    shown, held = machine.index.segments, machine.disk.objects
    if not all(key.digest in held for key in shown if key not in ledger.erased_by):
        return False
    if not ledger.stolen:
        return len(shown) >= len(ledger.segments)
    counted = all(key in shown for key in ledger.counted_segments())
    return counted and not any(key in shown for key in ledger.closed_segments())


def check_liveness(machines: Sequence[Machine], ledger: Ledger, verdicts: Verdicts) -> None:
    """Check once, when the settling time is over; all peers run."""
    for machine in machines:
        _check_nothing_lost(machine, ledger, verdicts)
        _check_equal(machines[0], machine, ledger, verdicts)
        for withdrawal in _certain(ledger):
            check_withdrawal(ledger, verdicts, machine, withdrawal)
        check_closings(ledger, verdicts, machine)
        check_restored(ledger, verdicts, machine)
        for log in ledger.closings:
            known = knows_newest_root(ledger, machine, log.catalogue)
            verdicts.hold("I17", machine, known, "does not know the root that closes a log")


def _check_nothing_lost(machine: Machine, ledger: Ledger, verdicts: Verdicts) -> None:
    for log, published in ledger.undisputed().items():
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
    missing = sum(1 for key in ledger.counted_segments() if key not in shown)
    verdicts.hold("I15", machine, missing == 0, f"does not show {missing} segments")
    kept = (key for key in shown if key not in ledger.erased_by)
    lost = sum(1 for key in kept if key.digest not in machine.disk.objects)
    verdicts.hold("I15", machine, lost == 0, f"lacks the bytes of {lost} segments that it shows")


def _certain(ledger: Ledger) -> list[Withdrawal]:
    return [w for w in ledger.withdrawals if ledger.counts(w.log, w.index)]


def _check_equal(first: Machine, other: Machine, ledger: Ledger, verdicts: Verdicts) -> None:
    """Compare two peers with one another, not with the ledger, over what both follow."""
    common = [c for c in first.disk.followed if c in other.disk.followed]
    same = all(_state(first, c, ledger) == _state(other, c, ledger) for c in common)
    verdicts.hold("I14", other, same, f"differs from {first.name}")


def _state(machine: Machine, catalogue: CatalogueId, ledger: Ledger) -> tuple[object, ...]:
    disputed = {log.catalogue for log in ledger.stolen if log not in ledger.closings}
    logs = {
        log.writer: (file.heads, file.entries)
        for log, file in machine.disk.logs.items()
        if log.catalogue == catalogue and log not in ledger.stolen
    }
    if catalogue in disputed:
        return (logs,)
    index = machine.index
    shown = {key: clock for key, clock in index.segments.items() if key.catalogue == catalogue}
    hidden = {name: clock for name, clock in index.hidden.items() if name[0] == catalogue}
    return logs, shown, hidden
