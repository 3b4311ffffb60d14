"""Nodes without one of their habits: a run with such ones shows what the habit is for."""

from __future__ import annotations

from collections.abc import Sequence

from meshnode.core import events as ev
from meshnode.core.node import Node
from simulations.settings import Habits


class Taciturn(Node):
    """Announces what its own publisher submits, and nothing that it learned of others.

    It inherits, since it is the node that ships but for what is left out.
    """

    def handle(self, batch: Sequence[ev.Event], now: ev.Now) -> list[ev.Effect]:
        effects = super().handle(batch, now)
        if any(isinstance(event, ev.Submitted) for event in batch):
            return effects
        return [e for e in effects if not isinstance(e, ev.Announce) or e.topic != ev.Topic.HEADS]


def node_with(habits: Habits) -> type[Node]:
    return Node if habits.reannounces else Taciturn
