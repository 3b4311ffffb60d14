"""Peers that say nothing, and a host of the bare library: what the benches of the mesh stand on."""

from __future__ import annotations

from libp2p import new_host
from libp2p.abc import IHost
from libp2p.crypto.keys import KeyPair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as Noise

from meshnode.core.events import Event
from meshnode.core.identifiers import PeerId
from meshnode.core.verdicts import Verdict


def bare_host(keys: KeyPair) -> IHost:
    noise = Noise(keys, noise_privkey=create_noise_key_pair().private_key)
    return new_host(key_pair=keys, sec_opt={NOISE: noise})


def accept(_: bytes) -> Verdict:
    return Verdict.ACCEPT


async def hear_nothing(_: Event) -> None:
    """Nothing is said."""


async def serve_nothing(_: PeerId, stream: object) -> None:
    """Nobody asks."""
