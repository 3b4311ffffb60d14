"""Licences under which anybody may hold and pass on data, by their SPDX identifiers.

The open licences of the Open Definition (opendefinition.org) that data is published under, and
those of governments that conform to it.
"""

from __future__ import annotations

import re
from typing import Final

OPEN: Final = frozenset(
    {
        "0BSD", "APL-1.0", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC-BY-3.0", "CC-BY-4.0",
        "CC-BY-SA-3.0", "CC-BY-SA-4.0", "CC-PDDC", "CC0-1.0", "CDLA-Permissive-1.0",
        "CDLA-Permissive-2.0", "CDLA-Sharing-1.0", "DL-DE-BY-2.0", "DL-DE-ZERO-2.0", "etalab-2.0",
        "GFDL-1.3-or-later", "ISC", "LGPL-3.0-or-later", "MIT", "MPL-2.0", "NLOD-1.0", "NLOD-2.0",
        "ODbL-1.0", "ODC-By-1.0", "OGC-1.0", "OGDL-Taiwan-1.0", "OGL-Canada-2.0", "OGL-UK-1.0",
        "OGL-UK-2.0", "OGL-UK-3.0", "PDDL-1.0", "Unlicense",
    }
)  # fmt: skip
_DEPTH_MAX: Final = 16  # parentheses: no licence of data needs more
_WORDS: Final = re.compile(r"[()]|[^\s()]+")


def is_open(expression: str) -> bool:
    """Say whether an SPDX licence expression lets anybody pass the data on.

    Of licences joined by OR one is enough; AND needs both. An exception (WITH), a `+`, and what is
    not listed, are taken for not open.
    """
    words = _WORDS.findall(expression)
    if words.count("(") > _DEPTH_MAX:
        return False
    try:
        value = _either(words)
    except IndexError:
        return False
    return value and not words


def _either(words: list[str]) -> bool:
    value = _both(words)
    while words and words[0].upper() == "OR":
        words.pop(0)
        value = _both(words) or value
    return value


def _both(words: list[str]) -> bool:
    value = _one(words)
    while words and words[0].upper() == "AND":
        words.pop(0)
        value = _one(words) and value
    return value


def _one(words: list[str]) -> bool:
    word = words.pop(0)
    if word != "(":
        return word in OPEN
    value = _either(words)
    return words.pop(0) == ")" and value
