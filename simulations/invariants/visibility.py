"""I1, I2 and I9 of the index: published, held and synced before it shows, hidden for good."""

from __future__ import annotations

from meshnode.core.effects import IndexSegment, IndexWork, Started
from meshnode.core.identifiers import CatalogueId
from meshnode.core.names import SegmentKey
from simulations.invariants.verdicts import Verdicts
from simulations.ledger import Ledger, Withdrawal
from simulations.machine import Machine


class Visibility:
    """Watches every change of every index."""

    def __init__(self, ledger: Ledger, verdicts: Verdicts) -> None:
        self._ledger = ledger
        self._verdicts = verdicts

    def started(self, machine: Machine, effect: Started) -> None:
        if isinstance(effect, IndexSegment):
            held = effect.ref.digest in machine.disk.objects
            self._verdicts.hold("I2", machine, held, "indexes a segment it does not hold")

    def index_changed(self, machine: Machine, work: IndexWork) -> None:
        if isinstance(work, IndexSegment) and work.ref.key in machine.index.segments:
            self._check_shown(machine, work.ref.key)
        if not machine.index_queue and not machine.syncing:
            for withdrawal in self._ledger.withdrawals:
                check_withdrawal(self._ledger, self._verdicts, machine, withdrawal)
            check_closings(self._ledger, self._verdicts, machine)

    def _check_shown(self, machine: Machine, key: SegmentKey) -> None:
        named = self._ledger.segments.get(key) or self._ledger.stolen_segments.get(key)
        said = "shows a segment nobody published"
        self._verdicts.hold("I1", machine, named is not None, said)
        if named is not None:
            histories = self._ledger.branches(named.log)
            raws = [h.entries[named.index] for h in histories if len(h.entries) > named.index]
            disk = machine.disk
            synced = any(disk.holds_entry(named.log, named.index, raw) for raw in raws)
            said = "shows a segment whose entry is not synced"
            self._verdicts.hold("I2", machine, synced, said)


def knows_newest_root(ledger: Ledger, machine: Machine, catalogue: CatalogueId) -> bool:
    return ledger.roots[catalogue][-1] in machine.disk.chain(catalogue)


def check_restored(ledger: Ledger, verdicts: Verdicts, machine: Machine) -> None:
    """What a closed end of a log had withdrawn shows again (I6)."""
    still = {w.item for w in ledger.withdrawals if ledger.counts(w.log, w.index)}
    for withdrawal in ledger.closed_withdrawals():
        named = ledger.segments[ledger.segment_of[withdrawal.item]]
        if withdrawal.item not in still and ledger.counts(named.log, named.index):
            clock = machine.index.segments.get(ledger.segment_of[withdrawal.item], 0)
            shown = clock > machine.index.hidden.get(withdrawal.item, 0)
            said = f"hides {withdrawal.item[2]}, which only a closed entry withdrew"
            verdicts.hold("I6", machine, shown, said)


def check_closings(ledger: Ledger, verdicts: Verdicts, machine: Machine) -> None:
    """What the roots on this peer's disk close does not show (I5)."""
    for key in ledger.closed_segments() if ledger.closings else ():
        if knows_newest_root(ledger, machine, key.catalogue):
            gone = key not in machine.index.segments
            verdicts.hold("I5", machine, gone, "shows a segment of a closed log's end")


def check_withdrawal(
    ledger: Ledger, verdicts: Verdicts, machine: Machine, withdrawal: Withdrawal
) -> None:
    """An item that this peer's synced log withdraws does not show (I9)."""
    segment = ledger.segment_of[withdrawal.item]
    clock = machine.index.segments.get(segment)
    if clock is None:
        return  # nothing of it can show
    raw = ledger.logs[withdrawal.log].entries[withdrawal.index]
    if not machine.disk.holds_entry(withdrawal.log, withdrawal.index, raw):
        return
    if not ledger.counts(withdrawal.log, withdrawal.index) and knows_newest_root(
        ledger, machine, withdrawal.log.catalogue
    ):
        return  # closed since
    gone = clock <= machine.index.hidden.get(withdrawal.item, 0) or clock > withdrawal.clock
    said = "" if gone else f"shows withdrawn item {withdrawal.item[2]}"
    verdicts.hold("I9", machine, gone, said)
