"""A segment whose only holder is no neighbour is found by what the holder states, in any world."""

from __future__ import annotations

import itertools
import random
from functools import partial

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from meshnode.core.budgets import Budgets
from meshnode.core.events import Stated
from meshnode.core.holders import KIND, LASTING_SECONDS_MAX
from meshnode.core.identifiers import CatalogueId, Digest
from meshnode.core.names import Ticket
from meshnode.core.node import Node
from meshnode.core.signed import encode_signed
from meshnode.core.signing import Verify, public_key, sign
from meshnode.core.statement_bodies import Endpoint, Provider, encode_body
from meshnode.core.statements import Statement, encode_statement
from simulations.machine import Machine
from simulations.run import BuildNode, Simulation
from simulations.scenario import Scenario
from simulations.settings import LinkModel, Workload
from simulations.statements import FIRST_TICKET

SEGMENTS = 3
STATED_AT_SECONDS = 60.0
RING = Scenario(
    name="ring",
    title="Four peers in a ring: the first publishes, and both neighbours of the third lack room.",
    nodes=4,
    settle_seconds_max=200,
    links=LinkModel(degree=2),
    workload=Workload(institutions=1, segments_each=SEGMENTS, interval_seconds=5),
)


def every_second_without_room() -> BuildNode:
    """Return what builds the nodes one after the other; no segment fits into the budget of some."""
    numbers = itertools.count()

    def build(rng: random.Random, check: Verify) -> Node:
        return Node(rng, check, Budgets(each_bytes_max=1_000) if next(numbers) % 2 else None)

    return build


def state(machine: Machine, catalogue: CatalogueId, number: int) -> None:
    """Have a machine state that it holds a catalogue, and is the machine of this number."""
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    now = machine.now().unix
    body = encode_body(Provider((Endpoint(number.to_bytes(4, "big"), 1),)))
    said = Statement(
        KIND, public_key(key), Digest(catalogue), 1, now, now + LASTING_SECONDS_MAX, body
    )
    raw = encode_signed(sign("statement", encode_statement(said), [key]))
    machine.tell(Stated(Ticket(FIRST_TICKET << 1), raw))


@pytest.mark.parametrize(("seed", "at"), [(1, 0), (2, 0), (3, 0), (1, 3)])
def test_the_only_holder_is_no_neighbour(seed: int, at: int) -> None:
    """`at` 0 is where the holder is; elsewhere there is somebody who has nothing."""
    simulation = Simulation(RING, seed, build_node=every_second_without_room())
    holder, _, reader, _ = simulation.machines.values()
    [catalogue] = simulation.ledger.roots
    neighbours = dict.fromkeys(simulation.network.peers_of(reader.name))
    simulation.world.at(STATED_AT_SECONDS, partial(state, holder, catalogue, at))
    simulation.world.run_until(STATED_AT_SECONDS)
    before = len(reader.index.segments)
    simulation.world.run_until(STATED_AT_SECONDS + 200)

    assert len(holder.index.segments) == SEGMENTS
    assert holder.name not in neighbours
    assert before == 0
    assert len(reader.index.segments) == (SEGMENTS if at == 0 else 0)
