"""Where the API is served, and to whom.

Other routers that lie beside it below PREFIX are given to `stac_api` here.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from typing import Final

import trio

from meshnode.config import OFF, Config
from meshnode.runtime.api.addresses import PREFIX
from meshnode.runtime.http.asgi import App, Receive, Scope, Send
from meshnode.runtime.http.guard import Guard
from meshnode.runtime.peer import Peer

CLOSED: Final = (
    "the STAC API is off at an address that others reach: "
    "`meshnode config set api.serve always` opens it"
)
SWITCHED_OFF: Final = "the setting api.serve is off"


def refusal(config: Config) -> str:
    """Say why the API is not served; empty if it is."""
    if config.api.serve == "off":
        return SWITCHED_OFF
    if config.api.serve == "local" and not _is_loopback(config.http.listen):
        return CLOSED
    return ""


def guard_of(config: Config) -> Guard:
    """Return who may ask, and from pages of which sites."""
    return Guard(
        config.http.hosts,
        (*config.http.origins, *config.api.origins),
        ("GET", "HEAD", "POST", "OPTIONS"),
    )


def mount(peer: Peer, config: Config) -> None:
    """Mount the API of a peer, or what says why there is none."""
    assert peer.http is not None
    guard = guard_of(config)
    if reason := refusal(config):
        peer.http.close(PREFIX, reason, guard)
        return
    peer.http.mount(PREFIX, _Late(peer, config.api.url), guard)


class _Late:
    """The API, made when it is first asked: what it is made of takes long to import."""

    def __init__(self, peer: Peer, url: str) -> None:
        self._peer = peer
        self._url = url
        self._api: App | None = None
        self._making = trio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._making:
            if self._api is None:
                made = await trio.to_thread.run_sync(_maker)
                self._api = made(self._peer, self._url)
        await self._api(scope, receive, send)


def _maker() -> Callable[[Peer, str], App]:
    """Import what makes the API. Blocks."""
    from meshnode.runtime.api.application import stac_api

    return stac_api


def _is_loopback(listen: str) -> bool:
    if listen == OFF:
        return True
    host = listen.rpartition(":")[0].removeprefix("[").removesuffix("]")
    return ip_address(host).is_loopback
