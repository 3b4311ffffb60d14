"""The parts of one running peer, as the operator's requests need them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trio

from meshnode.core.events import Event, ObjectLost
from meshnode.core.identifiers import Digest, PeerId
from meshnode.core.node import Node
from meshnode.runtime.blocklist import Blocklist
from meshnode.runtime.home import Home
from meshnode.runtime.index.index import Index
from meshnode.runtime.joining.domain_book import DomainBook
from meshnode.runtime.joining.first_contacts import FirstContacts
from meshnode.runtime.journal import Journal
from meshnode.runtime.payloads.mirrors.requirements import Requirements
from meshnode.runtime.quota import Quota
from meshnode.runtime.static_mirror.mirrors import Mirrors
from meshnode.runtime.store import Store
from meshnode.runtime.tickets import Tickets

if TYPE_CHECKING:
    from meshnode.runtime.http.server import HttpServer
    from meshnode.runtime.network.network import Network

SEARCHES_MAX = 4  # threads that search; further searches wait, so that commits never do


@dataclass(frozen=True, slots=True)
class Peer:
    """Everything that lives as long as the process. `started` in unix seconds."""

    id: PeerId
    home: Home
    node: Node
    store: Store
    index: Index
    blocked: Blocklist
    contacts: FirstContacts
    domains: DomainBook
    journal: Journal
    tickets: Tickets
    tell: Callable[[Event], Awaitable[None]]
    started: int
    quota: Quota
    required: Requirements
    network: Network | None
    mirrors: Mirrors
    http: HttpServer | None = None
    searches: trio.CapacityLimiter = field(
        default_factory=lambda: trio.CapacityLimiter(SEARCHES_MAX)
    )

    def read_object(self, digest: Digest) -> bytes | None:
        """Return an object's bytes, None if it is not held; a damaged one is then fetched again.

        Called in a worker thread.
        """
        raw = self.store.read_object(digest)
        if raw is None and digest in self.node.replica.objects:
            trio.from_thread.run(self.tell, ObjectLost(digest))
        return raw
