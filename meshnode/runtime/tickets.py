"""Questions of the operator that the node will answer: each waits for its `Answer` effect."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from meshnode.core.effects import Answer
from meshnode.core.events import Event
from meshnode.core.names import Ticket


class Tickets:
    """Each question has a ticket; nothing is kept of one that is answered or given up."""

    def __init__(self) -> None:
        self._next = 0
        self._waiting: dict[Ticket, trio.MemorySendChannel[str]] = {}
        self._answers: dict[Ticket, trio.MemoryReceiveChannel[str]] = {}

    async def ask(
        self, tell: Callable[[Event], Awaitable[None]], question: Callable[[Ticket], Event]
    ) -> str:
        """Put a question to the node; return why it was refused, empty if it was done."""
        ticket = self._issue()
        try:
            await tell(question(ticket))
            return await self._answers[ticket].receive()
        finally:
            self._waiting.pop(ticket, None)
            del self._answers[ticket]

    def resolve(self, answer: Answer) -> None:
        """Deliver an answer; one that nobody waits for any more is dropped."""
        if (sender := self._waiting.pop(answer.ticket, None)) is not None:
            sender.send_nowait(answer.refusal)

    def _issue(self) -> Ticket:
        ticket, self._next = Ticket(self._next), self._next + 1
        self._waiting[ticket], self._answers[ticket] = trio.open_memory_channel[str](1)
        return ticket
