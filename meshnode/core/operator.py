"""What the operator asks of his peer: follow and leave catalogues, deny, publish, state.

Each question ends in one `Answer`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from meshnode.core.catalogue import Catalogue
from meshnode.core.durable import KeepDenyList, SetFollowed
from meshnode.core.effects import Announce, Answer, Effect, ServePayload, StopPayload
from meshnode.core.encoding import MalformedRecordError
from meshnode.core.events import (
    BudgetsChanged,
    DenyListChanged,
    Followed,
    Now,
    Stated,
    Submitted,
    Unfollowed,
)
from meshnode.core.federation import Federation
from meshnode.core.gossip import Gate, Refusal, announce, log_of
from meshnode.core.submission import examine
from meshnode.core.trust import UntrustedError
from meshnode.core.verdicts import Topic


@dataclass(frozen=True, slots=True)
class Operator:
    """Reactions to the operator's questions."""

    federation: Federation
    gate: Gate

    def followed(self, event: Followed) -> Iterator[Effect]:
        known = self.federation.catalogues.get(event.catalogue)
        catalogue = known or Catalogue(event.catalogue)
        if self.federation.denies(event.catalogue):
            yield Answer(event.ticket, "this catalogue is on this peer's deny list")
            return
        if event.roots:
            try:
                yield from self.federation.learn_roots(catalogue, event.roots, None)
            except (MalformedRecordError, UntrustedError) as error:
                yield Answer(event.ticket, str(error))
                return
        if not catalogue.followed or catalogue.delegated:
            self.federation.catalogues[catalogue.id] = catalogue
            yield SetFollowed(catalogue.id, followed=True)
            yield from self._follow(catalogue)
        yield Answer(event.ticket)

    def unfollowed(self, event: Unfollowed) -> Iterator[Effect]:
        catalogue = self.federation.catalogues.get(event.catalogue)
        suspended = self.federation.denials.suspended
        if catalogue is None or not (catalogue.followed or event.catalogue in suspended):
            yield Answer(event.ticket, "this catalogue is not followed")
            return
        if catalogue.delegated:
            reason = "it is followed as the delegate of another catalogue: block it instead"
            yield Answer(event.ticket, reason)
            return
        suspended.pop(event.catalogue, None)
        yield SetFollowed(catalogue.id, followed=False)
        if catalogue.followed:
            yield from self.federation.leave(catalogue)
            yield from self.federation.obey_delegations()
        yield Answer(event.ticket)

    def deny_list_changed(self, event: DenyListChanged) -> Iterator[Effect]:
        """Put a list in force: what it denies goes, and what none denies any more comes back."""
        denials, replica = self.federation.denials, self.federation.replica
        hidden, stopped = denials.items(), denials.stopped()
        yield KeepDenyList(event.name, event.raw)
        denials.change(event.name, event.deny_list if event.raw else None)
        replica.drop_denied()
        shown = hidden.keys() - denials.items().keys()
        for catalogue_id, collection, _ in sorted(shown):
            if (catalogue := self.federation.catalogues.get(catalogue_id)) is not None:
                replica.index_anew(catalogue, collection)
        for catalogue in list(self.federation.catalogues.values()):
            yield from self._obey_lists(catalogue)
        yield from self.federation.obey_delegations()
        stops = denials.stopped()
        yield from (StopPayload(key) for key in stops if key not in stopped)
        for key in stopped:
            if key not in stops and not self.federation.withholds(key):
                yield ServePayload(key)
        if event.erase:
            yield from self.federation.erased(denials.erasing(dict(replica.objects)))
        yield Answer(event.ticket)

    def budgets_changed(self, event: BudgetsChanged) -> Iterator[Effect]:
        """Put other budgets in force: what finds room now is wanted, what is held stays."""
        own = dict(event.own)
        self.federation.budgets.change(event.each_bytes_max, event.total_bytes_max, own)
        yield from self.federation.reconsider()
        yield Answer(event.ticket)

    def submitted(self, event: Submitted, now: Now) -> Iterator[Effect]:
        result = examine(event, self.federation.catalogues, self.gate, now.unix)
        if isinstance(result, str):
            yield Answer(event.ticket, result)
            return
        if result is not None:
            newest = result.heads[-1]
            yield from self.federation.adopt(log_of(newest.head), result, None, now)
            yield Announce(announce(newest, result.first, result.raws))
        yield Answer(event.ticket)

    def stated(self, event: Stated, now: Now) -> Iterator[Effect]:
        """Keep and announce what this peer's own key has signed."""
        found = self.federation.claims.judge(event.raw, now.unix)
        if isinstance(found, Refusal):
            yield Answer(event.ticket, found.reason)
            return
        yield from self.federation.claims.take(found)
        yield Announce(event.raw, Topic.CLAIMS)
        yield Answer(event.ticket)

    def _obey_lists(self, catalogue: Catalogue) -> Iterator[Effect]:
        is_denied = self.federation.denies(catalogue.id)
        suspended = self.federation.denials.suspended
        if catalogue.followed and is_denied:
            if not catalogue.delegated:
                suspended[catalogue.id] = None
            yield from self.federation.leave(catalogue)
        elif catalogue.followed:
            yield from self.federation.resume(catalogue)
        elif catalogue.id in suspended and not is_denied:
            del suspended[catalogue.id]
            yield from self._follow(catalogue)

    def _follow(self, catalogue: Catalogue) -> Iterator[Effect]:
        catalogue.followed, catalogue.delegated = True, ()
        yield from self.federation.resume(catalogue)
        yield from self.federation.ask_all(catalogue)
        if catalogue.chain is not None and catalogue.chain.current.delegates:
            yield from self.federation.obey_delegations()
