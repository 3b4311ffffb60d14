"""What a real node answers to another that compares what it holds, without a network between."""

from __future__ import annotations

from meshnode.core.effects import Comparing
from meshnode.core.events import Event
from meshnode.core.exchange import (
    AskHello,
    AskRecon,
    AskRecords,
    HelloReceived,
    ReconReceived,
    RecordsReceived,
)
from meshnode.core.hello import Greeting
from meshnode.core.node import Node


def told_by(node: Node, request: Comparing) -> Event:
    """Return what this node answers to one that compares what it holds."""
    peer, attempt = request.peer, request.attempt
    match request:
        case AskHello(_, known):
            return HelloReceived(peer, attempt, node.disclosure.greet(known))
        case AskRecon(_, admitted, chosen, message):
            answer = node.disclosure.reconcile(admitted, chosen, message)
            if isinstance(answer, Greeting):
                return HelloReceived(peer, attempt, answer)
            return ReconReceived(peer, attempt, answer)
        case AskRecords(_, names):
            return RecordsReceived(peer, attempt, node.disclosure.records(names))
