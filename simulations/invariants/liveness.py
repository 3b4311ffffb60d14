"""I14, I15 and I17, and I6 and I9 for good: after the last heal all is everywhere, and equal.

Of a log that a root has closed the void heads are left out: nobody takes them up any more. What
counts of it is compared.
"""

from __future__ import annotations

from collections.abc import Sequence

from meshnode.core.identifiers import CatalogueId
from meshnode.core.names import LogId
from simulations.invariants.verdicts import Verdicts
from simulations.invariants.visibility import (
    check_closings,
    check_restored,
    check_withdrawal,
    knows_newest_root,
)
from simulations.ledger import Ledger, Withdrawal, size_of
from simulations.machine import Machine


def is_settled(machine: Machine, ledger: Ledger) -> bool:
    """Say whether a peer has all that was published and nothing left to do."""
    if not machine.running or machine.syncing or machine.index_queue:
        return False
    if any(log.acknowledged < log.seq for log in ledger.undisputed().values()):
        return False
    if any(_missing(machine, ledger, log) for log in ledger.logs):
        return False
    if any(log not in machine.disk.forks for log in _forked(ledger)):
        return False
    if not _shows_all(machine, ledger) or not all(
        knows_newest_root(ledger, machine, log.catalogue) for log in ledger.closings
    ):
        return False
    stolen = ledger.stolen_withdrawals
    others = [w for w in stolen if ledger.counts_stolen(w.log, w.index)]
    return all(w.item in machine.index.hidden for w in (*_certain(ledger), *others))


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
        for log in _forked(ledger):
            known = log in machine.disk.forks
            verdicts.hold("I17", machine, known, "has no evidence of a fork")
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
    for log, published in ledger.logs.items():
        if log.catalogue not in machine.disk.followed:
            continue
        missing = _missing(machine, ledger, log)
        verdicts.hold("I15", machine, missing == 0, f"lacks {missing} heads of a log")
        if published.home == machine.name and log not in ledger.stolen:
            said = f"confirmed {published.acknowledged} of {published.seq} submissions"
            verdicts.hold("I15", machine, published.acknowledged == published.seq, said)
    shown = machine.index.segments
    missing = sum(1 for key in ledger.counted_segments() if key not in shown)
    verdicts.hold("I15", machine, missing == 0, f"does not show {missing} segments")
    kept = (key for key in shown if key not in ledger.erased_by)
    lost = sum(1 for key in kept if key.digest not in machine.disk.objects)
    verdicts.hold("I15", machine, lost == 0, f"lacks the bytes of {lost} segments that it shows")


def _missing(machine: Machine, ledger: Ledger, log: LogId) -> int:
    """Count the heads that this peer must hold, and does not: all that some peer took, of every
    history, but of a closed log only those up to the last good one.
    """
    held = _heads_of(machine, ledger, log)
    if log in ledger.closings:
        owned, size = ledger.logs[log], ledger.closings[log]
        due = [raw for raw in owned.heads[: owned.acknowledged] if size_of(raw) <= size]
    else:
        due = [raw for h in ledger.branches(log) for raw in h.heads[: h.acknowledged]]
    return sum(raw not in held for raw in due)


def _heads_of(machine: Machine, ledger: Ledger, log: LogId) -> set[bytes]:
    """Return the heads held, and those that the snapshot stands for with which the log begins."""
    return machine.disk.heads_of(log) | set(ledger.logs[log].heads[: machine.disk.begun_at(log)])


def _forked(ledger: Ledger) -> list[LogId]:
    """Return the logs of which some peer took two histories, before a root closed them."""
    return [
        log
        for log, stolen in ledger.stolen.items()
        if log not in ledger.closings
        and stolen.heads[: stolen.acknowledged] != ledger.logs[log].heads[: stolen.acknowledged]
        and ledger.logs[log].acknowledged > _common(ledger, log)
    ]


def _common(ledger: Ledger, log: LogId) -> int:
    """Return how many heads the owner's and the thief's history have in common."""
    pairs = zip(ledger.logs[log].heads, ledger.stolen[log].heads, strict=False)
    return sum(a == b for a, b in pairs)


def _certain(ledger: Ledger) -> list[Withdrawal]:
    return [w for w in ledger.withdrawals if ledger.counts(w.log, w.index)]


def _check_equal(first: Machine, other: Machine, ledger: Ledger, verdicts: Verdicts) -> None:
    """Compare two peers with one another, not with the ledger, over what both follow."""
    common = [c for c in first.disk.followed if c in other.disk.followed]
    same = all(_state(first, c, ledger) == _state(other, c, ledger) for c in common)
    verdicts.hold("I14", other, same, f"differs from {first.name}")


def _state(machine: Machine, catalogue: CatalogueId, ledger: Ledger) -> tuple[object, ...]:
    logs = {
        log.writer: _heads_of(machine, ledger, log)
        for log in machine.disk.logs
        if log.catalogue == catalogue and log not in ledger.closings
    }
    index = machine.index
    shown = {key: clock for key, clock in index.segments.items() if key.catalogue == catalogue}
    hidden = {name: clock for name, clock in index.hidden.items() if name[0] == catalogue}
    return logs, shown, hidden
