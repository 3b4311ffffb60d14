"""What this peer tells those who compare with it: who it is, what it holds, the records they lack.

The answering side of protocol/05-sync.md, "Hello" and "Reconciliation". Remembers nothing of who
asks. Owns no transport: the runtime and the simulator call it for each question.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from meshnode.core.hello import Admitted, Greeting, chosen_of
from meshnode.core.identifiers import CatalogueId, Digest
from meshnode.core.limits import COMPARED_RECORDS_MAX, RECONCILIATION_BYTES_MAX
from meshnode.core.newest import NewestRecords
from meshnode.core.reconciliation import answer

RECORD_BYTES_MAX: Final = 1 << 20  # of all records of one answer, but for the first


@dataclass(slots=True)
class Disclosure:
    """Invariant: tells only of catalogues that this peer admits now.

    Args:
        followed: returns those catalogues.
    """

    followed: Callable[[], tuple[CatalogueId, ...]]
    newest: NewestRecords
    _admitted: Admitted = field(default_factory=Admitted)

    def greet(self, known: Digest | None) -> Greeting:
        """Introduce this peer to one that holds its list of digest `known`, if any."""
        return self._now().greet(known)

    def reconcile(self, admitted: Digest, chosen: bytes | None, message: bytes) -> bytes | Greeting:
        """Answer a message about catalogues of this peer's list of digest `admitted`; introduce
        this peer again if it has another list by now.

        Raises:
            MalformedRecordError: not a message, or not a choice from the list.
        """
        ours = self._now()
        if admitted != ours.name:
            return ours.greet(admitted)
        held = self.newest.items(chosen_of(ours.current, chosen))
        return answer(held, message, RECONCILIATION_BYTES_MAX)

    def records(self, names: Sequence[Digest]) -> tuple[bytes, ...]:
        """Return the records of these names that are the newest here, as messages: about 1 MiB at
        most, in the order asked.
        """
        found: list[bytes] = []
        room = RECORD_BYTES_MAX
        for message in self.newest.messages(names[:COMPARED_RECORDS_MAX], self._now().current):
            room -= len(message)
            if room < 0 and found:
                break
            found.append(message)
        return tuple(found)

    def _now(self) -> Admitted:
        self._admitted.update(self.followed())
        return self._admitted
