"""A small interpreter of the CDDL (RFC 8610) that `protocol/records.cddl` uses.

`pycddl` does not look into arrays of arrays, so a wrong inner record would pass it. This one does,
and knows nothing more than the schema needs: arrays, maps, occurrences, choices, ranges, literals,
`.size`, `.ge`, sockets.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

_TOKEN = re.compile(
    r"""\s*(?:;[^\n]*)?(?:\n|$)|\s+
    |(?P<text>"[^"]*")|(?P<hex>h'[0-9A-Fa-f]*')
    |(?P<occurs>\d*\*\d*)
    |(?P<number>-?\d+(?:\.\.\d+)?)
    |(?P<name>\$?[A-Za-z][A-Za-z0-9-]*)
    |(?P<sign>\.[a-z]+|/=|=>|[\[\]{}(),:/=])""",
    re.VERBOSE,
)
_ANY_NUMBER = 1 << 62


@dataclass(frozen=True)
class Node:
    """One type: `form` says which; `parts` are what it is made of."""

    form: str
    parts: tuple[Any, ...] = ()


@dataclass
class Schema:
    """Rules by name."""

    rules: dict[str, Node] = field(default_factory=dict)

    def matches(self, rule: str, value: object) -> bool:
        return self._is(self.rules[rule], value)

    def _is(self, node: Node, value: object) -> bool:
        check: Callable[..., bool] = getattr(self, f"_is_{node.form}")
        return check(value, *node.parts)

    def _is_choice(self, value: object, *options: Node) -> bool:
        return any(self._is(option, value) for option in options)

    def _is_name(self, value: object, name: str) -> bool:
        if name in _PRELUDE:
            return _PRELUDE[name](value)
        return self._is(self.rules[name], value)

    def _is_literal(self, value: object, literal: object) -> bool:
        return type(value) is type(literal) and value == literal

    def _is_range(self, value: object, least: int, most: int) -> bool:
        return type(value) is int and least <= value <= most

    def _is_control(self, value: object, node: Node, control: str, limit: Node) -> bool:
        if not self._is(node, value):
            return False
        match control:
            case ".size":
                length = len(value.encode() if isinstance(value, str) else value)  # type: ignore[arg-type]
                return self._is(limit, length)
            case ".ge":
                return isinstance(value, int) and value >= int(limit.parts[0])
            case _:
                raise NotImplementedError(control)

    def _is_array(self, value: object, *members: tuple[int, int, Node]) -> bool:
        return isinstance(value, list) and self._rest_is(value, members)

    def _rest_is(self, values: list[object], members: tuple[tuple[int, int, Node], ...]) -> bool:
        if not members:
            return not values
        least, most, node = members[0]
        taken = 0
        while taken < min(most, len(values)) and self._is(node, values[taken]):
            taken += 1
        return taken >= least and self._rest_is(values[taken:], members[1:])

    def _is_map(self, value: object, least: int, most: int, key: Node, member: Node) -> bool:
        return (
            isinstance(value, dict)
            and least <= len(value) <= most
            and all(self._is(key, k) and self._is(member, v) for k, v in value.items())
        )


_PRELUDE: dict[str, Callable[[object], bool]] = {
    "any": lambda _: True,
    "null": lambda value: value is None,
    "false": lambda value: value is False,
    "uint": lambda value: type(value) is int and value >= 0,
    "nint": lambda value: type(value) is int and value < 0,
    "bytes": lambda value: isinstance(value, bytes),
    "tstr": lambda value: isinstance(value, str),
}


def parse(text: str) -> Schema:
    """Read a schema. Raises ValueError where this subset does not reach."""
    return _Parser(text).schema()


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str]] = []
        at = 0
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise ValueError(f"not in the subset: {text[at : at + 40]!r}")
            if match.lastgroup:
                self._tokens.append((match.lastgroup, match.group(match.lastgroup)))
            at = match.end()

    def schema(self) -> Schema:
        schema = Schema()
        while self._tokens:
            name = self._take()
            sign = self._take()
            if sign not in ("=", "/="):
                raise ValueError(f"{sign!r} after {name!r}")
            node = self._type()
            known = schema.rules.get(name)
            if known is not None and sign == "=":
                raise ValueError(f"{name!r} is defined twice")
            schema.rules[name] = Node("choice", (known, node)) if known else node
        return schema

    def _take(self, expected: str = "") -> str:
        token = self._tokens.pop(0)[1]
        if expected and token != expected:
            raise ValueError(f"{token!r} where {expected!r} is due")
        return token

    def _next(self, ahead: int = 0) -> str:
        return self._tokens[ahead][1] if len(self._tokens) > ahead else ""

    def _type(self) -> Node:
        options = [self._controlled()]
        while self._next() == "/":
            self._take()
            options.append(self._controlled())
        return options[0] if len(options) == 1 else Node("choice", tuple(options))

    def _controlled(self) -> Node:
        node = self._simple()
        if self._next() in (".size", ".ge"):
            return Node("control", (node, self._take(), self._simple()))
        return node

    def _simple(self) -> Node:
        kind, token = self._tokens.pop(0)
        match kind, token:
            case "text", _:
                return Node("literal", (token[1:-1],))
            case "hex", _:
                return Node("literal", (bytes.fromhex(token[2:-1]),))
            case "number", _ if ".." in token:
                least, most = token.split("..")
                return Node("range", (int(least), int(most)))
            case "number", _:
                return Node("literal", (int(token),))
            case "name", _:
                return Node("name", (token,))
            case _, "(":
                node = self._type()
                self._take(")")
                return node
            case _, "[":
                return self._array()
            case _, "{":
                return self._map()
            case _:
                raise ValueError(f"{token!r} is no type of the subset")

    def _array(self) -> Node:
        members = []
        while self._next() != "]":
            least, most = self._occurs()
            if self._next(1) == ":":  # a member's name says nothing about its value
                self._take()
                self._take(":")
            members.append((least, most, self._type()))
            if self._next() == ",":
                self._take()
        self._take("]")
        return Node("array", tuple(members))

    def _map(self) -> Node:
        least, most = self._occurs()
        key = self._type()
        self._take("=>")
        member = self._type()
        if self._next() == ",":
            self._take()
        self._take("}")
        return Node("map", (least, most, key, member))

    def _occurs(self) -> tuple[int, int]:
        if self._tokens[0][0] != "occurs":
            return 1, 1
        least, most = self._take().split("*")
        return int(least or 0), int(most or _ANY_NUMBER)
