"""What is known of catalogues and their collections: of a peer that runs, or of its directory."""

from __future__ import annotations

from typing import Protocol

from meshnode.core.identifiers import Digest
from meshnode.core.node import Node
from meshnode.runtime.joining.domain_book import DomainBook


class Holdings(Protocol):
    """Who answers what is in catalogues. Two kinds: `peer.Peer`, and the library's `Directory`."""

    @property
    def node(self) -> Node: ...

    @property
    def domains(self) -> DomainBook: ...

    def read_object(self, digest: Digest) -> bytes | None:
        """Return an object's bytes, None if it is not held or was damaged."""
        ...
