"""The limits of the code are those that the pages of the protocol state."""

from __future__ import annotations

import re

import pytest

from meshnode.core import filelist, limits
from meshnode.core.comparisons import LACKED_MAX, ROUNDS_MAX
from meshnode.core.reconciliation import LISTED_MAX
from tests.protocol.test_vectors import PROTOCOL

UNITS = {"": 1, "bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20}
NUMBER = r"(?P<number>[\d,]+) ?(?P<unit>KiB|MiB|bytes)?"


@pytest.mark.parametrize(
    ("limit", "rule", "sentence"),
    [
        (limits.SIGNED_HEAD_BYTES_MAX, "L-90", "signed head {}"),
        (limits.SIGNED_ROOT_BYTES_MAX, "L-90", "root {}"),
        (limits.ENTRY_BYTES_MAX, "L-90", "; entry {}"),
        (limits.HEAD_ENTRIES_MAX, "L-90", "{} entries a head"),
        (limits.HEAD_ENTRIES_MAX, "L-33", "at most {} larger"),
        (limits.ANNOUNCEMENT_BYTES_MAX, "L-90", "announcement {}"),
        (limits.ANNOUNCED_HEADS_MAX, "L-90", "{} heads"),
        (limits.ANNOUNCED_ENTRY_BYTES_MAX, "R-24", "at most {}"),
        (limits.STATEMENT_BYTES_MAX, "L-90", "statement {}"),
        (limits.PURGE_BYTES_MAX, "L-90", "purge {}"),
        (limits.NOTICE_BYTES_MAX - 64, "L-90", "notice {} and 64 bytes"),
        (limits.SEEDS_BYTES_MAX, "L-90", "seed list {}"),
        (limits.SEED_FILE_BYTES_MAX, "L-90", "seed file {}"),
        (limits.SITE_CATALOGUES_MAX, "N-93", "at most {} catalogue ids"),
        (limits.SITE_BYTES_MAX, "N-93", "at most {}; other members"),
        (limits.FORK_BYTES_MAX - 64, "L-90", "fork {} and 64 bytes"),
        (limits.SNAPSHOT_BYTES_MAX, "L-90", "snapshot {}"),
        (filelist.FILE_LIST_BYTES_MAX, "L-90", "file list {}"),
        (limits.OBJECT_BYTES_MAX, "L-90", "object {}"),
        (limits.BRANCHES_MAX, "L-91", "{} branches a log"),
        (limits.BRANCHES_MAX, "L-38", "up to {} branches"),
        (limits.LIVE_SEGMENTS_MAX, "L-91", "{} live segments"),
        (limits.LIVE_SEGMENTS_MAX, "L-93", "more than {} live segments"),
        (limits.KEYS_MAX, "L-92", "{} keys"),
        (limits.WRITERS_MAX, "L-92", "{} writers"),
        (limits.DELEGATES_MAX, "L-92", "{} delegates"),
        (limits.MIRRORS_MAX, "L-92", "{} URLs"),
        (limits.URL_BYTES_MAX, "L-92", "URLs of {}"),
        (limits.ROOT_VERSION_MAX, "L-6", "at most {} versions"),
        (limits.PURGES_MAX, "L-65", "At least {} purges"),
        (limits.RECONCILIATION_BYTES_MAX, "N-77", "ranges and {}."),
        (limits.RECONCILIATION_RANGES_MAX, "N-77", "at most {} ranges"),
        (limits.RECONCILIATION_BYTES_MIN, "N-75", "({} at least) and"),
        (limits.ADMITTED_MAX, "N-75", "at most {} catalogues"),
        (limits.ISSUER_BYTES_MAX, "R-82", "at most {} of signed statements"),
        (limits.STATEMENT_BYTES_MAX, "N-13", "{} on that of version 2"),
        (ROUNDS_MAX, "N-78", "after {} messages"),
        (LACKED_MAX, "N-78", "or {} ids"),
        (LISTED_MAX + 1, "N-78", "fewer than {},"),
        (limits.STRETCH_BYTES_MAX, "N-83", "at most {} of signed heads"),
        (limits.STRETCH_ENTRIES_MAX, "N-83", "and entries and {} entries"),
        (limits.STATIC_POINTER_BYTES_MAX, "N-89", "pointer {}"),
        (limits.STATIC_CATALOGUES_MAX, "N-89", "{} catalogues"),
        (limits.STATIC_INDEX_BYTES_MAX, "N-89", "index {}"),
        (limits.STATIC_STRETCHES_MAX, "N-89", "{} files a branch"),
    ],
)
def test_a_limit_is_what_its_rule_states(limit: int, rule: str, sentence: str) -> None:
    wanted = re.escape(sentence).replace(r"\{\}", NUMBER)
    found = re.search(wanted, text_of(rule))
    assert found is not None, text_of(rule)
    number = int(found["number"].replace(",", ""))
    assert number * UNITS[found["unit"] or ""] == limit


def text_of(rule: str) -> str:
    """Return a rule's whole text in one line."""
    pages = "\n".join(path.read_text(encoding="utf-8") for path in sorted(PROTOCOL.glob("*.md")))
    [found] = re.findall(rf"^- \*\*{rule}\*\* (.*?)(?=^- \*\*|^$)", pages, re.MULTILINE | re.DOTALL)
    return " ".join(str(found).split())
