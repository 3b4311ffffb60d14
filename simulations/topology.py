"""Who knows whom: the links of a mesh, drawn once, before anything happens."""

from __future__ import annotations

import random
from collections.abc import Sequence

from meshnode.core.identifiers import PeerId
from simulations.network import Network
from simulations.settings import LinkModel


def link_at_random(
    network: Network, names: Sequence[PeerId], model: LinkModel, rng: random.Random
) -> None:
    """Link all peers, or each half of them and then so many pairs across as the model says."""
    if not model.crossing:
        _link(network, names, model, rng)
        return
    halves = names[0::2], names[1::2]
    for half in halves:
        _link(network, half, model, rng)
    for _ in range(model.crossing):
        network.link(*map(rng.choice, halves))


def _link(network: Network, names: Sequence[PeerId], model: LinkModel, rng: random.Random) -> None:
    """Link a ring of open peers, hidden peers to open ones, and random chords to the degree."""
    hidden = dict.fromkeys(rng.sample(names, round(model.hidden_share * len(names))))
    for name in hidden:
        network.hide(name)
    ring = [name for name in names if name not in hidden]
    for place, name in enumerate(ring):
        network.link(name, ring[(place + 1) % len(ring)])
    for name in hidden:
        for other in rng.sample(ring, min(len(ring), 2)):
            network.link(name, other)
    for _ in range(len(names) * (model.degree - 2) // 2):
        network.link(*rng.sample(names, 2))
