"""The tables of the catalogue, and how a new file gets them.

Invariant: `VERSION` grows with every change of `TABLES`, and an upgrade of the older shape is written beside it.
Rationale: what is asked for by value has a column, all other facts of a run are one JSON object; guids are text, since
SQLite's integers are signed.
"""

from __future__ import annotations

import contextlib
import functools
import sqlite3
from typing import Final

from zfs_push_backups.catalogue import holds

VERSION: Final = 1
APPLICATION_ID: Final = 0x7A706273

TABLES: Final = (
    "CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    """CREATE TABLE runs (
  id TEXT PRIMARY KEY,
  host TEXT NOT NULL,
  repository TEXT NOT NULL,
  source TEXT NOT NULL,
  task TEXT,
  dataset TEXT NOT NULL,
  snapshot TEXT NOT NULL,
  level INTEGER NOT NULL,
  resumable INTEGER NOT NULL,
  begun INTEGER NOT NULL,
  facts TEXT NOT NULL,
  begin_record TEXT,
  manifest_key TEXT,
  manifest TEXT,
  splice_refused TEXT,
  outcome TEXT,
  ended INTEGER,
  error TEXT,
  swept INTEGER NOT NULL DEFAULT 0,
  parts INTEGER NOT NULL DEFAULT 0,
  stream_bytes INTEGER NOT NULL DEFAULT 0,
  sealed_bytes INTEGER NOT NULL DEFAULT 0,
  pid INTEGER
)""",
    """CREATE TABLE sessions (
  run TEXT NOT NULL,
  number INTEGER NOT NULL,
  session TEXT NOT NULL,
  PRIMARY KEY (run, number)
) WITHOUT ROWID""",
    """CREATE TABLE parts (
  run TEXT NOT NULL,
  number INTEGER NOT NULL,
  stream_length INTEGER NOT NULL,
  sealed_length INTEGER NOT NULL,
  entry TEXT NOT NULL,
  PRIMARY KEY (run, number)
) WITHOUT ROWID""",
)


def create(connection: sqlite3.Connection, machine: str) -> None:
    """Make the tables of an empty file, in one transaction."""
    connection.execute("BEGIN IMMEDIATE")
    _make_tables(connection)
    connection.execute("INSERT INTO about VALUES ('machine', ?)", (machine,))
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")


def distrust(connection: sqlite3.Connection, machine: str) -> str | None:
    """Say why the content can't be trusted, in one word for the file's new name; None if it can, or if it is empty."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version == 0 and is_empty(connection):
        return None
    if version > VERSION:
        return "newer"
    if _shape(connection) != _own_shape() or connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
        return "corrupt"
    made_on = connection.execute("SELECT value FROM about WHERE key = 'machine'").fetchone()
    return None if made_on == (machine,) else "other-machine"


def _make_tables(connection: sqlite3.Connection) -> None:
    for statement in TABLES:
        connection.execute(statement)
    holds.create(connection)


def _shape(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    return connection.execute("SELECT name, sql FROM sqlite_master WHERE sql NOT NULL ORDER BY name").fetchall()


@functools.cache
def _own_shape() -> list[tuple[str, str]]:
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        _make_tables(connection)
        return _shape(connection)


def is_empty(connection: sqlite3.Connection) -> bool:
    """Whether the file has no tables yet."""
    return int(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]) == 0
