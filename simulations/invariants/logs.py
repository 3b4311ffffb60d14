"""I1, I3, I4 and I10 of logs: published, prefixes of each other, never shorter, never lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from meshnode.core.durable import AdoptRoot, Durable, ExtendLog
from meshnode.core.identifiers import CatalogueId, PeerId
from meshnode.core.limits import BRANCHES_MAX
from meshnode.core.names import LogId
from simulations.invariants.verdicts import Verdicts
from simulations.ledger import Ledger
from simulations.machine import Machine


@dataclass(slots=True)
class _Remembered:
    """What one peer once had on disk; outlives its crashes."""

    seqs: dict[tuple[LogId, int], int] = field(default_factory=dict)  # by number of the branch
    roots: dict[CatalogueId, list[AdoptRoot]] = field(default_factory=dict)


class Logs:
    """Watches what every peer adopts, once it is synced, and what it still knows after a crash."""

    def __init__(self, ledger: Ledger, verdicts: Verdicts) -> None:
        self._ledger = ledger
        self._verdicts = verdicts
        # The longest copy of each branch seen, whoever holds it; by log and number of the branch.
        self._copies: dict[tuple[LogId, int], list[bytes]] = {}
        self._peers: dict[PeerId, _Remembered] = {}

    def synced(self, machine: Machine, durable: Sequence[Durable]) -> None:
        for effect in durable:
            if isinstance(effect, ExtendLog):
                self._check_published(machine, effect)
                self._check_prefix(machine, effect)
                self._check_seqs(machine, effect)
            elif isinstance(effect, AdoptRoot):
                self._check_root(machine, effect)

    def restored(self, machine: Machine) -> None:
        remembered = self._of(machine)
        for (log, branch), seq in remembered.seqs.items():
            now = _seq_in_node(machine, log, branch)
            self._verdicts.hold("I4", machine, now >= seq, f"seq fell from {seq} to {now}")
        for catalogue, adopted in remembered.roots.items():
            version = max(each.version for each in adopted)
            found = machine.node.catalogues.get(catalogue)
            known = found is not None and found.chain is not None
            self._verdicts.hold("I4", machine, known, f"root {version} was forgotten")
        for log, published in self._ledger.logs.items():
            if published.home == machine.name:
                promised = published.heads[: published.acknowledged]
                held = machine.disk.heads_of(log)
                kept = all(raw in held for raw in promised)
                said = f"confirmed seq {len(promised)} and does not hold it"
                self._verdicts.hold("I10", machine, kept, said)
                now = max((_seq_in_node(machine, log, n) for n in range(BRANCHES_MAX)), default=0)
                said = f"confirmed seq {len(promised)} and knows {now}"
                self._verdicts.hold("I10", machine, now >= len(promised), said)

    def _check_published(self, machine: Machine, effect: ExtendLog) -> None:
        branches = self._ledger.branches(effect.log)
        if not branches:
            self._verdicts.hold("I1", machine, False, "holds a log nobody published")
            return
        heads = any(
            all(0 < seq <= branch.seq and branch.heads[seq - 1] == raw for seq, raw in effect.heads)
            for branch in branches
        )
        same = any(_holds(branch.entries, effect) for branch in branches)
        self._verdicts.hold("I1", machine, heads, "adopts a head nobody published")
        stolen = self._ledger.stolen.get(effect.log)
        if stolen is not None:
            seqs = [seq for seq, raw in effect.heads if raw in stolen.heads[seq - 1 : seq]]
            stolen.acknowledged = max(stolen.acknowledged, *seqs, 0)
        self._verdicts.hold("I1", machine, same, "adopts entries nobody published")

    def _check_prefix(self, machine: Machine, effect: ExtendLog) -> None:
        """Compare with what other peers hold of the same branch, not with the ledger."""
        number = self._branch_of(effect)
        copy = self._copies.setdefault((effect.log, number), [])
        if number and len(copy) < effect.first:
            copy += self._copies[effect.log, 0][len(copy) : effect.first]  # before the fork
        known = copy[effect.first : effect.first + len(effect.entries)]
        same = list(effect.entries[: len(known)]) == known and effect.first <= len(copy)
        said = "" if same else f"entries from {effect.first} differ from another peer's"
        self._verdicts.hold("I3", machine, same, said)
        copy += effect.entries[len(known) :]

    def _branch_of(self, effect: ExtendLog) -> int:
        stolen = self._ledger.stolen.get(effect.log)
        published = self._ledger.logs.get(effect.log)
        honest = published is None or _holds(published.entries, effect)
        return int(stolen is not None and not honest and _holds(stolen.entries, effect))

    def _check_seqs(self, machine: Machine, effect: ExtendLog) -> None:
        seqs, place = self._of(machine).seqs, (effect.log, effect.branch)
        offered = [seq for seq, _ in effect.heads]
        before = seqs.get(place, offered[0] - 1 if effect.branch or effect.beginning else 0)
        rising = offered == list(range(before + 1, before + 1 + len(offered)))
        said = "" if rising else f"seqs {offered} follow {before}"
        self._verdicts.hold("I4", machine, rising, said)
        seqs[place] = max(before, *offered)

    def _check_root(self, machine: Machine, effect: AdoptRoot) -> None:
        adopted = self._of(machine).roots.setdefault(effect.catalogue, [])
        before = max((each.version for each in adopted), default=0)
        published = (self._ledger.roots, self._ledger.purges)
        same = any(effect.raw in raws.get(effect.catalogue, ()) for raws in published)
        self._verdicts.hold("I1", machine, same, "adopts a root nobody published")
        said = f"root version {effect.version} after {before}"
        rivals = [each for each in adopted if each.version == effect.version]
        is_fork = bool(rivals) and effect not in rivals  # a root fork voids what came after
        self._verdicts.hold("I4", machine, effect.version >= before or is_fork, said)
        adopted.append(effect)

    def _of(self, machine: Machine) -> _Remembered:
        remembered = self._peers.get(machine.name)
        if remembered is None:
            remembered = self._peers[machine.name] = _Remembered()
        return remembered


def _holds(entries: list[bytes], effect: ExtendLog) -> bool:
    return entries[effect.first : effect.first + len(effect.entries)] == list(effect.entries)


def _seq_in_node(machine: Machine, log: LogId, branch: int) -> int:
    catalogue = machine.node.catalogues.get(log.catalogue)
    held = None if catalogue is None else catalogue.logs.get(log.writer)
    return held.branches[branch].seq if held and branch < len(held.branches) else 0
