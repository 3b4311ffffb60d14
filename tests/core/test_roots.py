"""The description of an institution in its root: a few short fields of text or numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meshnode.core.encoding import MalformedRecordError
from meshnode.core.limits import INTEGER_MAX, META_MAX, META_TEXT_BYTES_MAX
from meshnode.core.roots import Root, decode_root, encode_root
from tests.core.institutions import Institution

ROOT = Institution("Ville").root


def described(meta: object) -> Root:
    return replace(ROOT, meta=meta)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "meta",
    [
        {},
        {f"field {number}": number for number in range(META_MAX)},
        {"title": "x" * META_TEXT_BYTES_MAX},
        {"founded": INTEGER_MAX},
    ],
    ids=["none", "as many as allowed", "the longest text", "the greatest number"],
)
def test_a_description_is_read_as_it_was_written(meta: dict[str, str | int]) -> None:
    assert decode_root(encode_root(described(meta))).meta == meta


@pytest.mark.parametrize(
    ("meta", "reason"),
    [
        ({f"field {number}": number for number in range(META_MAX + 1)}, "not a map of at most"),
        (["title", "Ville"], "not a map of at most"),
        ({"title": "x" * (META_TEXT_BYTES_MAX + 1)}, "is not text of 0 to 1024 bytes"),
        ({"title": None}, "None is not an integer"),
        ({"founded": -1}, "-1 is not an integer"),
        ({"": "no name"}, "'' is not text of 1 to 255 bytes"),
    ],
    ids=["too many", "a list", "too long a text", "null", "a negative number", "without a name"],
)
def test_another_description_is_refused(meta: object, reason: str) -> None:
    with pytest.raises(MalformedRecordError, match=reason):
        decode_root(encode_root(described(meta)))
