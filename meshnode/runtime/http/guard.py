"""Who may ask: programs of this machine, and pages of the web that the operator named.

A page of a stranger that is open in a browser here can send requests to this machine. Two things
tell it apart. After DNS rebinding the header Host still has the stranger's name. Otherwise the
browser says in Sec-Fetch-Site (Fetch Metadata) and Origin (Fetch) that another site asks.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from meshnode.runtime.http.asgi import Header, Scope, header

EVERY_SITE: Final = "*"
_LOCAL: Final = "localhost"
_OWN_PAGES: Final = ("none", "same-origin")


@dataclass(frozen=True, slots=True)
class Guard:
    """`hosts`: names by which this server may be called; `origins`: sites whose pages may ask, `*`
    for all; `methods` is what such pages may do.
    """

    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    methods: tuple[str, ...] = ("GET", "HEAD")

    def objection(self, scope: Scope) -> str | None:
        """Say why a request is refused; None if it is not."""
        host = header(scope, b"host")
        if host is None or not self._is_ours(host):
            return f"this peer is not called {host!r}: name it in the setting http.hosts"
        origin = header(scope, b"origin")
        if EVERY_SITE in self.origins or origin in self.origins:
            return None
        is_own = origin is None or origin == f"http://{host}"
        if not is_own or (header(scope, b"sec-fetch-site") or "none") not in _OWN_PAGES:
            return f"pages of {origin or 'other sites'} may not ask: see the setting http.origins"
        return None

    def permission(self, scope: Scope) -> list[Header]:
        """Return the headers that let a named site's page read the answer (Fetch, CORS)."""
        origin = header(scope, b"origin")
        if origin is None or not {origin, EVERY_SITE} & {*self.origins}:
            return []
        return [
            (b"access-control-allow-origin", origin.encode()),
            (b"access-control-allow-methods", ", ".join(self.methods).encode()),
            (b"access-control-allow-headers", b"content-type, range, if-range, if-none-match"),
            (b"access-control-expose-headers", b"content-range, accept-ranges, etag, link"),
            (b"vary", b"origin"),
        ]

    def _is_ours(self, host: str) -> bool:
        """Allow addresses too: only a name can be made to lead here by somebody else."""
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
        name = name.lower().removesuffix(".")
        if name == _LOCAL or name in self.hosts:
            return True
        try:
            ip_address(name.removeprefix("[").removesuffix("]"))
        except ValueError:
            return False
        return True
