"""The tables of `log.db`, and what takes over a file of each former format.

Owns the format's number. What the rows mean, and when they are written, is in `store`.
"""

from __future__ import annotations

from typing import Final

SCHEMA_VERSION: Final = 5

_SCHEMA = """
CREATE TABLE followed (catalogue BLOB PRIMARY KEY) WITHOUT ROWID;
"""
_LOGS = """
CREATE TABLE heads (catalogue BLOB, writer BLOB, branch INTEGER, seq INTEGER, raw BLOB NOT NULL,
                    PRIMARY KEY (catalogue, writer, branch, seq)) WITHOUT ROWID;
CREATE TABLE entries (catalogue BLOB, writer BLOB, branch INTEGER, position INTEGER,
                      raw BLOB NOT NULL,
                      PRIMARY KEY (catalogue, writer, branch, position)) WITHOUT ROWID;
CREATE TABLE forks (catalogue BLOB, writer BLOB, raw BLOB NOT NULL,
                    PRIMARY KEY (catalogue, writer)) WITHOUT ROWID;
"""
_TRUST = """
CREATE TABLE roots (catalogue BLOB, version INTEGER, raw BLOB NOT NULL,
                    PRIMARY KEY (catalogue, version, raw)) WITHOUT ROWID;
CREATE TABLE stamps (catalogue BLOB, entry BLOB, stored INTEGER NOT NULL,
                     PRIMARY KEY (catalogue, entry)) WITHOUT ROWID;
"""
_DENIALS = """
CREATE TABLE deny_lists (name TEXT PRIMARY KEY, raw BLOB NOT NULL) WITHOUT ROWID;
"""
_BEGINNINGS = """
CREATE TABLE beginnings (catalogue BLOB, writer BLOB, branch INTEGER, position INTEGER NOT NULL,
                         raw BLOB NOT NULL, PRIMARY KEY (catalogue, writer, branch));
"""
_STATEMENTS = """
CREATE TABLE statements (issuer BLOB, kind TEXT, subject BLOB, raw BLOB NOT NULL,
                         PRIMARY KEY (issuer, kind, subject)) WITHOUT ROWID;
"""
# Format 1 kept one root a version, and no times.
_FROM_FORMAT_1 = f"""
ALTER TABLE roots RENAME TO former;
{_TRUST}
INSERT INTO roots SELECT catalogue, version, raw FROM former;
DROP TABLE former;
"""  # noqa: S608 - a constant
# Format 2 kept one branch a log, and no deny lists.
_FROM_FORMAT_2 = f"""
ALTER TABLE heads RENAME TO former_heads;
ALTER TABLE entries RENAME TO former_entries;
{_LOGS}
INSERT INTO heads SELECT catalogue, writer, 0, seq, raw FROM former_heads;
INSERT INTO entries SELECT catalogue, writer, 0, position, raw FROM former_entries;
DROP TABLE former_heads;
DROP TABLE former_entries;
{_DENIALS}
"""  # noqa: S608 - a constant
# What makes the newest of each format, from that of an empty file (0) on.
TO_NEWEST: Final = (
    _SCHEMA + _LOGS + _TRUST + _DENIALS + _BEGINNINGS + _STATEMENTS,
    _FROM_FORMAT_1 + _FROM_FORMAT_2 + _BEGINNINGS + _STATEMENTS,
    _FROM_FORMAT_2 + _BEGINNINGS + _STATEMENTS,
    _BEGINNINGS + _STATEMENTS,  # format 3 had every log from its first head
    _STATEMENTS,  # format 4 kept no statements
)
