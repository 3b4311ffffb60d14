"""The tables behind the feed of changes: in which order items came to show here, and went.

Every visible row has one line in `change`, every item that no longer shows one in `gone`; a change
moves the item to the end, so a reader who goes on from any line ends with what is visible. Triggers
alone write them. `first` is when the item showed for the first time, `at` is unix seconds. `epoch`
names this index: one that is made anew counts anew, and its readers begin again.
"""

from __future__ import annotations

from typing import Final

import apsw

from meshnode.runtime.index.rows import number
from meshnode.runtime.sqlite import transaction

GONE_MAX: Final = 1_000_000  # lines of items that no longer show, some 50 bytes each

HAS_FEED: Final = "SELECT count(*) FROM sqlite_schema WHERE name = 'feed'"
_HIDE = """
  UPDATE feed SET last = last + 1;
  INSERT INTO gone SELECT last, old.collection, old.id,
    (SELECT first FROM change WHERE key = old.key), unixepoch() FROM feed;
  DELETE FROM change WHERE key = old.key;
"""
_SCHEMA: Final = f"""
CREATE TABLE feed (epoch TEXT NOT NULL, last INTEGER NOT NULL, floor INTEGER NOT NULL);
INSERT INTO feed VALUES (lower(hex(randomblob(4))), 0, 0);
CREATE TABLE change (
  seq INTEGER PRIMARY KEY, key INTEGER NOT NULL UNIQUE, first INTEGER NOT NULL,
  at INTEGER NOT NULL);
CREATE TABLE gone (
  seq INTEGER PRIMARY KEY, collection INTEGER NOT NULL, id TEXT NOT NULL, first INTEGER NOT NULL,
  at INTEGER NOT NULL, UNIQUE (collection, id));
INSERT INTO change SELECT row_number() OVER (ORDER BY moment_us, key), key,
  row_number() OVER (ORDER BY moment_us, key), unixepoch() FROM item WHERE visible;
UPDATE feed SET last = (SELECT count(*) FROM change);

CREATE TRIGGER change_shown AFTER UPDATE OF visible ON item WHEN new.visible > old.visible BEGIN
  UPDATE feed SET last = last + 1;
  INSERT INTO change SELECT last, new.key, ifnull(
    (SELECT first FROM gone WHERE collection = new.collection AND id = new.id), last), unixepoch()
    FROM feed;
  DELETE FROM gone WHERE collection = new.collection AND id = new.id;
END;
CREATE TRIGGER change_hidden AFTER UPDATE OF visible ON item WHEN new.visible < old.visible BEGIN
{_HIDE}END;
CREATE TRIGGER change_removed AFTER DELETE ON item WHEN old.visible BEGIN
{_HIDE}END;
"""  # noqa: S608 - a constant
_OLDEST_KEPT = "SELECT ifnull((SELECT seq FROM gone ORDER BY seq DESC LIMIT 1 OFFSET ?), 0)"


def ensure(database: apsw.Connection) -> None:
    """Make the tables if they are not there; items that show already count as first shown now.

    Forgets the oldest of more than GONE_MAX lines of items that no longer show: readers who would
    have needed them are told to begin again.
    """
    with transaction(database):
        if not number(database, HAS_FEED):
            database.execute(_SCHEMA)
        floor = number(database, _OLDEST_KEPT, GONE_MAX)
        database.execute("DELETE FROM gone WHERE seq <= ?", (floor,))
        database.execute("UPDATE feed SET floor = max(floor, ?)", (floor,))
