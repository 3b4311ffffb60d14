"""The Collection documents that a source gives beside its items."""

from __future__ import annotations

from dataclasses import dataclass, field

from meshnode.errors import PeerError
from meshnode.runtime.datasets.collection import checked, licence_problem


@dataclass(slots=True)
class Documents:
    """Invariant: each document is a valid STAC Collection of the id it stands under.

    `problems` says which documents were none, or have a licence of which nobody
    knows what it allows: the items are good without them.
    """

    by_id: dict[str, bytes] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def take(self, raw: bytes, where: str) -> None:
        try:
            value = checked(raw)
        except PeerError as error:
            self.problems.append(f"{where}: no valid STAC Collection: {error}")
            return
        if problem := licence_problem(value):
            self.problems.append(f"{where}: {problem.reason}")
        self.by_id[value["id"]] = raw
