"""An institution that has to erase: an entry of its writer withdraws items, a purge hastens it.

What must be gone by when is written down in the ledger, where the checkers find it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from meshnode.core import entries
from meshnode.core.purges import Purge, encode_purge
from meshnode.core.signed import encode_signed
from meshnode.core.signing import sign
from simulations.index import ItemName
from simulations.timeline import Withdraw
from simulations.workload import Institutions, Publisher, first_item
from simulations.world import EPOCH_UNIX, World


@dataclass(frozen=True, slots=True)
class Eraser:
    """Acts for one writer and for the root keys of its institution."""

    world: World
    institutions: Institutions
    publisher: Publisher

    def withdraw(self, fault: Withdraw) -> int:
        """Withdraw items for the fault's reason; return how many, 0 if it is not yet possible."""
        items = list(islice(self._left(), fault.items))
        reason = entries.Reason[fault.reason.upper()]
        if not items or not self.institutions.withdraw(self.publisher, items, reason):
            return 0
        ledger = self.institutions.ledger
        ledger.erased_by |= {ledger.segment_of[item]: fault.until_seconds for item in items}
        if fault.purges:
            self._purge(items, reason)
        return len(items)

    def _left(self) -> Iterator[ItemName]:
        """Yield an item of each publication of which none was withdrawn."""
        withdrawn = {withdrawal.item for withdrawal in self.institutions.ledger.withdrawals}
        for publication in range(1, self.publisher.made + 1):
            item = first_item(self.publisher.log, publication)
            if item not in withdrawn:
                yield item

    def _purge(self, items: list[ItemName], reason: entries.Reason) -> None:
        institution = self.publisher.institution
        purge = Purge(
            institution.catalogue,
            institution.root.version,
            reason,
            EPOCH_UNIX + int(self.world.now),
            (),
            tuple(entries.ItemName(collection, item) for _, collection, item in items),
        )
        signed = sign("purge", encode_purge(purge), [institution.root_key])
        purges = self.institutions.ledger.purges.setdefault(institution.catalogue, [])
        purges.append(encode_signed(signed))
        self.institutions.publish_roots(self.publisher)
