"""Peers that the operator has nothing to do with: `block`, `unblock`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Annotated

import trio
from pydantic import Field, PlainValidator

from meshnode.control import Message
from meshnode.core.identifiers import PeerId
from meshnode.errors import UsageError
from meshnode.runtime.blocklist import parse_peer_id
from meshnode.runtime.operator.arguments import Action, Arguments
from meshnode.runtime.peer import Peer

PEERS_MAX = 1000  # of one request


def _peer(value: object) -> PeerId:
    try:
        return parse_peer_id(str(value))
    except UsageError as error:
        raise ValueError(str(error)) from error


class Named(Arguments):
    peers: Annotated[
        tuple[Annotated[PeerId, PlainValidator(_peer)], ...],
        Field(min_length=1, max_length=PEERS_MAX),
    ]


async def block(peer: Peer, arguments: Named) -> AsyncGenerator[Message, None]:
    """Block peers, and hang up on those that are connected."""
    if peer.id in arguments.peers:
        raise UsageError(f"{peer.id} is this peer itself")
    await trio.to_thread.run_sync(peer.blocked.change, arguments.peers)
    if peer.network is not None:
        for each in arguments.peers:
            await peer.network.mesh.hang_up(each)
    yield {"result": {"blocked": list(peer.blocked.peers)}}


async def unblock(peer: Peer, arguments: Named) -> AsyncGenerator[Message, None]:
    await trio.to_thread.run_sync(peer.blocked.change, (), arguments.peers)
    yield {"result": {"blocked": list(peer.blocked.peers)}}


ACTIONS: dict[str, Action] = {"block": (Named, block), "unblock": (Named, unblock)}
