"""The journal of holds: each is noted before it is taken and forgotten after it was released.

Invariant: so a crash in between leaves a note without a hold, never a hold that nobody can name. One host's tag is
another row than the next one's, as two hosts may be one repository.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from zfs_push_backups.catalogue.records import HeldSnapshot

if TYPE_CHECKING:
    import sqlite3

    from zfs_push_backups.catalogue.database import Database

TABLE: Final = """CREATE TABLE holds (
  repository TEXT NOT NULL,
  tag TEXT NOT NULL,
  dataset TEXT NOT NULL,
  snapshot TEXT NOT NULL,
  snapshot_guid TEXT NOT NULL,
  task TEXT,
  reason TEXT NOT NULL,
  since TEXT NOT NULL,
  PRIMARY KEY (repository, tag, dataset, snapshot_guid)
) WITHOUT ROWID"""
_COLUMNS: Final = "repository, tag, dataset, snapshot, snapshot_guid, task, reason, since"


def create(connection: sqlite3.Connection) -> None:
    """Make the table, in a transaction of the caller's."""
    connection.execute(TABLE)


class Holds:
    """The noted holds. Every change is on disk when its call returns."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def noted(self, repository: str | None = None) -> tuple[HeldSnapshot, ...]:
        """The holds for one repository, or all, by dataset and time."""
        rows = self._database.rows(
            f"SELECT {_COLUMNS} FROM holds WHERE repository = ifnull(?, repository)"  # noqa: S608  # constants
            " ORDER BY dataset, since, snapshot, tag",
            (repository,),
        )
        return tuple(_held(row) for row in rows)

    def note(self, held: HeldSnapshot) -> None:
        """Note a hold. Noted before: name, task and reason are brought up to date, `since` stays."""
        since = held.since.astimezone(UTC).isoformat()
        names = (held.repository, held.tag, held.dataset, held.snapshot, str(held.snapshot_guid))
        with self._database.transaction():
            self._database.rows(
                f"INSERT INTO holds ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608  # constants
                " ON CONFLICT (repository, tag, dataset, snapshot_guid) DO UPDATE SET"
                " snapshot = excluded.snapshot, task = excluded.task, reason = excluded.reason",
                (*names, held.task, held.reason, since),
            )

    def forget(self, repository: str, dataset: str, snapshot_guid: int, *, tag: str | None = None) -> None:
        """Forget a hold that was released; without `tag` under whatever tag it was."""
        with self._database.transaction():
            self._database.rows(
                "DELETE FROM holds WHERE repository = ? AND dataset = ? AND snapshot_guid = ? AND tag = ifnull(?, tag)",
                (repository, dataset, str(snapshot_guid), tag),
            )


def _held(row: tuple[Any, ...]) -> HeldSnapshot:
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
