"""Opens the catalogue of a machine, or sets aside one that can't be trusted and begins a new one.

Invariants: a file that is corrupt, of a newer version or made on another machine is kept under another name, with a
warning, and nothing in it is believed; whatever keeps us from writing is a `StateError` before anything is uploaded.
The file is 0600 in a folder that is 0700 where it was made here, whatever the umask. Two openers take turns.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

from zfs_push_backups.catalogue import schema
from zfs_push_backups.catalogue.database import Database, is_corruption, make_durable, state_error
from zfs_push_backups.catalogue.holds import Holds
from zfs_push_backups.catalogue.runs import Runs
from zfs_push_backups.errors import StateError

FILE_NAME: Final = "catalogue.sqlite3"
SMALLEST_BYTES: Final = 512
OPENING_SECONDS: Final = 30.0
TICK_SECONDS: Final = 0.05
_WHY: Final = {
    "corrupt": "is damaged",
    "newer": "was written by a newer version",
    "other-machine": "was made on another machine",
}

log = logging.getLogger(__name__)


class Catalogue:
    """The open catalogue; a context manager."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @classmethod
    def open(cls, base_dir: Path, *, machine: str) -> Catalogue:
        """Open it for writing, made if need be. `machine` tells this machine from a clone of it. Raises StateError."""
        path = base_dir / FILE_NAME
        with _errors_named(path), _turn(_made_folder(base_dir)):
            _make_file(path)
            database = _trusted(path, machine) or _trusted(path, machine)
            if database is None:
                raise StateError(f"the run state in {path} was spoilt again as soon as it was made")
            _sync_folder(base_dir)
            return cls(database)

    @classmethod
    def look(cls, base_dir: Path, *, machine: str) -> Catalogue | None:
        """Open it for reading, beside a writer; None where there is none to be trusted. Changes nothing."""
        path = base_dir / FILE_NAME
        with _errors_named(path):
            if not path.exists() or path.stat().st_size == 0:
                return None
            path.open("rb").close()
            database = Database(path, read_only=True)
            why = _distrust(database, machine)
            if why is None and not schema.is_empty(database.connection):
                return cls(database)
            database.close()
        if why is not None:
            log.warning("the run state in %s %s, so it is not shown; the next push sets it aside", path, _WHY[why])
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close; everything is on disk already."""
        self.database.close()

    @functools.cached_property
    def runs(self) -> Runs:
        """The runs."""
        return Runs(self.database)

    @functools.cached_property
    def holds(self) -> Holds:
        """The journal of holds."""
        return Holds(self.database)


def _trusted(path: Path, machine: str) -> Database | None:
    """The open file, or None when it had to be set aside and a new, empty one lies in its place."""
    database = Database(path)
    try:
        why = _distrust(database, machine)
        if why is None:
            make_durable(database.connection)
            if schema.is_empty(database.connection):
                schema.create(database.connection, machine)
            return database
    except sqlite3.Error as error:
        database.close()
        if not is_corruption(error):
            raise
        why = "corrupt"
    except BaseException:
        database.close()
        raise
    database.close()
    _set_aside(path, why)
    _make_file(path)
    return None


def _distrust(database: Database, machine: str) -> str | None:
    if 0 < database.path.stat().st_size < SMALLEST_BYTES:
        return "corrupt"  # SQLite would take it for an empty one
    try:
        return schema.distrust(database.connection, machine)
    except sqlite3.Error as error:
        if is_corruption(error):
            return "corrupt"
        raise


def _set_aside(path: Path, why: str) -> None:
    """Rename the file, then what belongs to it: a log that stayed behind an absent file is dropped by SQLite."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    target = path.with_name(f"{path.name}.{why}-{stamp}")
    path.rename(target)
    for suffix in ("-wal", "-shm", "-journal"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(target.with_name(target.name + suffix))
    _sync_folder(path.parent)
    log.warning(
        "the run state in %s %s and was set aside as %s: nothing in it is used, and unfinished runs begin anew",
        path,
        _WHY[why],
        target.name,
    )


def _made_folder(base_dir: Path) -> Path:
    missing = [folder for folder in (base_dir, *base_dir.parents) if not folder.exists()]
    for folder in reversed(missing):
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            folder.chmod(0o700 if folder == base_dir else 0o755)
            _sync_folder(folder.parent)
    return base_dir


def _make_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        # The mode also decides that of the log beside it; the umask, or who restored the file, may have changed it.
        os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _turn(folder: Path) -> Iterator[None]:
    """One opener at a time: else the second would set aside what the first has just made."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + OPENING_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise StateError(
                        f"the run state in {folder} is being opened by another run for {OPENING_SECONDS:.0f} s",
                        hint="look what keeps that one, then run again",
                    ) from None
                time.sleep(TICK_SECONDS)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _errors_named(path: Path) -> Iterator[None]:
    """Turn what the system and SQLite say into StateError."""
    try:
        yield
    except OSError as error:
        raise StateError(
            f"the run state in {path} can't be used: {error.strerror}",
            hint="make base_dir a writable folder for this user, or name another one in the configuration",
        ) from error
    except sqlite3.Error as error:
        raise state_error(path, error) from error
