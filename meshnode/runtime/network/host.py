"""A py-libp2p host as this mesh wants it: noise and yamux over TCP, and no will of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import trio
from libp2p import new_host
from libp2p.crypto.keys import KeyPair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.network.config import ConnectionConfig, RetryConfig
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.rcmgr import ResourceManager
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as Noise
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX
from multiaddr import Multiaddr

from meshnode.core.identifiers import PeerId
from meshnode.runtime.network.containment import contain
from meshnode.runtime.network.inbound import Inbound
from meshnode.runtime.network.multiplexing import BoundedYamux

HANDSHAKE_SECONDS_MAX: Final = 5.0
CLOSE_SECONDS_MAX: Final = 3.0
CONNECTIONS_MAX: Final = 300


def new_mesh_host(
    keys: KeyPair, listen: Sequence[str], announce: Sequence[str], inbound: Inbound
) -> tuple[BasicHost, Swarm]:
    """Return a contained host that does not run yet, and its swarm; addresses are multiaddrs.

    `inbound` gives the places of those who call.
    """
    noise = Noise(keys, noise_privkey=create_noise_key_pair().private_key)
    host = new_host(
        key_pair=keys,
        sec_opt={NOISE: noise},  # the library's default also offers plain text
        muxer_opt={TProtocol(YAMUX): BoundedYamux},
        listen_addrs=[Multiaddr(text) for text in listen],
        announce_addrs=[Multiaddr(text) for text in announce] or None,
        disable_identify_address_discovery=True,
        connection_config=_connection_config(),
        # Its breakers and rate limits count all peers as one: a few bad ones lock out the rest.
        resource_manager=ResourceManager(
            enable_memory_limits=False,
            enable_circuit_breaker=False,
            enable_graceful_degradation=False,
            enable_rate_limiting=False,
        ),
    )
    swarm = host.get_network()
    assert isinstance(host, BasicHost)
    assert isinstance(swarm, Swarm)
    swarm.retry_config = RetryConfig(max_retries=0)  # the mesh redials, at a pace of its own
    contain(host, swarm, inbound)
    return host, swarm


async def close_host(host: BasicHost, swarm: Swarm) -> None:
    """Leave no socket open, also of a host that died in the middle of things."""
    with trio.move_on_after(CLOSE_SECONDS_MAX, shield=True):
        async with trio.open_nursery() as nursery:  # side by side: each sleeps a while
            for conn in swarm.get_connections():
                nursery.start_soon(conn.muxed_conn.close)
        await host.close()


async def answers_at(swarm: Swarm, address: str, peer: PeerId) -> bool:
    """Open a connection of its own to an address, have the peer prove who it is, and hang up."""
    where = Multiaddr(f"{address}/p2p/{peer}")
    wanted = ID.from_string(peer)
    try:
        transport = swarm.transport_manager.transport_for_dialing(where)
        assert transport is not None  # every host has TCP
        raw = await transport.dial(where)
        try:
            secured = await swarm.upgrader.upgrade_security(raw, True, wanted)
            return bool(secured.get_remote_peer() == wanted)
        finally:
            with trio.move_on_after(CLOSE_SECONDS_MAX, shield=True):
                await raw.close()
    except Exception:  # the library has many errors for a call that nobody takes
        return False


def _connection_config() -> ConnectionConfig:
    return ConnectionConfig(
        max_connections=CONNECTIONS_MAX,
        high_watermark=CONNECTIONS_MAX,
        min_connections=0,
        low_watermark=0,
        inbound_upgrade_timeout=HANDSHAKE_SECONDS_MAX,
        enable_health_monitoring=False,  # `multiplexing` looks after silent peers for less
    )
