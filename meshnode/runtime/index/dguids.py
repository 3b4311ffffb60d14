"""DGUIDs: the names that Statistics Canada gives to the places of its geography.

A DGUID is a vintage (a year), a type (A administrative, S statistical, C combined, Z other), a
level of four digits, and the place's own code (Statistics Canada, Dictionary, Census of
Population 2021: Dissemination Geography Unique Identifier). Without its vintage it names the place
in every year.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from meshnode.errors import UsageError

PATTERN: Final = r"(?P<vintage>\d{4})(?P<type>[A-Za-z])(?P<level>\d{4})(?P<code>[0-9A-Za-z.]{1,12})"
TYPES: Final = "ACSZ"

# Digits of a code, by type and level; levels that are not named here have other codes.
_CODE_DIGITS: Final = {
    "A0000": 5,  # Canada
    "A0002": 2,  # province or territory
    "A0003": 4,  # census division
    "A0004": 5,  # federal electoral district
    "A0005": 7,  # census subdivision
    "S0500": 4,  # economic region
    "S0503": 3,  # census metropolitan area
    "S0512": 8,  # dissemination area
}
_DGUID: Final = re.compile(PATTERN)
_PLACE: Final = re.compile(r"[A-Za-z]\d{4}[0-9A-Za-z.]{1,12}")
_IN_ID: Final = re.compile(rf"[-_](?P<dguid>{PATTERN})(?=_|$)")


@dataclass(frozen=True, slots=True)
class Dguid:
    """One DGUID; `place` is what it is without its vintage."""

    text: str

    @property
    def place(self) -> str:
        return self.text[4:]

    @property
    def vintage(self) -> str:
        return self.text[:4]

    def problems(self) -> list[str]:
        """Return what is doubtful about it: its letter, or the length of its code."""
        found = _DGUID.fullmatch(self.text)
        assert found is not None
        problems = []
        if found["type"] not in TYPES:
            wanted = f"one of {', '.join(TYPES)}"
            problems.append(f"the DGUID {self.text} has the type {found['type']!r}, not {wanted}")
        digits = _CODE_DIGITS.get(found["type"] + found["level"])
        if digits is not None and len(found["code"]) != digits:
            problems.append(
                f"the DGUID {self.text} has a code of {len(found['code'])} characters; "
                f"level {found['type']}{found['level']} has {digits}"
            )
        return problems


def parse_dguid(text: str) -> Dguid | None:
    """Return the DGUID that a text is, or None."""
    return Dguid(text) if _DGUID.fullmatch(text) else None


def dguid_of(item_id: str, properties: Mapping[str, object]) -> Dguid | None:
    """Return the DGUID of an item: its property `dguid`, else the one in its id."""
    said = properties.get("dguid")
    if not isinstance(said, str):
        found = _IN_ID.search(item_id)
        said = found["dguid"] if found else None
    return parse_dguid(said.upper()) if said is not None else None


def parse_wanted(text: str) -> tuple[str, str | None]:
    """Return the place and the vintage that a search asks for; None for every vintage.

    Raises:
        UsageError: it is no DGUID, nor one without its vintage.
    """
    text = text.upper()
    if found := parse_dguid(text):
        return found.place, found.vintage
    if _PLACE.fullmatch(text):
        return text, None
    raise UsageError(
        f"{text[:40]!r} is no DGUID",
        hint="2021A00056001009, or A00056001009 for the same place in every year",
    )
