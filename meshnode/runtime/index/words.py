"""Free text: which words of an item are found, and how a person asks for them.

The words of an item are those of its id, title, description and keywords, in every language that
they are in (`title:fr`, `title_fr`). Case and accents do not count: FORET finds Forêt. FTS5 keeps
them, with its tokenizer unicode61: letters and digits are words, all else stands between them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from meshnode.errors import UsageError
from meshnode.runtime.index.queryables import properties_of

TOKENIZER: Final = "unicode61 remove_diacritics 2"
ITEM_CHARS_MAX: Final = 10_000  # of the words of an item; what comes later is not found
QUERY_CHARS_MAX: Final = 1_000
QUERY_PARTS_MAX: Final = 50  # words and phrases of a query

_NAME: Final = re.compile(r"(title|description|keywords)([:_-][A-Za-z]{2}([_-][A-Za-z]{2,4})?)?")
_PART: Final = re.compile(r'\s*(?P<sign>-?)(?:"(?P<phrase>[^"]*)"|(?P<word>[^\s"]+))')
_HINT: Final = 'all words must be there; "a phrase", begin*, -without, this OR that'


def words_of(item_id: str, item: Mapping[str, Any]) -> str:
    """Return the text of an item that is searched."""
    parts = [item_id]
    for name, value in properties_of(item).items():
        if _is_searched(name):
            parts += _texts(value)
    return "\n".join(parts)[:ITEM_CHARS_MAX].encode(errors="replace").decode()


def match_expression(text: str) -> str:
    """Return the expression for FTS5 of what a person wrote, each word as a quoted string.

    Raises:
        UsageError: nothing to look for, or too much.
    """
    if len(text) > QUERY_CHARS_MAX:
        raise UsageError(f"the text is longer than {QUERY_CHARS_MAX} characters", hint=_HINT)
    parts = list(_parts(text))
    if len(parts) > QUERY_PARTS_MAX:
        raise UsageError(f"the text has more than {QUERY_PARTS_MAX} words", hint=_HINT)
    wanted, unwanted = _groups(parts)
    if not wanted:
        raise UsageError(f"there is no word in {text[:60]!r} to look for", hint=_HINT)
    found = " AND ".join(f"({' OR '.join(group)})" for group in wanted)
    return f"({found}) NOT ({' OR '.join(unwanted)})" if unwanted else found


@lru_cache(maxsize=1_024)  # the items of a collection have the same few names
def _is_searched(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def _groups(parts: list[tuple[str, str]]) -> tuple[list[list[str]], list[str]]:
    """Return what must be there, alternatives together, and what must not."""
    wanted: list[list[str]] = []
    unwanted: list[str] = []
    is_joined = False
    for sign, said in parts:
        if said == "OR":
            is_joined = bool(wanted)
        elif sign:
            unwanted.append(said)
        elif is_joined:
            wanted[-1].append(said)
            is_joined = False
        else:
            wanted.append([said])
    return wanted, unwanted


def _parts(text: str) -> Iterator[tuple[str, str]]:
    for found in _PART.finditer(text):
        phrase, word = found["phrase"], found["word"]
        if word == "OR":
            yield "", "OR"
            continue
        said = phrase if word is None else word.rstrip("*")
        if any(map(_is_word, said)):
            star = "*" if word is not None and word.endswith("*") else ""
            yield found["sign"], f'"{_bindable(said)}"{star}'


def _is_word(character: str) -> bool:
    """Say whether FTS5 takes a character as part of a word (sqlite.org/fts5.html 4.3.1)."""
    return unicodedata.category(character)[0] in "LN" or unicodedata.category(character) == "Co"


def _bindable(text: str) -> str:
    return text.replace("\x00", " ").encode(errors="replace").decode()


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []
