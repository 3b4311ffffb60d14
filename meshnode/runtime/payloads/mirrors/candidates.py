"""A mirror on its way into a transfer."""

from __future__ import annotations

from dataclasses import dataclass

from meshnode.runtime.payloads.address_filter import Mirror
from meshnode.runtime.payloads.mirrors.bridging import Bridged
from meshnode.runtime.payloads.mirrors.file_addresses import FileAddresses
from meshnode.runtime.payloads.transfers import Transfer


@dataclass(slots=True)
class Candidate:
    """A mirror of one transfer. `due` is on trio's clock; `tries` are those that failed, `faults`
    those of the engine after which it gave a piece. One that stands by is asked while no other is.
    """

    transfer: Transfer
    mirror: Mirror
    due: float = 0.0
    tries: int = 0
    faults: int = 0
    is_busy: bool = False
    is_standby: bool = False
    addresses: FileAddresses | None = None
    bridged: Bridged | None = None
