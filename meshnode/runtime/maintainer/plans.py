"""What a `sync` would sign: the difference between a source and what is published, as entries.

Nothing is signed here. An item that the source gives and that is refused is not gone: what is
published of it stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from meshnode.control import Message
from meshnode.core.entries import Reason
from meshnode.errors import UsageError
from meshnode.runtime.maintainer.batches import Batch
from meshnode.runtime.maintainer.difference import Standing
from meshnode.runtime.maintainer.drafts import withdrawals
from meshnode.runtime.maintainer.publishing import Draft
from meshnode.runtime.segments.items import ItemText, RefusedItem

GONE_SHARE_MAX: Final = 0.2  # of a collection; more looks like a source that is broken


@dataclass(slots=True)
class Within:
    """Lets items of some collections pass and counts the others; no collections: all pass."""

    collections: Sequence[str]
    outside: int = 0

    def __call__(self, items: Iterable[ItemText | RefusedItem]) -> Iterator[ItemText | RefusedItem]:
        for item in items:
            own = item.collection if isinstance(item, ItemText) else None
            if self.collections and own is not None and own not in self.collections:
                self.outside += 1
            else:
                yield item


@dataclass(frozen=True, slots=True)
class Counts:
    """How one collection of the source stands to what is published, in items."""

    collection: str
    new: int
    changed: int
    same: int
    gone: int
    published: int  # before


@dataclass(frozen=True, slots=True)
class Plan:
    """The entries to sign, and what they change."""

    counts: tuple[Counts, ...]
    drafts: tuple[Draft, ...]
    gone: dict[str, list[str]] = field(default_factory=dict)  # the ids that are withdrawn


def plan(batch: Batch, state: Message, collections: Sequence[str], reason: Reason | None) -> Plan:
    """Return what brings the published set to what the batch's source gave.

    Args:
        batch: all that the source gave was taken.
        state: of the log.
        collections: those that the source speaks for.
        reason: why items that are gone from the source are withdrawn; None: they stay.

    Raises:
        UsageError: items are to be withdrawn, and parts of the source could not be read.
    """
    counts = tuple(_counts(batch, collection) for collection in sorted(set(collections)))
    drafts = batch.drafts(state["collections"], collections_of(batch, collections))
    gone = {}
    if reason is not None:
        gone = {c.collection: list(batch.difference.gone(c.collection)) for c in counts if c.gone}
        if gone and batch.unreadable:
            raise UsageError(
                f"{batch.unreadable} places of the source could not be read, so it is not known "
                "what is gone from it",
                hint="mend them, or leave out --prune",
            )
        for collection, ids in gone.items():
            drafts += withdrawals(collection, ids, reason)
    return Plan(counts, tuple(drafts), gone)


def require_few_gone(planned: Plan) -> None:
    """Refuse to withdraw a large part of a collection.

    Raises:
        UsageError: more than GONE_SHARE_MAX of one would be withdrawn.
    """
    for each in planned.counts:
        number = len(planned.gone.get(each.collection, ()))
        if number > GONE_SHARE_MAX * each.published:
            raise UsageError(
                f"{number} of {each.published} published items of {each.collection} are gone from "
                f"the source: more than {GONE_SHARE_MAX:.0%} would be withdrawn",
                hint="look at the source; --dry-run shows which; --yes withdraws them",
            )


def collections_of(batch: Batch, named: Sequence[str]) -> list[str]:
    """Return the collections whose document is signed if it changed."""
    return [each for each in named if each in batch.documents]


def _counts(batch: Batch, collection: str) -> Counts:
    standings = batch.standings
    return Counts(
        collection,
        new=standings[collection, Standing.NEW],
        changed=standings[collection, Standing.CHANGED],
        same=standings[collection, Standing.SAME],
        gone=batch.difference.gone_count(collection),
        published=batch.difference.held(collection),
    )
