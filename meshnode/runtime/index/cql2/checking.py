"""The limits of a filter, checked before anything parses or walks it, and its two notations.

A filter is CQL2 JSON from here on, whichever notation it came in.
"""

from __future__ import annotations

from typing import Any, Final

from pydantic_core import from_json

from meshnode.errors import UsageError
from meshnode.runtime.index.cql2.text import parse_text

TEXT_CHARS_MAX: Final = 16_384  # of a filter as text; a URL may be half as long
NODES_MAX: Final = 25_000  # JSON values in a filter: a large polygon; SQLite binds 32,766 values
OPERATIONS_MAX: Final = 200  # SQLite refuses an expression of 1,000 levels
DEPTH_MAX: Final = 48  # JSON levels: about twenty operations within each other
HINT: Final = "for example: eo:cloud_cover < 10 AND platform IN ('landsat-8', 'landsat-9')"

Filter = dict[str, Any] | bool


def parse_filter(said: str | dict[str, Any] | bool) -> Filter:
    """Read a filter in CQL2 JSON, or text in either notation; JSON text begins with a brace.

    Raises:
        UsageError: over a limit, or not CQL2.
    """
    if not isinstance(said, str):
        return check(said)
    if len(said) > TEXT_CHARS_MAX:
        raise UsageError(f"the filter is longer than {TEXT_CHARS_MAX} characters", hint=HINT)
    if not said.lstrip().startswith("{"):
        return check(parse_text(said))
    try:
        return check(from_json(said))
    except ValueError as error:
        raise UsageError(f"the filter is not JSON: {error}", hint=HINT) from error


def check(value: object) -> Filter:
    """Check size and depth, level by level, and that it is one operation, true or false.

    Raises:
        UsageError: over a limit, or no filter.
    """
    level, nodes, operations, depth = [value], 0, 0, 0
    while level:
        depth, nodes = depth + 1, nodes + len(level)
        operations += sum(isinstance(each, dict) and "op" in each for each in level)
        if depth > DEPTH_MAX or nodes > NODES_MAX or operations > OPERATIONS_MAX:
            raise UsageError(
                "the filter is too large: "
                f"{OPERATIONS_MAX} operations, {NODES_MAX} values, {DEPTH_MAX} levels at most",
                hint=HINT,
            )
        level = [inner for outer in level for inner in _members(outer)]
    if isinstance(value, bool) or (isinstance(value, dict) and value):
        return value
    raise UsageError("a filter is one comparison or more", hint=HINT)


def _members(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
