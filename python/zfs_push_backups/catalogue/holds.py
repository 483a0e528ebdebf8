"""The journal of holds: each is noted before it is taken and forgotten after it was released.

Invariant: so a crash in between leaves a note without a hold, never a hold that nobody can name. A guid is text,
because SQLite's numbers are signed.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime

from zfs_push_backups.catalogue.records import HeldSnapshot
from zfs_push_backups.errors import StateError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS holds (
    repository TEXT NOT NULL,
    tag TEXT NOT NULL,
    dataset TEXT NOT NULL,
    snapshot TEXT NOT NULL,
    snapshot_guid TEXT NOT NULL,
    task TEXT,
    reason TEXT NOT NULL,
    since TEXT NOT NULL,
    PRIMARY KEY (repository, tag, dataset, snapshot_guid)
)
"""
_COLUMNS = "repository, tag, dataset, snapshot, snapshot_guid, task, reason, since"


def create(connection: sqlite3.Connection) -> None:
    """Make the table, in a transaction of the caller's."""
    connection.execute(_SCHEMA)


class Holds:
    """The noted holds. Every change is durable when its call returns, unless a transaction of the caller's is open."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def noted(self, repository: str | None = None) -> tuple[HeldSnapshot, ...]:
        """The holds for one repository, or all, by dataset and time."""
        where, values = ("", ()) if repository is None else (" WHERE repository = ?", (repository,))
        with _as_state_error("read"):
            rows = self._connection.execute(
                f"SELECT {_COLUMNS} FROM holds{where} ORDER BY dataset, since, snapshot",  # noqa: S608  # constants
                values,
            ).fetchall()
        return tuple(_held(row) for row in rows)

    def note(self, held: HeldSnapshot) -> None:
        """Note a hold. Noted before: name, task and reason are brought up to date, `since` stays."""
        values = (
            held.repository,
            held.tag,
            held.dataset,
            held.snapshot,
            str(held.snapshot_guid),
            held.task,
            held.reason,
            held.since.astimezone(UTC).isoformat(),
        )
        with _as_state_error("written"), self._connection:
            self._connection.execute(
                f"INSERT INTO holds ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608  # constants
                " ON CONFLICT (repository, tag, dataset, snapshot_guid) DO UPDATE SET"
                " snapshot = excluded.snapshot, task = excluded.task, reason = excluded.reason",
                values,
            )

    def forget(self, repository: str, dataset: str, snapshot_guid: int, *, tag: str | None = None) -> None:
        """Forget a hold that was released; without `tag` under whatever tag it was."""
        with _as_state_error("written"), self._connection:
            self._connection.execute(
                "DELETE FROM holds WHERE repository = ? AND dataset = ? AND snapshot_guid = ? AND tag = ifnull(?, tag)",
                (repository, dataset, str(snapshot_guid), tag),
            )


@contextlib.contextmanager
def _as_state_error(verb: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StateError(
            f"the journal of holds cannot be {verb}: {error}", hint="look at space and rights of base_dir"
        ) from error


def _held(row: tuple[str, ...]) -> HeldSnapshot:
    repository, tag, dataset, snapshot, guid, task, reason, since = row
    return HeldSnapshot(
        repository=repository,
        tag=tag,
        dataset=dataset,
        snapshot=snapshot,
        snapshot_guid=int(guid),
        task=task,
        reason=reason,
        since=datetime.fromisoformat(since),
    )
