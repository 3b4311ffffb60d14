"""I1, I2 and I9 of the index: published, held and synced before it shows, hidden for good."""

from __future__ import annotations

from collections.abc import Sequence

from meshnode.core import events as ev
from meshnode.core.events import SegmentKey
from simulations.invariants.verdicts import Verdicts
from simulations.ledger import Ledger, Withdrawal
from simulations.machine import IndexWork, Machine


class Visibility:
    """Watches every change of every index."""

    def __init__(self, ledger: Ledger, verdicts: Verdicts) -> None:
        self._ledger = ledger
        self._verdicts = verdicts

    def handled(
        self, machine: Machine, batch: Sequence[ev.Event], effects: Sequence[ev.Effect]
    ) -> None:
        """Nothing is visible by being decided."""

    def synced(self, machine: Machine, durable: Sequence[ev.Durable]) -> None:
        """Nothing is visible by being synced."""

    def started(self, machine: Machine, effect: ev.Started) -> None:
        if isinstance(effect, ev.IndexSegment):
            held = effect.ref.digest in machine.disk.objects
            self._verdicts.hold("I2", machine, held, "indexes a segment it does not hold")

    def index_changed(self, machine: Machine, work: IndexWork) -> None:
        if isinstance(work, ev.IndexSegment) and work.ref.key in machine.index.segments:
            self._check_shown(machine, work.ref.key)
        if not machine.index_queue and not machine.syncing:
            for withdrawal in self._ledger.withdrawals:
                check_withdrawal(self._ledger, self._verdicts, machine, withdrawal)

    def restored(self, machine: Machine) -> None:
        """What was visible before a crash is checked at the next change."""

    def _check_shown(self, machine: Machine, key: SegmentKey) -> None:
        named = self._ledger.segments.get(key)
        said = "shows a segment nobody published"
        self._verdicts.hold("I1", machine, named is not None, said)
        if named is not None:
            file = machine.disk.logs.get(named.log)
            synced = file is not None and len(file.entries) > named.index
            said = "shows a segment whose entry is not synced"
            self._verdicts.hold("I2", machine, synced, said)


def check_withdrawal(
    ledger: Ledger, verdicts: Verdicts, machine: Machine, withdrawal: Withdrawal
) -> None:
    """An item that this peer's synced log withdraws does not show (I9)."""
    file = machine.disk.logs.get(withdrawal.log)
    if file is None or len(file.entries) <= withdrawal.index:
        return
    segment = ledger.segment_of[withdrawal.item]
    clock = machine.index.segments.get(segment)
    shown = clock is not None and clock > machine.index.hidden.get(withdrawal.item, 0)
    gone = not shown or (clock is not None and clock > withdrawal.clock)
    verdicts.hold("I9", machine, gone, f"shows withdrawn item {withdrawal.item[2]}")
