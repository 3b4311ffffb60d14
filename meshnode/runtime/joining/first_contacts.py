"""The seed lists of a peer while it lives: joined, asked for again, compared.

Implements N-90 to N-92 (protocol/05-sync.md). Owns when a list is taken, and what its sources
disagree about; which list may follow which is decided in `meshnode.core.seed_files`.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, assert_never

import structlog
import trio

from meshnode.core.encoding import MalformedRecordError
from meshnode.core.identifiers import CatalogueId
from meshnode.core.limits import SEED_FILE_BYTES_MAX
from meshnode.core.seed_files import SeedList, SeedStanding, read_seed_list, standing
from meshnode.core.trust import UntrustedError
from meshnode.errors import MeshnodeError, PeerError, UsageError
from meshnode.runtime.clock import unix_now
from meshnode.runtime.joining.seed_store import SeedStore, Source, sources_of
from meshnode.runtime.joining.validators import Validators

REFRESH_SECONDS: Final = 6 * 3600.0  # lists live for weeks; a quarter of a day notices a change
AWAY: Final = "away"  # states of a source beside those of `SeedStanding`
REFUSED: Final = "refused"
DISAGREEING: Final = (
    SeedStanding.OLDER.value,
    SeedStanding.CONTRADICTS.value,
    SeedStanding.FOREIGN.value,
    REFUSED,
)

# Gives the node the roots that came with a list; they may be newer than those it holds.
Learn = Callable[[SeedList], Awaitable[None]]

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Offer:
    """What a source gave: a list, or why there is none; None where nothing changed."""

    source: Source
    seeds: SeedList | None


def read_seeds(raw: bytes, where: str) -> SeedList:
    """Read a seed file.

    Raises:
        PeerError: it is none, or its signatures do not hold.
    """
    try:
        return read_seed_list(raw)
    except (MalformedRecordError, UntrustedError) as error:
        raise PeerError(
            f"{where} is not a seed list that can be trusted: {error}",
            hint="ask the institution whether the address is right",
        ) from error


class FirstContacts:
    """The lists and sources of one data directory; changes are made one at a time."""

    def __init__(self, store: SeedStore) -> None:
        self._store = store
        self._changing = trio.Lock()

    @property
    def lists(self) -> tuple[SeedList, ...]:
        return self._store.lists

    def sources(self, catalogue: CatalogueId) -> list[Source]:
        return sources_of(self._store.sources, catalogue)

    def leads_into_own_network(self, catalogue: CatalogueId) -> bool:
        """Say whether private addresses in a list may be dialled: it came from there, or by hand.

        A list from the public web sends nobody to knock at doors behind his own firewall.
        """
        sources = self.sources(catalogue)
        return not sources or any(source.is_local for source in sources)

    def disagreements(self, catalogue: CatalogueId) -> list[Source]:
        """Return the sources that tell something else than what is held: a possible eclipse."""
        return [each for each in self.sources(catalogue) if each.state in DISAGREEING]

    async def join(self, raw: bytes, url: str | None) -> SeedList:
        """Pin the institution of a seed file, and keep its list; `url` is asked again from then on.

        Raises:
            PeerError: not authentic, expired, older than a list that is held, or contradicting it.
            UsageError: there are too many already, or the address is pinned to somebody else.
            StorageError: the disk refused.
        """
        seeds = read_seeds(raw, url or "the file")
        async with self._changing:
            self._store.require_room(seeds.catalogue, url)
            held = self._store.held(seeds.catalogue)
            _require_usable(standing(held, seeds, seeds.catalogue, unix_now()), seeds, held)
            await trio.to_thread.run_sync(self._store.keep, seeds)
            if url is not None:
                state = SeedStanding.SAME.value
                version, is_near = seeds.seeds.version, await self._is_local(url)
                source = Source(url, seeds.catalogue, state, version, "", unix_now(), is_near)
                await trio.to_thread.run_sync(self._store.note, source)
        return seeds

    async def drop(self, catalogue: CatalogueId) -> None:
        """Forget a list and its sources. Raises UsageError, StorageError."""
        async with self._changing:
            await trio.to_thread.run_sync(self._store.drop, catalogue)

    async def refresh(self, learn: Learn) -> None:
        """Ask every source once. Raises StorageError."""
        for catalogue in [seeds.catalogue for seeds in self.lists]:
            offers = [await self._ask(source) for source in self.sources(catalogue)]
            async with self._changing:
                newest = await self._take(catalogue, offers)
            if newest is not None:
                _log.info("a newer seed list", version=newest.seeds.version)
                await learn(newest)

    async def run(self, learn: Learn, rng: random.Random) -> None:
        """Ask the sources again and again, until cancelled."""
        while True:
            try:
                await self.refresh(learn)
            except MeshnodeError as error:
                _log.warning("a seed list could not be taken over", reason=str(error))
            await trio.sleep(REFRESH_SECONDS * rng.uniform(0.75, 1.25))

    async def _take(self, catalogue: CatalogueId, offers: Sequence[_Offer]) -> SeedList | None:
        """Keep the newest list that sources offer, and compare all of them with it."""
        if self._store.held(catalogue) is None:
            return None  # dropped while the sources were asked
        newer = [
            offer.seeds
            for offer in offers
            if offer.seeds and self._standing(catalogue, offer.seeds) is SeedStanding.NEWER
        ]
        newest = max(newer, key=lambda seeds: (seeds.seeds.version, seeds.digest), default=None)
        if newest is not None:
            await trio.to_thread.run_sync(self._store.keep, newest)
        sources = [self._judged(offer) for offer in offers]
        await trio.to_thread.run_sync(lambda: self._store.note(*sources))
        for source in sources:
            if source.state in DISAGREEING:
                _log.warning("possible eclipse", source=source.url, reason=source.reason)
        return newest

    async def _is_local(self, url: str) -> bool:
        from meshnode.runtime.joining.documents import is_local  # slow to import: httpx

        try:
            return await is_local(url)
        except PeerError:
            return False  # it was there a moment ago; what is not known to be near is far

    async def _ask(self, source: Source) -> _Offer:
        """Fetch a source's list if it changed since last time."""
        from meshnode.runtime.joining.documents import fetch, is_local  # slow to import: httpx

        known = source.validators if source.state == SeedStanding.SAME.value else Validators()
        try:
            allow_local = await is_local(source.url)  # the operator named it
            document = await fetch(
                source.url, SEED_FILE_BYTES_MAX, allow_local=allow_local, known=known
            )
            asked = replace(source, checked=unix_now(), validators=document.validators)
            if document.body is None:
                return _Offer(asked, None)
        except MeshnodeError as error:
            away = replace(source, state=AWAY, reason=str(error), checked=unix_now())
            return _Offer(away, None)
        try:
            seeds = await trio.to_thread.run_sync(read_seeds, document.body, source.url)
        except PeerError as error:
            return _Offer(replace(asked, state=REFUSED, told=None, reason=str(error)), None)
        return _Offer(replace(asked, told=seeds.seeds.version), seeds)

    def _judged(self, offer: _Offer) -> Source:
        """Return the source with how its list stands to the one that is held by now."""
        source, held = offer.source, self._store.held(offer.source.catalogue)
        assert held is not None
        if offer.seeds is None and source.state != SeedStanding.SAME.value:
            return source
        if offer.seeds is None:  # not modified: it still tells what it told
            is_newest = source.told == held.seeds.version
            found = SeedStanding.SAME if is_newest else SeedStanding.OLDER
        else:
            found = self._standing(source.catalogue, offer.seeds)
        return replace(source, state=found.value, reason=_reason(found, source.told, held))

    def _standing(self, catalogue: CatalogueId, offered: SeedList) -> SeedStanding:
        return standing(self._store.held(catalogue), offered, catalogue, unix_now())


def _require_usable(found: SeedStanding, offered: SeedList, held: SeedList | None) -> None:
    if found in (SeedStanding.NEWER, SeedStanding.SAME):
        if offered.is_expired(unix_now()):
            raise _refusal(SeedStanding.EXPIRED, offered, held)
        return
    raise _refusal(found, offered, held)


def _refusal(found: SeedStanding, offered: SeedList, held: SeedList | None) -> MeshnodeError:
    reason = _reason(found, offered.seeds.version, held)
    if found is SeedStanding.EXPIRED:
        return UsageError(
            f"seed list {offered.seeds.version} is past its end",
            hint="ask the institution for a newer one",
        )
    return PeerError(reason, hint="somebody may keep news from you: ask the institution")


def _reason(found: SeedStanding, told: int | None, held: SeedList | None) -> str:
    version = held.seeds.version if held else 0
    match found:
        case SeedStanding.NEWER | SeedStanding.SAME:
            return ""
        case SeedStanding.OLDER:
            return f"it tells seed list {told}, and {version} is known"
        case SeedStanding.CONTRADICTS:
            return f"it tells another seed list {version} than the one that is known"
        case SeedStanding.EXPIRED:
            return f"its seed list {told} is past its end"
        case SeedStanding.FOREIGN:
            return "it tells the seed list of another institution"
        case _:
            assert_never(found)
