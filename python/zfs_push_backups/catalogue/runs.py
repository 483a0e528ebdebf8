"""The runs in the catalogue: begun, gone on with, ended, swept.

Invariants: every method that changes something is one transaction, or part of the caller's; a run that has ended keeps
its sessions until nothing of it is left in the store, its parts not. What can't be read of a run is never guessed:
parts end before a row that is damaged, a run with damaged facts is left out, with a warning.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final, cast

from zfs_push_backups.catalogue.database import Database
from zfs_push_backups.catalogue.records import Outcome, Part, RunSummary, SavedRun
from zfs_push_backups.errors import StateError

HISTORY_LENGTH: Final = 500
_FACTS: Final = (
    "dataset_guid",
    "snapshot_guid",
    "createtxg",
    "parent_id",
    "base",
    "base_guid",
    "flags",
    "raw",
    "recipients",
    "compression",
    "part_size_bytes",
    "estimated_bytes",
    "zfs_userland",
    "zfs_kernel",
    "tree_group",
)
_COLUMNS: Final = (
    "id, host, repository, source, task, dataset, snapshot, level, resumable, begun, facts, begin_record,"
    " manifest_key, manifest, splice_refused, outcome, ended, error, swept"
)
_SUMMARY: Final = (
    "id, host, repository, source, task, dataset, snapshot, level, resumable, manifest_key IS NOT NULL, begun, ended,"
    " outcome, error, parts, stream_bytes, sealed_bytes, pid"
)

log = logging.getLogger(__name__)


class Runs:
    """The runs of one catalogue."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.transaction = database.transaction

    def begin(self, run: SavedRun) -> None:
        """Save a run before its first byte is stored."""
        facts = {name: getattr(run, name) for name in _FACTS}
        with self.transaction():
            self._change(
                "INSERT INTO runs (id, host, repository, source, task, dataset, snapshot, level, resumable, begun,"
                " facts, pid) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                *(run.id, run.host, run.repository, run.source, run.task, run.dataset, run.snapshot, run.level),
                *(run.resumable, _seconds(run.begun), json.dumps(facts), os.getpid()),
            )
            for number, session in enumerate(run.sessions):
                self._change("INSERT INTO sessions VALUES (?, ?, ?)", run.id, number, session)

    def new_session(self, run_id: str, session: str, *, keep: int) -> None:
        """Note that a run is gone on with under a new nonce; of its parts the first `keep` stand.

        Raises `StateError` for a run that has ended.
        """
        with self.transaction():
            if not self.database.rows("SELECT 1 FROM runs WHERE id = ? AND outcome IS NULL", (run_id,)):
                raise StateError(f"another process has ended the run {run_id} meanwhile", hint="run again")
            self._change("DELETE FROM parts WHERE run = ? AND number >= ?", run_id, keep)
            self._change(
                "INSERT INTO sessions SELECT ?, count(*), ? FROM sessions WHERE run = ?", run_id, session, run_id
            )
            self._change(
                "UPDATE runs SET (parts, stream_bytes, sealed_bytes) = (SELECT count(*), coalesce(sum(stream_length),"
                " 0), coalesce(sum(sealed_length), 0) FROM parts WHERE run = runs.id), pid = ?, error = NULL"
                " WHERE id = ?",
                os.getpid(),
                run_id,
            )

    def part(self, run_id: str, part: Part) -> None:
        """Note a part that is stored; one of the same number was an earlier attempt."""
        number, stream, sealed = (int(part[name]) for name in ("number", "stream_length", "sealed_length"))
        with self.transaction():
            found = self.database.rows(
                "SELECT stream_length, sealed_length FROM parts WHERE run = ? AND number = ?", (run_id, number)
            )
            known, old_stream, old_sealed = (1, *found[0]) if found else (0, 0, 0)
            self._change(
                "INSERT OR REPLACE INTO parts VALUES (?, ?, ?, ?, ?)", run_id, number, stream, sealed, json.dumps(part)
            )
            self._change(
                "UPDATE runs SET parts = parts + ?, stream_bytes = stream_bytes + ?, sealed_bytes = sealed_bytes + ?"
                " WHERE id = ?",
                *(1 - known, stream - old_stream, sealed - old_sealed, run_id),
            )

    def begin_record(self, run_id: str, record: str) -> None:
        """Note the stream's BEGIN record, in hex."""
        self._change("UPDATE runs SET begin_record = ? WHERE id = ?", record, run_id)

    def splice_refused(self, run_id: str, reason: str) -> None:
        """Note why `zfs send -t` could not go on with a run: it would not another time."""
        self._change("UPDATE runs SET splice_refused = ? WHERE id = ?", reason, run_id)

    def committing(self, run_id: str, manifest_key: str, manifest: str) -> None:
        """Note that the manifest is about to be sent."""
        self._change("UPDATE runs SET manifest_key = ?, manifest = ? WHERE id = ?", manifest_key, manifest, run_id)

    def interrupted(self, run_id: str, error: str) -> None:
        """Note why a run stopped that the next one may go on with."""
        self._change("UPDATE runs SET error = ? WHERE id = ? AND outcome IS NULL", error, run_id)

    def finish(self, run_id: str, outcome: Outcome, *, error: str | None = None) -> None:
        """Note how a run ended. What it left in the store is the sweep's, but for a committed one."""
        with self.transaction():
            self._change(
                "UPDATE runs SET outcome = ?, ended = ?, error = ?, manifest = NULL, swept = ? WHERE id = ?",
                *(outcome, _seconds(datetime.now(UTC)), error, outcome == "committed", run_id),
            )
            self._change("DELETE FROM parts WHERE run = ?", run_id)
            self._forget_old()

    def swept(self, run_ids: Iterable[str]) -> None:
        """Note that nothing is left of these runs."""
        with self.transaction():
            for run_id in run_ids:
                self._change("UPDATE runs SET swept = 1 WHERE id = ? AND outcome IS NOT NULL", run_id)
            self._forget_old()

    def unfinished(self, repository: str) -> tuple[SavedRun, ...]:
        """Every run that has not ended, with its parts up to the first gap, oldest first."""
        return self._saved("repository = ? AND outcome IS NULL", repository)

    def resumable(self, repository: str) -> tuple[SavedRun, ...]:
        """Those of the unfinished that can be gone on with."""
        return self._saved("repository = ? AND outcome IS NULL AND resumable", repository)

    def unswept(self, repository: str) -> tuple[SavedRun, ...]:
        """Every run of which something may be left in the store: unfinished, abandoned or failed; without parts."""
        return self._saved("repository = ? AND swept = 0", repository, with_parts=False)

    def find(self, run_id: str) -> SavedRun | None:
        """The run of this id."""
        return next(iter(self._saved("id = ?", run_id)), None)

    def open_runs(self, host: str | None = None) -> tuple[RunSummary, ...]:
        """Every run that has not ended, oldest first; only those of `host` if it is given."""
        return self._summaries("outcome IS NULL AND coalesce(?, host) = host ORDER BY begun, rowid", host)

    def recent(self, host: str | None = None, limit: int = 20) -> tuple[RunSummary, ...]:
        """The runs that ended last, newest first; only those of `host` if it is given."""
        where = "outcome IS NOT NULL AND coalesce(?, host) = host ORDER BY ended DESC, rowid DESC LIMIT ?"
        return self._summaries(where, host, limit)

    def last_committed(self, host: str) -> datetime | None:
        """When the latest run to this host was committed, as far as the history goes."""
        rows = self.database.rows("SELECT max(ended) FROM runs WHERE host = ? AND outcome = 'committed'", (host,))
        return _time(rows[0][0])

    def _change(self, statement: str, *values: Any) -> None:
        with self.transaction():
            self.database.rows(statement, values)

    def _forget_old(self) -> None:
        """Drop the oldest runs of which nothing is left; the history stays short."""
        old = self.database.rows(
            "SELECT id FROM runs WHERE outcome IS NOT NULL AND swept = 1 ORDER BY ended DESC, rowid DESC"
            " LIMIT -1 OFFSET ?",
            (HISTORY_LENGTH,),
        )
        for (run_id,) in old:
            self._change("DELETE FROM sessions WHERE run = ?", run_id)
            self._change("DELETE FROM runs WHERE id = ?", run_id)

    def _saved(self, where: str, *values: Any, with_parts: bool = True) -> tuple[SavedRun, ...]:
        rows = self.database.rows(f"SELECT {_COLUMNS} FROM runs WHERE {where} ORDER BY begun, rowid", values)  # noqa: S608
        return tuple(run for row in rows if (run := self._readable(row, with_parts=with_parts)) is not None)

    def _readable(self, row: tuple[Any, ...], *, with_parts: bool) -> SavedRun | None:
        try:
            return self._run(row, with_parts=with_parts)
        except (KeyError, TypeError, ValueError) as error:
            log.warning("the saved run %s can't be read (%s), so it is not used", row[0], error)
            return None

    def _run(self, row: tuple[Any, ...], *, with_parts: bool) -> SavedRun:
        names = [name.strip() for name in _COLUMNS.split(",")]
        values: dict[str, Any] = dict(zip(names, row, strict=True))
        facts = json.loads(values.pop("facts"))
        facts = {name: facts[name] for name in _FACTS}
        facts |= {name: tuple(facts[name]) for name in ("flags", "recipients")}
        values |= {"begun": _time(values["begun"]), "ended": _time(values["ended"])}
        values |= {name: bool(values[name]) for name in ("resumable", "swept")}
        parts = self._parts(row[0]) if with_parts else ()
        return SavedRun(**values, **facts, sessions=self._sessions(row[0]), parts=parts)

    def _sessions(self, run_id: str) -> tuple[str, ...]:
        rows = self.database.rows("SELECT session FROM sessions WHERE run = ? ORDER BY number", (run_id,))
        return tuple(session for (session,) in rows)

    def _parts(self, run_id: str) -> tuple[Part, ...]:
        """The gap-free beginning: what lies behind a gap can't be gone on from."""
        rows = self.database.rows("SELECT number, entry FROM parts WHERE run = ? ORDER BY number", (run_id,))
        found: list[Part] = []
        for number, entry in rows:
            part = _part(entry)
            if part is None or number != len(found) or part.get("number") != number:
                break
            found.append(part)
        return tuple(found)

    def _summaries(self, where: str, *values: Any) -> tuple[RunSummary, ...]:
        rows = self.database.rows(f"SELECT {_SUMMARY} FROM runs WHERE {where}", values)  # noqa: S608
        return tuple(_summary(row) for row in rows)


def _summary(row: tuple[Any, ...]) -> RunSummary:
    (run_id, host, repository, source, task, dataset, snapshot, level, resumable, committing, begun, ended, *rest) = row
    outcome, error, parts, stream_bytes, sealed_bytes, pid = rest
    return RunSummary(
        id=run_id,
        host=host,
        repository=repository,
        source=source,
        task=task,
        dataset=dataset,
        snapshot=snapshot,
        level=level,
        resumable=bool(resumable),
        committing=bool(committing),
        begun=datetime.fromtimestamp(begun, UTC),
        ended=_time(ended),
        outcome=outcome,
        error=error,
        parts=parts,
        stream_bytes=stream_bytes,
        sealed_bytes=sealed_bytes,
        pid=pid,
    )


def _part(entry: str) -> Part | None:
    try:
        found = json.loads(entry)
    except ValueError:
        return None
    return cast("Part", found) if isinstance(found, dict) else None


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def _time(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
