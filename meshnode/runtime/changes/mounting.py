"""Where the feed is served, and to whom: to those who may ask the STAC API."""

from __future__ import annotations

from meshnode.config import Config
from meshnode.runtime.api.mounting import guard_of, refusal
from meshnode.runtime.changes.feed import PATH, RSS_PATH, Feed
from meshnode.runtime.peer import Peer


def mount(peer: Peer, config: Config) -> None:
    """Mount the feed, or what says why there is none: it tells what this peer follows."""
    assert peer.http is not None
    guard = guard_of(config)
    for path in (PATH, RSS_PATH):
        if reason := refusal(config):
            peer.http.close(path, reason, guard)
        else:
            peer.http.mount(path, Feed(peer), guard)
