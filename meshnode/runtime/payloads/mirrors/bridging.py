"""A web seed of this machine that stands for files at unrelated URLs, as the engine sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from meshnode.runtime.payloads.address_filter import Endpoint


@dataclass(frozen=True, slots=True)
class Remote:
    """Where a file is, and how long it is."""

    url: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Bridged:
    """`url` is asked instead of the mirror's own, at `endpoint`, until `close` is called."""

    url: str
    endpoint: Endpoint
    close: Callable[[], None]


class Bridging(Protocol):
    """Makes web seeds; only whoever knows its URL can use one."""

    async def open(self, mirror: str, files: Mapping[str, Remote]) -> Bridged | None:
        """Serve files of a mirror by their path in the payload; None if it cannot be."""
        ...
