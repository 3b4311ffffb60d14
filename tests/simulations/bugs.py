"""Known bugs: the node's own code with one behaviour changed, each as small as a slip of the hand.

A bug is a subclass of the node, or one function of the core replaced. None of them is far-fetched:
forgotten steps, forgotten checks, forgotten bounds, wrong order, bad memory.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import UnionType
from typing import Any, ClassVar

from meshnode.core import addresses, fetching, gossip, log, snapshots
from meshnode.core.claims import Claims
from meshnode.core.durable import ExtendLog, KeepFork, KeepStatement, Restored
from meshnode.core.effects import (
    Announce,
    Answer,
    AskHeads,
    AskRoots,
    Blame,
    Comparing,
    DropSegment,
    Effect,
    HideItems,
    IndexSegment,
    PurgeItems,
    SetHidden,
)
from meshnode.core.encoding import MalformedRecordError
from meshnode.core.entries import Entry, ItemsRemoved, numbered_entries
from meshnode.core.events import (
    AnnouncementReceived,
    Event,
    Now,
    ObjectLost,
    RequestFailed,
    Submitted,
)
from meshnode.core.exchange import AskRecords, HelloReceived
from meshnode.core.gossip import Refusal
from meshnode.core.heads import SignedHead
from meshnode.core.identifiers import CatalogueId, Digest, PeerId
from meshnode.core.log import LogFault
from meshnode.core.merkle import Frontier, leaf_hash
from meshnode.core.names import LogId
from meshnode.core.node import Node
from meshnode.core.signing import Verify, verify
from meshnode.core.statements import SignedStatement
from meshnode.core.verdicts import Check, Topic, Verdict
from simulations import effects as simulated
from simulations.scenario import Scenario
from tests.simulations.worlds import (
    BAITED,
    ERASED,
    FORKED,
    GROWN,
    HOSTILE,
    LARGE,
    MIXED,
    SPOKEN,
    STOLEN,
    TROUBLED,
    WORN,
)


class ForgetsWithdrawals(Node):
    """Never tells the index to hide an item."""

    def handle(self, batch: Sequence[Event], now: Now) -> list[Effect]:
        return without(super().handle(batch, now), HideItems)

    def restore(self, restored: Restored, now: Now) -> list[Effect]:
        return without(super().restore(restored, now), HideItems)


class KeepsNoEvidence(Node):
    """Forgets that a log forked."""

    def handle(self, batch: Sequence[Event], now: Now) -> list[Effect]:
        return without(super().handle(batch, now), KeepFork)


class ConfirmsWithoutStoring(Node):
    """Says that a submission is done without writing it."""

    def handle(self, batch: Sequence[Event], now: Now) -> list[Effect]:
        effects = super().handle(batch, now)
        submitted = any(isinstance(event, Submitted) for event in batch)
        return without(effects, ExtendLog) if submitted else effects


class RestoresAllButTheNewest(Node):
    """Loses the newest head of each log at a restart."""

    def restore(self, restored: Restored, now: Now) -> list[Effect]:
        logs = tuple(log for log in restored.logs if len(log.heads) < 2)
        return super().restore(replace(restored, logs=logs), now)


class StoresOtherBytes(Node):
    """Writes entries that are not those that were signed."""

    def handle(self, batch: Sequence[Event], now: Now) -> list[Effect]:
        effects = super().handle(batch, now)
        gossiped = any(isinstance(event, AnnouncementReceived) for event in batch)
        return [spoiled(effect) for effect in effects] if gossiped else effects


class SkipsHeads(Node):
    """Writes only the last of several heads."""

    def handle(self, batch: Sequence[Event], now: Now) -> list[Effect]:
        effects = super().handle(batch, now)
        return [
            replace(effect, heads=effect.heads[-1:]) if isinstance(effect, ExtendLog) else effect
            for effect in effects
        ]


class NeverCompares(Node):
    """Trusts gossip alone."""

    def handle(self, batch: Sequence[Event], now: Now) -> list[Effect]:
        return without(super().handle(batch, now), AskHeads | Comparing)


class LeavesRecordsWhereTheyAre(Node):
    """Compares, and does not ask for what it lacks."""

    def handle(self, batch: Sequence[Event], now: Now) -> list[Effect]:
        return without(super().handle(batch, now), AskRecords)


class LeavesFormerVersionsAlone(Node):
    """Compares with those alone that know how."""

    def handle(self, batch: Sequence[Event], now: Now) -> list[Effect]:
        known = [e for e in batch if not isinstance(e, HelloReceived) or e.greeting is not None]
        return super().handle(known, now)


class KeepsStatementsInMemory(Node):
    """Takes a statement, and says so, without keeping it for the next start."""

    def handle(self, batch: Sequence[Event], now: Now) -> list[Effect]:
        return without(super().handle(batch, now), KeepStatement)


def about_nothing(_claims: Claims, _catalogue: CatalogueId) -> tuple[SignedStatement, ...]:
    """Compare no statements."""
    return ()


class AsksForEverythingAtOnce(Node):
    """Has no bound on requests in flight."""

    def handle(self, batch: Sequence[Event], now: Now) -> list[Effect]:
        self.replica.fetches.in_flight_max = 1000
        self.replica.fetches.peer_max = None
        return super().handle(batch, now)


class BlamesForwarders(Node):
    """Takes old news for an offence."""

    def handle(self, batch: Sequence[Event], now: Now) -> list[Effect]:
        effects = super().handle(batch, now)
        for event in batch:
            adopted = any(isinstance(effect, ExtendLog) for effect in effects)
            if isinstance(event, AnnouncementReceived) and not adopted:
                effects.append(Blame(event.peer, Check.CHAIN, "nothing new"))
        return effects


class IndexesWhatItLacks(Node):
    """Takes every object for held."""

    def handle(self, batch: Sequence[Event], now: Now) -> list[Effect]:
        self.replica.objects = Everything()
        return super().handle(batch, now)


class Everything(dict[Digest, None]):
    """Holds whatever is asked for."""

    def __contains__(self, _: object) -> bool:
        return True


class ForgetsOnePublication(Node):
    """Never indexes what it fetches fifth."""

    stored = 0

    def handle(self, batch: Sequence[Event], now: Now) -> list[Effect]:
        effects = super().handle(batch, now)
        kept: list[Effect] = []
        for effect in effects:
            self.stored += isinstance(effect, IndexSegment)
            if self.stored != 5 or not isinstance(effect, IndexSegment):
                kept.append(effect)
        return kept


class ShowsWithdrawnItemsAgain(Node):
    """Takes back every withdrawal at a restart."""

    def restore(self, restored: Restored, now: Now) -> list[Effect]:
        effects = without(super().restore(restored, now), HideItems)
        return [*effects, *(SetHidden(catalogue, ()) for catalogue in self.followed())]


class HidesWithoutAClock(Node):
    """Hides only rows that are older than anything."""

    def handle(self, batch: Sequence[Event], now: Now) -> list[Effect]:
        effects = super().handle(batch, now)
        return [replace(e, clock=0) if isinstance(e, HideItems) else e for e in effects]


class BlamesTheSlow(Node):
    """Takes silence for a fault."""

    def handle(self, batch: Sequence[Event], now: Now) -> list[Effect]:
        effects = super().handle(batch, now)
        late = [event for event in batch if isinstance(event, RequestFailed)]
        return effects + [Blame(e.request.peer, Check.FRAME, e.reason) for e in late]


class StaysReadOnly(Node):
    """Never trusts a disk again that was full once."""

    full: ClassVar[dict[int, str]] = {}

    def __init__(self, rng: random.Random, check_signature: Verify = verify) -> None:
        super().__init__(rng, check_signature)
        self.read_only = self.full.get(id(rng), "")  # one source of chance a peer, for all lives

    def handle(self, batch: Sequence[Event], now: Now) -> list[Effect]:
        effects = super().handle(batch, now)
        self.full[id(self.sync.rng)] = self.read_only
        return effects


class ConfirmsRefusals(Node):
    """Answers that it is done, though the disk refused."""

    def handle(self, batch: Sequence[Event], now: Now) -> list[Effect]:
        effects = super().handle(batch, now)
        return [replace(e, refusal="") if isinstance(e, Answer) else e for e in effects]


class PollsWithoutPause(Node):
    """Asks for heads in every moment."""

    def next_deadline(self) -> float:
        self.sync._next_poll = min(self.sync._next_poll, self.last + 0.25)
        return super().next_deadline()

    last = 0.0

    def handle(self, batch: Sequence[Event], now: Now) -> list[Effect]:
        self.last = now.monotonic
        return super().handle(batch, now)


class PassesNothingOn(Node):
    """Takes part in gossip as a listener only, and asks for heads once an hour."""

    def judge(self, raw: bytes, now: Now) -> Refusal:
        super().judge(raw, now)
        return Refusal(Verdict.IGNORE, Check.CHAIN, "not my business")

    def handle(self, batch: Sequence[Event], now: Now) -> list[Effect]:
        effects = super().handle(batch, now)
        self.sync._next_poll = now.monotonic + 3600
        return effects


class ShowsWhatIsClosed(Node):
    """Takes nothing out of the index."""

    def handle(self, batch: Sequence[Event], now: Now) -> list[Effect]:
        return without(super().handle(batch, now), DropSegment)


class ForgetsLostObjects(Node):
    """Does not listen when the disk says that it damaged something."""

    def handle(self, batch: Sequence[Event], now: Now) -> list[Effect]:
        return super().handle([e for e in batch if not isinstance(e, ObjectLost)], now)


class KeepsWhatIsPurged(Node):
    """Hides what is withdrawn, and leaves the bytes on the disk."""

    def handle(self, batch: Sequence[Event], now: Now) -> list[Effect]:
        return without(super().handle(batch, now), PurgeItems)


class NeverShowsAgain(Node):
    """Leaves hidden what was hidden once."""

    def handle(self, batch: Sequence[Event], now: Now) -> list[Effect]:
        return without(super().handle(batch, now), SetHidden)


class NeverAsksForRoots(Node):
    """Takes the first root that it gets, and neither passes on nor asks for a later one, by name or
    as a record that another has.
    """

    def handle(self, batch: Sequence[Event], now: Now) -> list[Effect]:
        asked = without(super().handle(batch, now), AskRecords)
        later = (e for e in asked if not isinstance(e, AskRoots) or not e.after)
        return [e for e in later if not isinstance(e, Announce) or e.topic is Topic.HEADS]


class NeverVerifies(Node):
    """Takes every signature for good."""

    def __init__(self, rng: random.Random, check_signature: Verify = verify) -> None:
        super().__init__(rng, lambda key, signature, message: True)


def without(effects: Sequence[Effect], kind: type | UnionType) -> list[Effect]:
    return [effect for effect in effects if not isinstance(effect, kind)]


def spoiled(effect: Effect) -> Effect:
    if not isinstance(effect, ExtendLog) or not effect.entries:
        return effect
    *rest, last = effect.entries
    return replace(effect, entries=(*rest, last[:-1] + b"\x00"))


# --- One function of the core replaced ------------------------------------------------------------
def cover_without_tree(
    tip: log._Tip, offered: SignedHead, raws: Sequence[bytes]
) -> list[tuple[Entry, Digest]] | LogFault:
    """Take entries for covered by the head without comparing the tree hash."""
    try:
        entries = numbered_entries(raws)
    except MalformedRecordError as error:
        return LogFault(Check.ENCODING, str(error))
    tip.head, tip.frontier = offered, tip.frontier.extend([leaf_hash(raw) for raw in raws])
    return entries


def link_without_prev(tip: log._Tip, offered: SignedHead) -> None:
    """Let any head follow any other."""


def choose_the_same(
    queue: fetching.FetchQueue[Any], attempts: fetching.Attempts, peers: Sequence[PeerId]
) -> PeerId | None:
    """Ask whoever offered it, again and again."""
    return attempts.offered_by if attempts.offered_by in peers else peers[0]


def give_up(queue: fetching.FetchQueue[Any], goal: object, peer: PeerId, **_: bool) -> None:
    """Never ask for it again."""
    if queue.in_flight.get(goal) == peer:
        queue.done(goal)


def never_due(head: object, now_unix: int) -> bool:
    """Take every head for one from the future."""
    return False


def name_withdrawals(entry: Entry) -> tuple[snapshots.Name, ...]:
    """Take a withdrawal for something that the next one states again."""
    return (("withdrawals",),) if isinstance(entry, ItemsRemoved) else ()


def newest_without_listed(held: log.Log, extension: log.Extension) -> list[tuple[Entry, Digest]]:
    """Count what follows the snapshot alone."""
    branch = held.branches[extension.number]
    return branch.entries[len(branch.entries) - len(extension.entries) :]


def snapshot_of_all_but_one(
    name: LogId, frontier: Frontier, entries: Sequence[tuple[int, bytes]]
) -> snapshots.Snapshot:
    """Make a snapshot without an entry that it must list."""
    made = snapshots.snapshot_of(name, frontier, entries)
    return replace(made, entries=(*made.entries[:-2], *made.entries[-1:]))


@dataclass(frozen=True, slots=True)
class Bug:
    """Where it is, and in which world which invariant sees it."""

    name: str
    world: Scenario
    invariants: tuple[str, ...]
    node: Callable[..., Node] = Node
    patch: tuple[object, str, Any] | None = None


BUGS = (
    Bug("withdrawals are forgotten", TROUBLED, ("I9",), ForgetsWithdrawals),
    Bug("a submission is confirmed and not stored", TROUBLED, ("I10",), ConfirmsWithoutStoring),
    Bug("the newest head is lost at a restart", TROUBLED, ("I4",), RestoresAllButTheNewest),
    Bug("other bytes are stored than were signed", TROUBLED, ("I1", "I3"), StoresOtherBytes),
    Bug("heads are skipped", TROUBLED, ("I4",), SkipsHeads),
    Bug("gossip is trusted alone", TROUBLED, ("I14", "I15"), NeverCompares),
    Bug("what is lacking is not asked for", TROUBLED, ("I14", "I15"), LeavesRecordsWhereTheyAre),
    Bug("a former version is not asked", MIXED, ("I14", "I15"), LeavesFormerVersionsAlone),
    Bug("statements are gossiped alone", SPOKEN, ("I22",), patch=(Claims, "about", about_nothing)),
    Bug("statements are not written down", SPOKEN, ("I22",), KeepsStatementsInMemory),
    Bug("requests have no bound", LARGE, ("I11",), AsksForEverythingAtOnce),
    Bug("who passes on old news is blamed", TROUBLED, ("I12",), BlamesForwarders),
    Bug("what is not held is indexed", TROUBLED, ("I2",), IndexesWhatItLacks),
    Bug("one segment is never indexed", TROUBLED, ("I14", "I15"), ForgetsOnePublication),
    Bug("a restart shows withdrawn items", TROUBLED, ("I9",), ShowsWithdrawnItemsAgain),
    Bug("items are hidden without a clock", TROUBLED, ("I9",), HidesWithoutAClock),
    Bug("the slow are blamed", TROUBLED, ("I12",), BlamesTheSlow),
    Bug("polls know no pause", TROUBLED, ("I18",), PollsWithoutPause),
    Bug(
        "a failed request is never repeated",
        TROUBLED,
        ("I15",),
        patch=(fetching.FetchQueue, "failed", give_up),
    ),
    Bug("every head is from the future", TROUBLED, ("I15",), patch=(gossip, "is_due", never_due)),
    Bug("a full disk is never trusted again", WORN, ("I15",), StaysReadOnly),
    Bug("a refusal of the disk is confirmed", WORN, ("I10", "I15"), ConfirmsRefusals),
    Bug("gossip is not listened to", HOSTILE, ("I15", "I19"), PassesNothingOn),
    Bug("signatures are not checked", HOSTILE, ("I1", "I7"), NeverVerifies),
    Bug(
        "tree hashes are not compared",
        HOSTILE,
        ("I1", "I3"),
        patch=(log._Tip, "cover", cover_without_tree),
    ),
    Bug(
        "the same peer is asked for ever",
        HOSTILE,
        ("I15",),
        patch=(fetching.FetchQueue, "_choose", choose_the_same),
    ),
    Bug(
        "of a fork the first branch is kept", FORKED, ("I14", "I15"), patch=(log, "BRANCHES_MAX", 1)
    ),
    Bug("any address is connected to", BAITED, ("I13",), patch=(addresses, "FORBIDDEN", ())),
    Bug(
        "IPv6 may lead anywhere",
        BAITED,
        ("I13",),
        patch=(addresses, "FORBIDDEN", tuple(n for n in addresses.FORBIDDEN if n.version == 4)),
    ),
    Bug("a fork leaves no evidence", FORKED, ("I17",), KeepsNoEvidence),
    Bug("what a root closed goes on showing", STOLEN, ("I5",), ShowsWhatIsClosed),
    Bug("later roots are not asked for", STOLEN, ("I17",), NeverAsksForRoots),
    Bug("a closing gives nothing back", STOLEN, ("I6",), NeverShowsAgain),
    Bug("lost objects are not fetched again", WORN, ("I15",), ForgetsLostObjects),
    Bug("withdrawn bytes stay on the disk", ERASED, ("I21",), KeepsWhatIsPurged),
    Bug(
        "snapshots leave out withdrawals",
        GROWN,
        ("I8",),
        patch=(snapshots, "_names", name_withdrawals),
    ),
    Bug(
        "what a snapshot lists does not count",
        GROWN,
        ("I8",),
        patch=(log.Log, "newest", newest_without_listed),
    ),
    Bug(
        "a snapshot is made anew without one entry",
        GROWN,
        ("I8",),
        patch=(simulated, "snapshot_of", snapshot_of_all_but_one),
    ),
)
