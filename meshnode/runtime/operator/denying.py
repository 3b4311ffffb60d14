"""The deny lists of this peer: `deny_edit` (the operator's own), `deny_import`, `deny_drop`,
`deny_lists`, `deny_check`.

A list is kept as its text; what is in force is decided by the node.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any, Final

import trio

from meshnode.control import Message
from meshnode.core.denials import OWN
from meshnode.core.denylist import DenyList, parse_deny_list, rule_of, target_of
from meshnode.core.events import DenyListChanged, Event
from meshnode.core.identifiers import Digest
from meshnode.core.names import Ticket
from meshnode.errors import UsageError
from meshnode.runtime.operator.arguments import Action, Arguments, Nothing
from meshnode.runtime.operator.refusals import refused
from meshnode.runtime.peer import Peer

LISTS_MAX: Final = 64  # each is asked for each object
NAME_CHARS_MAX: Final = 100
_HEADER: Final = "version: 1\nname: own\n---\n"


class Edit(Arguments):
    """Rules of the compact format; `remove` takes the rules of the same targets away."""

    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    erase: bool = False


class Import(Arguments):
    """A list in the compact format, in place of one that was imported under this name."""

    name: str
    text: str
    erase: bool = False


class Named(Arguments):
    name: str


class Check(Arguments):
    """A rule that names what is looked up."""

    rule: str


async def edit(peer: Peer, arguments: Edit) -> AsyncGenerator[Message, None]:
    """Change the own list; the result says how many rules it has."""
    lines = await trio.to_thread.run_sync(_own_lines, peer)
    held = {target_of(line): line for line in lines}
    rules = (rule.partition(" ")[0] for rule in (*arguments.add, *arguments.remove))  # no hints
    dropped = [target_of(rule_of(rule)) for rule in rules]
    for rule, target in zip(arguments.remove, dropped[len(arguments.add) :], strict=True):
        if target not in held:
            raise UsageError(f"the own list has no rule for {rule}", hint="meshnode deny list")
    kept = [line for line in lines if target_of(line) not in dropped]
    added = [line for line in arguments.add if rule_of(line.split(maxsplit=1)[0])]
    lines = [*kept, *added]
    text = _HEADER + "\n".join(lines) + "\n" if lines else ""
    yield {"result": _counts(OWN, await _put(peer, OWN, text, erase=arguments.erase))}


async def import_(peer: Peer, arguments: Import) -> AsyncGenerator[Message, None]:
    """Put a list in force; the result says which lines were skipped, and why."""
    name = arguments.name
    if name == OWN or not 0 < len(name) <= NAME_CHARS_MAX or not name.isprintable():
        raise UsageError(f"a list cannot be called {name[:40]!r}", hint="--name NAME")
    known = peer.node.denials.lists
    if name not in known and len(known) >= LISTS_MAX:
        raise UsageError(f"there are {LISTS_MAX} lists already", hint="join some, or remove one")
    deny_list = await _put(peer, name, arguments.text, erase=arguments.erase)
    skipped = [
        {"line": each.line, "text": each.text[:200], "reason": each.reason}
        for each in deny_list.skipped
    ]
    yield {"result": {**_counts(name, deny_list), "skipped": skipped}}


async def drop(peer: Peer, arguments: Named) -> AsyncGenerator[Message, None]:
    if arguments.name not in peer.node.denials.lists:
        known = ", ".join(peer.node.denials.lists) or "none"
        raise UsageError(f"there is no list {arguments.name!r}", hint=f"known: {known}")
    await _put(peer, arguments.name, "", erase=False)
    yield {"result": {}}


async def lists(peer: Peer, _: Nothing) -> AsyncGenerator[Message, None]:
    """Return the lists, and the rules of the own one."""
    found = [_counts(name, each) for name, each in peer.node.denials.lists.items()]
    own = await trio.to_thread.run_sync(_own_lines, peer)
    yield {"result": {"lists": found, "own": own}}


async def check(peer: Peer, arguments: Check) -> AsyncGenerator[Message, None]:
    """Return the lists that deny what a rule names, or the catalogue that it stands in."""
    target = target_of(rule_of(arguments.rule))
    assert not isinstance(target, str)  # `rule_of` has refused it
    denials = peer.node.denials
    found = denials.denying(target)
    if target[0] == "item":
        found += denials.denying(("name", Digest(target[1][0])))
    by = list(dict.fromkeys(found))
    yield {"result": {"denied": bool(by), "lists": by}}


async def _put(peer: Peer, name: str, text: str, *, erase: bool) -> DenyList:
    raw = text.encode()
    deny_list = await trio.to_thread.run_sync(parse_deny_list, raw)

    def question(ticket: Ticket) -> Event:
        return DenyListChanged(ticket, name, raw, deny_list, erase)

    if refusal := await peer.tickets.ask(peer.tell, question):
        raise refused(peer, refusal)
    return deny_list


def _own_lines(peer: Peer) -> Sequence[str]:
    """Return the rules of the own list as they stand, without its header."""
    text = next((kept.raw for kept in peer.store.deny_lists() if kept.name == OWN), b"").decode()
    return text.removeprefix(_HEADER).splitlines()


def _counts(name: str, deny_list: DenyList) -> dict[str, Any]:
    return {"name": name, "rules": deny_list.rules, "skipped_count": deny_list.skipped_count}


ACTIONS: dict[str, Action] = {
    "deny_edit": (Edit, edit),
    "deny_import": (Import, import_),
    "deny_drop": (Named, drop),
    "deny_lists": (Nothing, lists),
    "deny_check": (Check, check),
}
