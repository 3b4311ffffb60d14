"""DGUIDs: the names that Statistics Canada gives to the places of its geography.

A DGUID is a vintage (a year), a type (A administrative, S statistical, C combined, Z other), a
level of four digits, and the place's own code (Statistics Canada, Dictionary, Census of
Population 2021: Dissemination Geography Unique Identifier). Without its vintage it names the place
in every year.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

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


@dataclass(frozen=True, slots=True)
class Dguid:
    """One DGUID; `place` is what it is without its vintage."""

    text: str

    @property
    def place(self) -> str:
        return self.text[4:]

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
