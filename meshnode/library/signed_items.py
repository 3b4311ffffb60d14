"""An item with its provenance, and the proof that its institution signed it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from meshnode.core.receipts import Step
from meshnode.runtime.index.query import Found


@dataclass(frozen=True, slots=True)
class SignedItem:
    """One row of a catalogue.

    `raw` is the JSON exactly as it was published; `segment` names the file that holds it, `writer`
    who signed for it, `clock` how recent it is among the versions of the item. `is_visible` is
    false for versions that were replaced or withdrawn (`search(old=True)`). `state` says how far it
    can be relied on, as `meshnode show` does: `current`, or `stale` and `possibly frozen`; and
    `forked roots`, `forked log`, `closed writer` where there is one.
    """

    id: str
    collection: str
    catalogue: str
    catalogue_title: str
    raw: bytes
    segment: str
    writer: str
    clock: int
    is_visible: bool
    state: tuple[str, ...]
    found: Found = field(repr=False, compare=False)

    @property
    def item(self) -> dict[str, Any]:
        """The STAC item."""
        value: dict[str, Any] = json.loads(self.raw)
        return value

    @classmethod
    def of(cls, found: Found, said: dict[str, Any]) -> SignedItem:
        """Join what the index found with what the log says of it (`searching.provenance`)."""
        return cls(
            id=found.id,
            collection=found.collection,
            catalogue=said["catalogue"],
            catalogue_title=said["title"],
            raw=found.item,
            segment=said["segment"],
            writer=said["writer"],
            clock=found.clock,
            is_visible=found.is_visible,
            state=tuple(said["state"]),
            found=found,
        )


@dataclass(frozen=True, slots=True)
class Proof:
    """The way from an item to the id of its catalogue, and each step of it checked here.

    `evidence` has the signed bytes, as JSON; `steps` say what was checked and what did not hold.
    """

    evidence: dict[str, Any]
    steps: tuple[Step, ...]

    @property
    def is_valid(self) -> bool:
        """Say whether every step holds."""
        return not any(step.fault for step in self.steps)
