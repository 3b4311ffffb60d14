"""Where the feed is served, and to whom: programs of this machine alone."""

from __future__ import annotations

from ipaddress import ip_address

from meshnode.config import OFF, Config
from meshnode.runtime.changes.feed import PATH, RSS_PATH, Feed
from meshnode.runtime.peer import Peer


def mount(peer: Peer, config: Config) -> None:
    """Mount the feed, unless others reach the address: it tells what this peer follows."""
    assert peer.http is not None
    if not _is_loopback(config.http.listen):
        return

    feed = Feed(peer)
    peer.http.mount(PATH, feed)
    peer.http.mount(RSS_PATH, feed)


def _is_loopback(listen: str) -> bool:
    if listen == OFF:
        return True
    host = listen.rpartition(":")[0].removeprefix("[").removesuffix("]")
    return ip_address(host).is_loopback
