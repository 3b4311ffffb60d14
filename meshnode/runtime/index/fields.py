"""Which members of an item an answer has, as the fields extension of STAC API asks for them.

An answer with fewer members is not what was published: its bytes prove nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from meshnode.errors import UsageError

FIELDS_MAX: Final = 100
STEPS_MAX: Final = 10  # of a path; items are not deeper than a person can name
# Without them nobody knows what it is.
ALWAYS: Final = (("type",), ("stac_version",), ("id",), ("collection",))

_FIELD: Final = re.compile(r"(?P<sign>[+-]?)(?P<path>[^+\-\s,][^\s,]{0,199})")
Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fields:
    """Paths to members. No `include` means all members but those of `exclude`.

    Of one that is in both, or within what is left out, `include` counts.
    """

    include: tuple[Path, ...]
    exclude: tuple[Path, ...]

    def of(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """Return the members asked for, in the order of the item."""
        if not self.include:
            return _without(item, self.exclude)
        left_out = [
            path
            for path in self.exclude
            if not any(wanted[: len(path)] == path for wanted in self.include)
        ]
        return _without(_chosen(item, (*ALWAYS, *self.include)), left_out)


def parse_fields(text: str) -> Fields:
    """Read names with commas between them: `id,properties.title,-assets`; - leaves one out.

    Raises:
        UsageError: no names, too many, or one that is none.
    """
    hint = "names with commas between them: id,properties.title,-assets"
    found = [_FIELD.fullmatch(part.strip()) for part in text.split(",")]
    if len(found) > FIELDS_MAX:
        raise UsageError(f"more than {FIELDS_MAX} fields", hint=hint)
    sides: tuple[list[Path], list[Path]] = [], []
    for part, one in zip(text.split(","), found, strict=True):
        path = tuple(one["path"].split(".", STEPS_MAX)) if one else ()
        if one is None or "" in path or len(path) > STEPS_MAX:
            raise UsageError(f"{part[:60]!r} is no field", hint=hint)
        sides[one["sign"] == "-"].append(path)
    return Fields(tuple(sides[0]), tuple(sides[1]))


def _chosen(value: Mapping[str, Any], paths: Sequence[Path]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, member in value.items():
        below = [path[1:] for path in paths if path[0] == name]
        if () in below:
            made[name] = member
        elif below and isinstance(member, dict) and (inner := _chosen(member, below)):
            made[name] = inner
    return made


def _without(value: Mapping[str, Any], paths: Sequence[Path]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, member in value.items():
        below = [path[1:] for path in paths if path[0] == name]
        if () in below:
            continue
        made[name] = _without(member, below) if below and isinstance(member, dict) else member
    return made
