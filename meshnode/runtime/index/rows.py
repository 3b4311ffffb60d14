"""Rows of the index within one write: put in, taken out, and the one that counts made visible.

Every function works in a transaction that its caller opened on the writing connection.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import apsw

from meshnode.core.identifiers import CatalogueId, Digest, sha256
from meshnode.core.names import SegmentRef, Withdrawal
from meshnode.core.rows import CheckedRow
from meshnode.runtime.index.bodies import Bodies, Expander
from meshnode.runtime.index.dguids import dguid_of
from meshnode.runtime.index.queryables import (
    NAMES_MAX,
    PROMOTED_COLUMNS,
    parse_item,
    promoted,
    properties_of,
    property_names,
)
from meshnode.runtime.index.times import MOMENT_NONE
from meshnode.runtime.index.words import words_of

_PLACES: Final = ",".join("?" * (7 + len(PROMOTED_COLUMNS)))
_INSERT_ITEM: Final = f"INSERT INTO item VALUES (?,?,?,?,?,0,{_PLACES})"  # noqa: S608 - a constant
_INSERT_NAME = """
INSERT OR IGNORE INTO property SELECT ?1, ?2
WHERE (SELECT count(*) FROM property WHERE segment = ?1) < ?3
"""
_COLLECTION_OF = "SELECT collection FROM segment WHERE key = ?"
# Items of a segment for which another segment or a withdrawal has a say.
_TOUCH_CONTESTED = """
INSERT INTO touched
  SELECT mine.id FROM item AS mine WHERE mine.segment = ?1 AND (
    EXISTS (SELECT 1 FROM item AS other
            WHERE other.collection = mine.collection AND other.id = mine.id
            AND other.segment <> ?1)
    OR EXISTS (SELECT 1 FROM tombstone
               WHERE tombstone.collection = mine.collection AND tombstone.id = mine.id))
"""
_SHOW_UNCONTESTED = """
UPDATE item SET visible = 1 WHERE segment = ? AND id NOT IN (SELECT id FROM touched)
"""
_LIVE_ROWS = """
SELECT item.key, item.clock, writer, digest FROM item JOIN segment ON segment.key = item.segment
WHERE item.collection = ? AND id = ? AND live
"""
# First what goes, then what comes: the feed of changes sees one item replaced, never two that show.
_HIDE_OTHERS = """
UPDATE item SET visible = 0 WHERE collection = ? AND id = ? AND key <> ? AND visible
"""
_SHOW = "UPDATE item SET visible = 1 WHERE key = ? AND NOT visible"
_FORMER_SELF = """
SELECT old.key FROM segment AS old
JOIN segment AS new ON old.collection = new.collection AND old.digest = new.digest
WHERE new.key = ? AND old.live
"""
_OURS = "collection IN (SELECT key FROM collection WHERE catalogue = ?1)"
_WITHDRAWN = """
INSERT INTO withdrawn VALUES (?1,?2,?3,?4)
ON CONFLICT DO UPDATE SET clock = max(clock, ?3), sealed = max(sealed, ?4)
"""
# The items of a catalogue whose withdrawals were others, or none, before or after.
_CHANGED_WITHDRAWALS = f"""
SELECT DISTINCT collection, id FROM (
  SELECT * FROM (SELECT * FROM tombstone WHERE {_OURS} EXCEPT SELECT * FROM withdrawn)
  UNION ALL
  SELECT * FROM (SELECT * FROM withdrawn EXCEPT SELECT * FROM tombstone WHERE {_OURS}))
"""  # noqa: S608 - a constant
_DELETE_WITHDRAWALS = f"DELETE FROM tombstone WHERE {_OURS}"  # noqa: S608 - a constant
_SEGMENTS_WITH = """
SELECT DISTINCT digest FROM item JOIN segment ON segment.key = item.segment
WHERE item.collection = ? AND id = ? AND item.clock < ? ORDER BY 1
"""
_ROWS_OF = "SELECT key, segment FROM item WHERE collection = ? AND id = ? AND clock < ?"
_BODY = """
SELECT zstd, sample FROM body JOIN item USING (key) JOIN segment ON segment.key = item.segment
WHERE body.key = ?
"""


def collection_key(database: apsw.Connection, catalogue: CatalogueId, name: str) -> int:
    names = (catalogue, name)
    insert = "INSERT INTO collection (catalogue, name) VALUES (?,?) ON CONFLICT DO NOTHING"
    database.execute(insert, names)
    return number(database, "SELECT key FROM collection WHERE catalogue = ? AND name = ?", *names)


def begin(database: apsw.Connection, ref: SegmentRef) -> int:
    """Make a segment that is not live yet; return its key."""
    collection = collection_key(database, ref.log.catalogue, ref.collection)
    database.execute(
        "INSERT INTO segment VALUES (NULL,?,?,?,?,0,x'')",
        (collection, ref.digest, ref.log.writer, ref.clock),
    )
    return database.last_insert_rowid()


def insert(
    database: apsw.Connection,
    segment: int,
    sample: bytes,
    rows: Sequence[tuple[CheckedRow, bytes]],
) -> None:
    """Add rows with their compressed bodies to a segment that is not live yet."""
    query = "SELECT collection, clock FROM segment WHERE key = ?"
    [(collection, clock)] = select(database, query, segment)
    first = number(database, "SELECT ifnull(max(key), 0) + 1 FROM item")
    items, bodies, texts, dguids = [], [], [], []
    names: dict[str, None] = {}
    for key, (row, body) in enumerate(rows, first):
        item = parse_item(row.item)  # one at a time: parsed they are ten times as large
        own = (key, collection, row.id, segment, row.clock or clock, _moment(row), *_span(row))
        items.append((*own, *row.bbox, *promoted(item)))
        bodies.append((key, body))
        texts.append((key, words_of(row.id, item)))
        names.update(dict.fromkeys(property_names(item)))
        if found := dguid_of(row.id, properties_of(item)):
            dguids.append((found.place, found.vintage, key))
    database.executemany(_INSERT_ITEM, items)
    database.executemany("INSERT INTO body VALUES (?,?)", bodies)
    database.executemany("INSERT INTO dguid VALUES (?,?,?)", dguids)
    database.executemany("INSERT INTO word (rowid, text) VALUES (?,?)", texts)
    _note_names(database, segment, names)
    database.execute("UPDATE segment SET sample = ? WHERE key = ?", (sample, segment))


def _note_names(database: apsw.Connection, segment: int, names: Iterable[str]) -> None:
    """Remember which properties the items of a segment have: a search may ask for those."""
    database.executemany(_INSERT_NAME, ((segment, name, NAMES_MAX) for name in names))


def publish(database: apsw.Connection, segment: int) -> None:
    """Make a segment live in place of its former self, and show those of its rows that count."""
    for (former,) in select(database, _FORMER_SELF, segment):
        remove(database, former)
    database.execute("UPDATE segment SET live = 1 WHERE key = ?", (segment,))
    database.execute(_TOUCH_CONTESTED, (segment,))
    database.execute(_SHOW_UNCONTESTED, (segment,))
    _mark_touched(database, number(database, _COLLECTION_OF, segment))


def remove(database: apsw.Connection, segment: int) -> None:
    """Take a segment out; rows it had beaten come back."""
    collection = number(database, _COLLECTION_OF, segment)
    database.execute(_TOUCH_CONTESTED, (segment,))
    database.execute("DELETE FROM item WHERE segment = ?", (segment,))
    database.execute("DELETE FROM segment WHERE key = ?", (segment,))
    _mark_touched(database, collection)


def set_hidden(
    database: apsw.Connection, catalogue: CatalogueId, withdrawals: Sequence[Withdrawal]
) -> None:
    """Make exactly these the withdrawals of a catalogue, and show the rows that count then."""
    database.execute("DELETE FROM withdrawn")
    for hidden in withdrawals:
        collection = collection_key(database, catalogue, hidden.collection)
        sealed = hidden.clock if hidden.erases else 0
        rows = [(collection, id_, hidden.clock, sealed) for id_ in hidden.ids]
        database.executemany(_WITHDRAWN, rows)
    changed = select(database, _CHANGED_WITHDRAWALS, catalogue)
    database.execute(_DELETE_WITHDRAWALS, (catalogue,))
    database.execute("INSERT INTO tombstone SELECT * FROM withdrawn")
    for collection, id_ in changed:
        _mark(database, collection, id_)


def segments_with(
    database: apsw.Connection, collection: int, ids: Sequence[str], clock: int
) -> tuple[Digest, ...]:
    """Return the segments that hold a row of these items with a smaller clock."""
    found = (select(database, _SEGMENTS_WITH, collection, id_, clock) for id_ in ids)
    digests = dict.fromkeys(Digest(digest) for rows in found for (digest,) in rows)
    return tuple(digests)


def erase(database: apsw.Connection, collection: int, ids: Sequence[str], clock: int) -> None:
    """Delete rows of these items with a smaller clock, and every trace of them in other rows."""
    for id_ in ids:
        for key, segment in select(database, _ROWS_OF, collection, id_, clock):
            item = _item(database, key)
            [(sample,)] = select(database, "SELECT sample FROM segment WHERE key = ?", segment)
            database.execute("DELETE FROM item WHERE key = ?", (key,))
            if item.startswith(Expander().beginning(sample)):
                _compress_anew(database, segment)
            _note_names_anew(database, segment)
    # Words of rows that are gone stay in the pages of FTS5 until it merges them.
    database.execute("INSERT INTO word (word) VALUES ('optimize')")


def _compress_anew(database: apsw.Connection, segment: int) -> None:
    """Take another item of a segment as the one that its bodies are compressed against."""
    keys = select(database, "SELECT key FROM item WHERE segment = ? ORDER BY key", segment)
    bodies = Bodies()
    for (key,) in keys:
        compressed = bodies.compress(_item(database, key))
        database.execute("INSERT INTO anew VALUES (?,?)", (key, compressed))
    database.execute("UPDATE segment SET sample = ? WHERE key = ?", (bodies.sample, segment))
    database.execute("UPDATE body SET zstd = anew.zstd FROM anew WHERE anew.key = body.key")
    database.execute("DELETE FROM anew")


def _note_names_anew(database: apsw.Connection, segment: int) -> None:
    """Forget the properties that only erased items of a segment had."""
    database.execute("DELETE FROM property WHERE segment = ?", (segment,))
    for (key,) in select(database, "SELECT key FROM item WHERE segment = ?", segment):
        _note_names(database, segment, property_names(parse_item(_item(database, key))))


def select(
    database: apsw.Connection, sql: str, *values: int | float | str | bytes
) -> list[tuple[Any, ...]]:
    return database.execute(sql, values).fetchall()


def number(database: apsw.Connection, sql: str, *values: int | float | str | bytes) -> int:
    """Return the one number that a statement selects."""
    [(value,)] = select(database, sql, *values)
    assert isinstance(value, int)
    return value


def _mark_touched(database: apsw.Connection, collection: int) -> None:
    for (id_,) in select(database, "SELECT id FROM touched"):
        _mark(database, collection, id_)
    database.execute("DELETE FROM touched")


def _mark(database: apsw.Connection, collection: int, id_: str) -> None:
    """Show the row of an item that counts, and no other."""
    rows = select(database, _LIVE_ROWS, collection, id_)
    greatest = max((row[1:3] for row in rows), default=(0, b""))
    tied = [row for row in rows if row[1:3] == greatest]
    if len(tied) > 1:
        tied.sort(key=lambda row: (_item_digest(database, row[0]), row[3]))
    withdrawn = "SELECT ifnull(max(clock), 0) FROM tombstone WHERE collection = ? AND id = ?"
    is_shown = tied and greatest[0] >= number(database, withdrawn, collection, id_)
    shown = tied[-1][0] if is_shown else 0
    database.execute(_HIDE_OTHERS, (collection, id_, shown))
    database.execute(_SHOW, (shown,))


def _item_digest(database: apsw.Connection, key: int) -> Digest:
    return sha256(_item(database, key))


def _item(database: apsw.Connection, key: int) -> bytes:
    [(body, sample)] = select(database, _BODY, key)
    return Expander().item(sample, body)


def _moment(row: CheckedRow) -> int:
    """Return what the item is ordered by: its datetime, else its end, else its start."""
    for moment in (row.datetime_us, row.end_us, row.start_us):
        if moment is not None:
            return moment
    return MOMENT_NONE


def _span(row: CheckedRow) -> tuple[int | None, int | None]:
    """Return the first and last microsecond; a missing end is the datetime."""
    first = row.datetime_us if row.start_us is None else row.start_us
    last = row.datetime_us if row.end_us is None else row.end_us
    return first, last
