"""What payloads moved this month, and the operator's pause."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import asdict
from typing import Any

from meshnode.control import Message
from meshnode.runtime.operator.arguments import Action, Arguments
from meshnode.runtime.operator.payloads import network_of
from meshnode.runtime.peer import Peer


class Pause(Arguments):
    """Whether transfers are to stop."""

    is_paused: bool


async def pause(peer: Peer, arguments: Pause) -> AsyncGenerator[Message, None]:
    """Stop every transfer, or let them go on; return what was moved this month."""
    await network_of(peer).torrents.governor.pause(is_paused=arguments.is_paused)
    yield {"result": traffic_said(peer)}


def traffic_said(peer: Peer) -> dict[str, Any]:
    """Return what was moved this month, and why nothing moves now if so."""
    governor = network_of(peer).torrents.governor
    stopped = governor.stopped
    return {**asdict(governor.traffic.month), "stopped": stopped.value if stopped else None}


ACTIONS: dict[str, Action] = {"payload_pause": (Pause, pause)}
