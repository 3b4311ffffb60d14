"""What the operator can ask of a running peer, over the control socket.

One module a subject. Each action takes checked arguments and yields {"event": …} messages while it
works, and {"result": …} as the last one; it raises a MeshnodeError when it cannot be done.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from pydantic import ValidationError

from meshnode.control import Message
from meshnode.errors import UsageError
from meshnode.runtime.operator import (
    blocking,
    bundles,
    catching_up,
    changes,
    collections,
    denying,
    history,
    index,
    joining,
    mirroring,
    mirrors,
    payload_holding,
    payload_listing,
    payload_traffic,
    payloads,
    published,
    publishing,
    releases,
    searching,
    standing,
    static_mirrors,
    stating,
    watching,
)
from meshnode.runtime.operator.arguments import Action
from meshnode.runtime.peer import Peer

ACTIONS: dict[str, Action] = {
    **standing.ACTIONS,
    **static_mirrors.ACTIONS,
    **searching.ACTIONS,
    **changes.ACTIONS,
    **index.ACTIONS,
    **collections.ACTIONS,
    **published.ACTIONS,
    **publishing.ACTIONS,
    **payload_holding.ACTIONS,
    **payload_listing.ACTIONS,
    **payload_traffic.ACTIONS,
    **payloads.ACTIONS,
    **releases.ACTIONS,
    **catching_up.ACTIONS,
    **history.ACTIONS,
    **denying.ACTIONS,
    **mirroring.ACTIONS,
    **mirrors.ACTIONS,
    **joining.ACTIONS,
    **bundles.ACTIONS,
    **stating.ACTIONS,
    **blocking.ACTIONS,
    **watching.ACTIONS,
}


async def answer(peer: Peer, action: str, said: Message) -> AsyncGenerator[Message, None]:
    """Carry out one request.

    Raises:
        UsageError: no such action, or arguments that do not fit it.
        MeshnodeError: as the action says.
    """
    if action not in ACTIONS:
        raise UsageError(f"this peer cannot {action!r}", hint="is it of another version?")
    kind, perform = ACTIONS[action]
    try:
        arguments = kind.model_validate(said)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, each['loc']))}: {each['msg'].lower()}" for each in error.errors()
        )
        raise UsageError(f"{action}: {problems}") from error
    async with aclosing(perform(peer, arguments)) as messages:
        async for message in messages:
            yield message
