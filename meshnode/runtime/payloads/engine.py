"""One libtorrent session under trio: its settings, its port, and its alerts.

Owns the session and the pipe through which it says that there is news. What alerts mean is for
whoever hears them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import libtorrent as lt
import trio

from meshnode.errors import ConfigError, PeerError
from meshnode.runtime.payloads.torrent_session import (
    BLOCKED,
    REQUEST_BYTES_MAX,
    REQUEST_BYTES_MIN,
    REQUESTS_MIN,
    TorrentSettings,
    open_session,
)

_LISTEN_SECONDS_MAX: Final = 10
_COUNTERS: Final = ("net.recv_bytes", "net.sent_bytes")
_REMOVE_SECONDS_MAX: Final = 30  # to stop what a torrent has in work


class Engine:
    """Works while `open` is entered. `port` is 0 before, and where the engine does not listen."""

    def __init__(self, settings: TorrentSettings, hear: Callable[[lt.torrent_alert], None]) -> None:
        self._settings = settings
        self._hear = hear
        self.port = 0
        self._is_listening = False
        self._listen_error = ""
        self.hear_counters: Callable[[int, int], None] = lambda received, sent: None
        self._removed: dict[lt.torrent_handle, trio.Event] = {}
        self.session: lt.session

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Run the session while the block runs; `listen_to_alerts` is for the block to run.

        Raises:
            ConfigError: the address to listen on is not to be had.
        """
        self.session = open_session(self._settings)
        self._read_end, write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        os.set_blocking(write_end, False)
        self.session.set_alert_fd(write_end)
        try:
            if self._settings.listen is not None:
                await self._wait_for_port(self._settings.listen)
            yield
        finally:
            self.session.set_alert_fd(-1)  # before the number can name another file
            os.close(self._read_end)
            os.close(write_end)
            with trio.CancelScope(shield=True):  # the engine waits for its own threads
                await trio.to_thread.run_sync(self._close)

    async def listen_to_alerts(self) -> None:
        while True:
            await self._take_alerts()

    def allow(self, address: str, is_allowed: bool) -> None:
        """Say whether an address is connected to, although the filter forbids its network."""
        if not self._settings.allow_local_addresses:
            rules = self.session.get_ip_filter()
            rules.add_rule(address, address, 0 if is_allowed else BLOCKED)
            self.session.set_ip_filter(rules)

    def ask_counters(self) -> None:
        """Have the session say how much it moved; `hear_counters` is called with the answer."""
        self.session.post_session_stats()

    def pause(self, *, is_paused: bool) -> None:
        """Speak to nobody; what is here stays added."""
        if is_paused:
            self.session.pause()
        else:
            self.session.resume()

    def set_rates(self, download: int, upload: int) -> None:
        """Change the rates of the whole session, in bytes/s; 0: no limit."""
        changed = {"download_rate_limit": download, "upload_rate_limit": upload}
        self.session.apply_settings(changed)  # type: ignore[arg-type]

    def size_requests(self, payload_bytes: int) -> None:
        """Ask mirrors for as much at a time as suits a payload of this size."""
        size = payload_bytes // REQUESTS_MIN
        size = min(max(size, REQUEST_BYTES_MIN), REQUEST_BYTES_MAX)
        self.session.apply_settings({"urlseed_max_request_bytes": size})

    async def add(self, parameters: lt.add_torrent_params) -> lt.torrent_handle:
        """Add a torrent; raises PeerError if the engine refuses it."""
        try:
            return await trio.to_thread.run_sync(self.session.add_torrent, parameters)
        except RuntimeError as error:
            raise PeerError(f"torrent: {error}") from error

    async def remove(self, handle: lt.torrent_handle) -> None:
        """Remove a torrent; its files are closed when this returns."""
        removed = self._removed[handle] = trio.Event()
        try:
            await trio.to_thread.run_sync(self.session.remove_torrent, handle)
            with trio.move_on_after(_REMOVE_SECONDS_MAX):
                await removed.wait()
        finally:
            del self._removed[handle]

    async def _take_alerts(self) -> None:
        await trio.lowlevel.wait_readable(self._read_end)
        with contextlib.suppress(BlockingIOError):
            os.read(self._read_end, 1 << 16)
        for alert in self.session.pop_alerts():
            self._take(alert)  # alerts die with the next pop_alerts: nothing may await here

    def _take(self, alert: lt.alert) -> None:
        match alert:
            case lt.listen_succeeded_alert():
                self._is_listening = True
            case lt.listen_failed_alert():
                self._listen_error = str(alert.error.message())
                self._is_listening = True
            case lt.session_stats_alert():
                received, sent = (int(alert.values[name]) for name in _COUNTERS)
                self.hear_counters(received, sent)
            case lt.torrent_removed_alert():
                if (removed := self._removed.get(alert.handle)) is not None:
                    removed.set()
            case lt.torrent_alert():
                self._hear(alert)
            case _:
                pass

    async def _wait_for_port(self, listen: str) -> None:
        with trio.move_on_after(_LISTEN_SECONDS_MAX):
            while not self._is_listening:
                await self._take_alerts()
        self.port = int(self.session.listen_port())
        if not self.port or self._listen_error:
            raise ConfigError(
                f"cannot listen on {listen}: {self._listen_error or 'no answer'}",
                hint="stop what uses the port, or set another in [payload] listen",
            )

    def _close(self) -> None:
        del self.session
