"""Nodes without one of their habits: a run with such ones shows what the habit is for."""

from __future__ import annotations

from collections.abc import Sequence

from meshnode.core.effects import Announce, Effect
from meshnode.core.events import Event, Now, Submitted
from meshnode.core.node import Node
from meshnode.core.verdicts import Topic
from simulations.settings import Habits


class Taciturn(Node):
    """Announces what its own publisher submits, and nothing that it learned of others.

    It inherits, since it is the node that ships but for what is left out.
    """

    def handle(self, batch: Sequence[Event], now: Now) -> list[Effect]:
        effects = super().handle(batch, now)
        if any(isinstance(event, Submitted) for event in batch):
            return effects
        return [e for e in effects if not isinstance(e, Announce) or e.topic != Topic.HEADS]


def node_with(habits: Habits) -> type[Node]:
    return Node if habits.reannounces else Taciturn
