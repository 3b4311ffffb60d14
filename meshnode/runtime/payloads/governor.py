"""Keeps the engine within its limits: rates by the hour, the month's bytes, a pause."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import trio

from meshnode.errors import StorageError, UsageError
from meshnode.runtime.clock import local_minute
from meshnode.runtime.payloads import limits as rules
from meshnode.runtime.payloads.engine import Engine
from meshnode.runtime.payloads.limits import Limits, Rates, Stop
from meshnode.runtime.payloads.traffic import Traffic
from meshnode.runtime.payloads.transfers import Transfer

LOOK_SECONDS: Final = 1.0  # bytes that move in it may exceed the month's limit


class Governor:
    """Invariant: while there is a reason to stop, the engine's session is paused."""

    def __init__(
        self,
        engine: Engine,
        limits: Limits,
        traffic: Traffic,
        minute: Callable[[], int] = local_minute,
    ) -> None:
        self.traffic = traffic
        self._engine = engine
        self._limits = limits
        self._minute = minute
        self._stopped: Stop | None = None
        self._rates = Rates(limits.download_bytes_per_second, limits.upload_bytes_per_second)
        self._held: list[Transfer] = []

    async def run(self) -> None:
        """Count what moves, and keep to the limits, until cancelled."""
        self.look()
        while True:
            await trio.sleep(LOOK_SECONDS)
            self._engine.ask_counters()
            self.look()
            with contextlib.suppress(StorageError):
                await trio.to_thread.run_sync(self.traffic.save)

    async def pause(self, *, is_paused: bool) -> None:
        """Stop moving anything until it is resumed, also over restarts; raises StorageError."""
        await trio.to_thread.run_sync(lambda: self.traffic.pause(is_paused=is_paused))
        self.look()

    @property
    def stopped(self) -> Stop | None:
        return self._stopped

    def require_moving(self) -> None:
        """Raise UsageError while nothing may move."""
        match self._stopped:
            case Stop.PAUSED:
                raise UsageError(
                    "transfers are paused", hint="meshnode payload resume lets them go on"
                )
            case Stop.MONTH:
                raise UsageError(
                    f"the {self._limits.monthly_bytes_max} bytes of this month are used up",
                    hint="wait for the next month (UTC), or raise payload.monthly_bytes_max",
                )
            case None:
                return

    @contextmanager
    def holding(self, transfer: Transfer) -> Iterator[None]:
        """Fetch for others while the block runs: such transfers share the rate of holds."""
        self._held.append(transfer)
        self.share()
        try:
            yield
        finally:
            self._held.remove(transfer)
            transfer.handle.set_download_limit(0)
            self.share()

    def share(self) -> None:
        """Divide the rate of holds; a transfer that somebody waits for is not bound by it."""
        waiting = [each for each in self._held if each.priorities.is_held_only]
        rate = self._limits.hold_bytes_per_second
        for transfer in self._held:
            limit = max(rate // len(waiting), 1) if rate and transfer in waiting else 0
            transfer.handle.set_download_limit(limit)

    def download_rate(self, transfer: Transfer) -> int:
        """Return how fast a transfer may be fetched past the engine, in bytes/s; 0: no limit."""
        rates = [self._rates.download]
        if transfer in self._held and transfer.priorities.is_held_only:
            rates.append(self._limits.hold_bytes_per_second)
        return min((rate for rate in rates if rate), default=0)

    def look(self) -> None:
        """Bring the engine to what is to be in force now."""
        month = self.traffic.month
        stop = rules.stop(self._limits, month.total_bytes, is_paused=month.is_paused)
        if (stop is None) is not (self._stopped is None):
            self._engine.pause(is_paused=stop is not None)
        self._stopped = stop
        wanted = rules.rates(self._limits, self._minute())
        if wanted != self._rates:
            self._rates = wanted
            self._engine.set_rates(wanted.download, wanted.upload)
        self.share()
