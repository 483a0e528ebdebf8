"""One open catalogue: transactions that are on disk when they return, and one error for all that keeps them from it.

Invariants: a transaction that returned survives a power cut (WAL with synchronous=FULL); one that raised left nothing.
One thread uses it at a time; closing may be left to another, since a disk that hangs must not keep a stop waiting.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from zfs_push_backups.errors import StateError

# A writer beside us is done in milliseconds; whoever waits for it in here hears no signal meanwhile.
BUSY_SECONDS = 5.0
_CORRUPT = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_HINTS = {
    sqlite3.SQLITE_FULL: "free space there; the next run goes on where this one stopped",
    sqlite3.SQLITE_IOERR: "look at the disk and at its free space",
    sqlite3.SQLITE_BUSY: "another program keeps it locked: end that, then run again",
    sqlite3.SQLITE_LOCKED: "another program keeps it locked: end that, then run again",
    sqlite3.SQLITE_READONLY: "make base_dir writable for this user, or name another one in the configuration",
    sqlite3.SQLITE_CANTOPEN: "make base_dir writable for this user, or name another one in the configuration",
}


class Database:
    """A connection with the guarantees above; rows are plain tuples."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self._depth = 0
        self.connection = _connect(path, read_only=read_only)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close; what was committed is on disk already."""
        with contextlib.suppress(sqlite3.Error):
            self.connection.close()

    def rows(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows. Raises StateError."""
        with self.translated():
            return self.connection.execute(statement, values).fetchall()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, and on disk at the end of the block; one inside another is part of it. Raises StateError."""
        if self._depth:
            yield
            return
        with self.translated():
            self.connection.execute("BEGIN IMMEDIATE")
        self._depth = 1
        try:
            yield
            with self.translated():
                self.connection.execute("COMMIT")
        except BaseException:
            # SQLite has rolled back by itself after some errors, a full disk among them.
            with contextlib.suppress(sqlite3.Error):
                self.connection.execute("ROLLBACK")
            raise
        finally:
            self._depth = 0

    @contextlib.contextmanager
    def translated(self) -> Iterator[None]:
        """Turn SQLite's errors into StateError."""
        try:
            yield
        except sqlite3.Error as error:
            raise state_error(self.path, error) from error


def is_corruption(error: sqlite3.Error) -> bool:
    """Whether the file's content is at fault, not the disk or the rights."""
    return _code(error) in _CORRUPT


def state_error(path: Path, error: sqlite3.Error) -> StateError:
    """The failure in words: which file, why, what to do."""
    hint = "the next run sets it aside and begins without it" if is_corruption(error) else _HINTS.get(_code(error), "")
    return StateError(f"the run state in {path} can't be used: {error}", hint=hint)


def _code(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF


def _connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    """Open the file; the pragmas that read it are left to the caller, who may find it corrupt."""
    # Without a WAL nobody writes now, and a folder that can't be written then needs no shared memory.
    quiet = read_only and not os.access(path.parent, os.W_OK) and not path.with_name(f"{path.name}-wal").exists()
    mode = "?mode=ro&immutable=1" if quiet else "?mode=ro" if read_only else "?mode=rw"
    uri = path.absolute().as_uri() + mode
    try:
        return sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    except sqlite3.Error as error:
        raise state_error(path, error) from error


def make_durable(connection: sqlite3.Connection) -> None:
    """Have every commit on disk before it returns."""
    mode = str(connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]).lower()
    # A file system without shared memory keeps the rollback journal, whose deletion has to be synced as well.
    connection.execute(f"PRAGMA synchronous = {'FULL' if mode == 'wal' else 'EXTRA'}")
    connection.execute("PRAGMA trusted_schema = OFF")
