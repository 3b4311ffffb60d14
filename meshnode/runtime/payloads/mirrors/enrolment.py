"""Which mirrors the engine fetches from: each proves itself first, and leaves when it fails.

A mirror that is not proven gives one wanted piece past the engine (protocol/06-payloads.md, P-32):
it is hashed here and handed to the engine, so that no byte is wasted. A mirror that the engine
cannot use, or that has a piece which was wrong, goes on giving piece by piece in this way. One that
failed is asked again later, at growing distances.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from functools import partial
from typing import Final

import structlog
import trio

from meshnode.core.identifiers import Digest, sha256
from meshnode.core.limits import MIRRORS_MAX
from meshnode.core.mirror_choice import Choice, choose
from meshnode.core.mirror_health import NO_WORD, Heard, Word
from meshnode.errors import PeerError
from meshnode.runtime.payloads.address_filter import Mirror, vet_mirror
from meshnode.runtime.payloads.governor import Governor
from meshnode.runtime.payloads.mirror_record import MirrorRecord
from meshnode.runtime.payloads.mirrors.bridging import Bridging, Remote
from meshnode.runtime.payloads.mirrors.candidates import Candidate
from meshnode.runtime.payloads.mirrors.file_addresses import addresses_at
from meshnode.runtime.payloads.mirrors.giving import Giving, is_lacking
from meshnode.runtime.payloads.mirrors.range_client import Fault, MirrorError, RangeClient
from meshnode.runtime.payloads.mirrors.repositories import repository_of
from meshnode.runtime.payloads.mirrors.standings import standing_of
from meshnode.runtime.payloads.piece_hashes import PieceHashes
from meshnode.runtime.payloads.torrent_session import TorrentSettings
from meshnode.runtime.payloads.transfers import Transfer

AT_ONCE: Final = 8  # pieces that are fetched past the engine: each is in memory, 16 MiB at most
LOOK_SECONDS: Final = 0.5  # between two looks at who may be asked now
HEARD_SECONDS: Final = 60.0  # what others say is looked through once in so long
HEARD_MAX: Final = 256  # payloads whose mirrors' word is kept meanwhile
RETRY_SECONDS_MIN: Final = 10.0  # after a failure within one transfer; doubled by the next one
RETRY_SECONDS_MAX: Final = 600.0
JITTER: Final = 0.25  # so much longer at most, as a part
ENGINE_FAULTS_MAX: Final = 3  # of one mirror in one transfer: then it gives piece by piece

_log = structlog.get_logger()


class Enrolments:
    """The mirrors of all transfers. Nothing is asked before `run` has started.

    `allow` says whether the engine may connect to an address of the bridge, by which it uses
    mirrors of repositories. `hear` says what others tell of the mirrors of a payload.
    """

    def __init__(
        self,
        record: MirrorRecord,
        settings: TorrentSettings,
        rng: random.Random,
        governor: Governor,
        bridge: Bridging | None = None,
        allow: Callable[[str, bool], None] = lambda _address, _is_allowed: None,
        hear: Heard = lambda _key: {},
    ) -> None:
        self._hear = hear
        self._heard: dict[Digest, tuple[float, Mapping[Digest, Word]]] = {}
        self._record = record
        self._bridge = bridge
        self._allow = allow
        self._settings = settings
        self._rng = rng
        self._governor = governor
        self._candidates: dict[tuple[int, str], Candidate] = {}
        self._giving = Giving(record, rng, governor)
        self._limit = trio.CapacityLimiter(AT_ONCE)
        self._news = trio.Event()

    async def run(self) -> None:
        """Ask mirrors as they are due, until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                self._news = trio.Event()
                for each in self._due():
                    each.is_busy = True
                    nursery.start_soon(self._serve, each)
                with trio.move_on_after(LOOK_SECONDS):
                    await self._news.wait()

    async def enrol(
        self, transfer: Transfer, urls: Sequence[str], *, is_reading: bool
    ) -> list[PeerError]:
        """Fetch from these too as soon as they are proven; return why some are left out.

        A reader's first piece is asked for alone, and is proof enough for a mirror that never sent
        wrong bytes. Left out is one that may not be called, or that failed and rests.
        """
        found: dict[str, Mirror | PeerError] = {}
        sources = transfer.sources
        choice = self.choice(transfer.torrent.key, urls)
        named = (*choice.active, *choice.standby, *choice.resting)[:MIRRORS_MAX]
        chosen = [
            url
            for url in named
            if not sources.is_attached(url)
            # A reader asks many times: names are looked up for the first one alone.
            and not (is_reading and (id(transfer), url) in self._candidates)
        ]
        async with trio.open_nursery() as nursery:
            for url in chosen:
                nursery.start_soon(self._vet, url, found)
        refused = []
        for url in chosen:
            mirror = found[url]
            sources.name_mirror(url)
            if isinstance(mirror, PeerError):
                sources.note_reason(url, "is left out")
                refused.append(mirror)
                continue
            is_standby = url in choice.standby
            self._admit(transfer, mirror, is_standby=is_standby)
            if is_reading and not is_standby and self._may_be_read(url):
                sources.attach(mirror)
        self._news.set()
        return refused

    def choice(self, key: Digest, urls: Sequence[str]) -> Choice:
        """Say which mirrors of a payload are asked, in which order."""
        asking = Counter(
            each.mirror.url for each in self._candidates.values() if each.transfer.is_used
        )
        now, near = self._record.now(), self._settings.near_mirrors
        heard = self._heard_of(key)
        known = [
            standing_of(
                self._record.of(url),
                now,
                near,
                asking[url],
                heard.get(sha256(url.encode()), NO_WORD),
            )
            for url in dict.fromkeys(urls)
        ]
        return choose(known, MIRRORS_MAX)

    def _heard_of(self, key: Digest) -> Mapping[Digest, Word]:
        """Return what others say of a payload's mirrors; they are not asked again for a while."""
        now = trio.current_time()
        if key not in self._heard or now - self._heard[key][0] > HEARD_SECONDS:
            while len(self._heard) >= HEARD_MAX:
                del self._heard[next(iter(self._heard))]
            self._heard[key] = now, self._hear(key)
        return self._heard[key][1]

    def _admit(self, transfer: Transfer, mirror: Mirror, *, is_standby: bool) -> None:
        """Ask a mirror now, also one that failed a moment ago: a person wants it."""
        name = id(transfer), mirror.url
        held = self._candidates.get(name)
        if held is None:
            held = self._candidates[name] = Candidate(transfer, mirror)
        held.due, held.tries, held.is_standby = trio.current_time(), 0, is_standby

    def _may_be_read(self, url: str) -> bool:
        health = self._record.of(url)
        if repository_of(url) is not None:
            return False
        return health.gives_ranges and not health.quarantine and not (health.wrong and health.owed)

    def leave(self, transfer: Transfer) -> None:
        """Ask nobody for this transfer any more."""
        for name in [name for name in self._candidates if name[0] == id(transfer)]:
            left = self._candidates.pop(name)
            if left.bridged is not None:
                left.bridged.close()
                self._allow(left.bridged.endpoint[0], False)
        self._giving.leave(transfer)

    async def _vet(self, url: str, found: dict[str, Mirror | PeerError]) -> None:
        try:
            self._require_rested(url)
            found[url] = await vet_mirror(url, allow_local=self._settings.allow_local_addresses)
        except PeerError as error:
            found[url] = error

    def _require_rested(self, url: str) -> None:
        health = self._record.rests(url)
        if health is not None:
            until = datetime.fromtimestamp(health.rests_until, UTC).strftime("%H:%M:%SZ")
            raise PeerError(
                f"mirror {url} {health.reason}: it is left alone until {until}",
                hint="meshnode mirrors says how each one does; try again later",
            )

    # --- who is asked -----------------------------------------------------------------------------
    def _due(self) -> Iterable[Candidate]:
        now = trio.current_time()
        for each in list(self._candidates.values()):
            transfer, url = each.transfer, each.mirror.url
            if transfer.priorities.is_closed:
                self.leave(transfer)
            elif (
                self._governor.stopped is None
                and transfer.is_used
                and transfer.failure is None
                and not each.is_busy
                and each.due <= now
                and not transfer.sources.is_attached(url)
                and not (each.is_standby and self._has_better(each))
                and self._record.rests(url) is None
            ):
                yield each

    def _has_better(self, standby: Candidate) -> bool:
        """Say whether another mirror gives, or was not tried yet."""
        return standby.transfer.sources.has_mirrors or any(
            each.transfer is standby.transfer and not each.is_standby and not each.tries
            for each in self._candidates.values()
        )

    async def _serve(self, candidate: Candidate) -> None:
        """Let a mirror give pieces until the engine may have it, or until it fails."""
        transfer, url = candidate.transfer, candidate.mirror.url
        try:
            async with self._limit:
                client = RangeClient(url, allow_local=self._settings.allow_local_addresses)
                async with aclosing(client):
                    if candidate.addresses is None:
                        files = transfer.torrent.files
                        candidate.addresses = await addresses_at(client, url, files)
                    if await self._attach(candidate):
                        return
                    is_over = partial(self._is_over, candidate)
                    await self._giving.give(candidate, candidate.addresses, client, is_over)
            candidate.tries = 0
            candidate.due = trio.current_time()
        except MirrorError as error:
            self._failed(candidate, error)
        except Exception:
            if not transfer.priorities.is_closed:  # else its handle is not valid any more
                _log.exception("a mirror could not be asked", url=url)
            candidate.due = trio.current_time() + RETRY_SECONDS_MAX
        finally:
            candidate.is_busy = False
            self._news.set()

    async def _is_over(self, candidate: Candidate, hashes: PieceHashes, piece: int | None) -> bool:
        """Say whether the engine takes over; where only it can tell what is right, it does."""
        if piece is None:
            return await self._attach(candidate)
        return not hashes.can_tell(piece) and await self._hand_over(candidate)

    async def _attach(self, candidate: Candidate) -> bool:
        """Hand a proven mirror over to the engine, if the engine can use it."""
        transfer, url = candidate.transfer, candidate.mirror.url
        health = self._record.of(url)
        if not health.gives_ranges or not health.is_proven(self._record.now()):
            return False
        faults = transfer.sources.faults(url)
        if faults > candidate.faults or faults >= ENGINE_FAULTS_MAX:
            return False
        if any(is_lacking(transfer, piece) for piece in health.quarantined(transfer.torrent.key)):
            return False
        return await self._hand_over(candidate)

    async def _hand_over(self, candidate: Candidate) -> bool:
        """Tell the engine of a mirror; where its URLs have no order, of the bridge to it."""
        addresses, mirror = candidate.addresses, candidate.mirror
        if addresses is None or addresses.named is None:
            candidate.transfer.sources.attach(mirror)
            return True
        if self._bridge is None:
            return False
        if candidate.bridged is None:
            files = {
                addresses.files.files[index].path: Remote(
                    url, addresses.files.files[index].size_bytes
                )
                for index, url in addresses.named.items()
            }
            candidate.bridged = await self._bridge.open(mirror.url, files)
        if candidate.bridged is None:
            return False
        if (id(candidate.transfer), mirror.url) not in self._candidates:
            candidate.bridged.close()  # it was left meanwhile
            return False
        self._allow(candidate.bridged.endpoint[0], True)
        bridged = Mirror(mirror.url, (candidate.bridged.endpoint,))
        candidate.transfer.sources.attach(bridged, candidate.bridged.url)
        return True

    # --- failing ----------------------------------------------------------------------------------
    def _failed(self, candidate: Candidate, error: MirrorError) -> None:
        sources, url = candidate.transfer.sources, candidate.mirror.url
        candidate.tries += 1
        again = RETRY_SECONDS_MIN * 2 ** min(candidate.tries - 1, 16)
        again = max(min(again, RETRY_SECONDS_MAX), error.pause_seconds)
        candidate.due = trio.current_time() + again * (1 + JITTER * self._rng.random())
        sources.note_reason(url, str(error))
        match error.fault:
            case Fault.NO_RANGES:
                self._record.note_ranges(url, given=False)
                candidate.due = trio.current_time()
            case Fault.WRONG:
                sources.note_wrong(url)
                self._record.note_corruption(url, candidate.transfer.torrent.key, error.piece)
            case _:
                self._record.note_error(url, str(error), error.pause_seconds)
