"""Writes what a push has done into the run state while it runs.

Invariants: an entry is told to be durable only after the transaction that holds it; entries of one tick are one
transaction; one that could not be written is tried again with the next ones, and the failure ends the job, so nothing
is committed without its journal.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Protocol

from zfs_push_backups.errors import InternalError
from zfs_push_backups.report.progress import human_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from zfs_push_backups.catalogue.runs import Runs

log = logging.getLogger(__name__)

Entry = dict[str, Any]


class Journaled(Protocol):
    """A job that has a journal."""

    def drain_journal(self) -> list[Entry]:
        """Take what was done since the last call."""

    def journal_written(self, count: int) -> None:
        """Say that the first `count` entries ever drained are durable."""


class RunJournal:
    """The journal of one session of a run: call it on each tick of the job, and once more after its end."""

    def __init__(self, runs: Runs, run_id: str, job: Journaled) -> None:
        self.runs = runs
        self.run_id = run_id
        self.job = job
        self.durable = 0
        self.skipped = 0
        self.stored = 0
        self._skipped_told = False
        self._waiting: list[Entry] = []

    def __call__(self) -> None:
        """Write what there is to write. Raises StateError; nothing is lost by that."""
        self._waiting += self.job.drain_journal()
        if not self._waiting:
            return
        with self.runs.transaction():
            for entry in self._waiting:
                self._write(entry)
        written, self._waiting = self._waiting, []
        self.durable += len(written)
        self.job.journal_written(self.durable)
        for entry in written:
            self._tell(entry)

    def _write(self, entry: Entry) -> None:
        write = _WRITERS.get(entry["kind"])
        if write is None:
            raise InternalError(f"the engine's journal has an entry of unknown kind {entry['kind']!r}")
        write(self.runs, self.run_id, entry)

    def _tell(self, entry: Entry) -> None:
        kind = entry["kind"]
        if kind == "skipped":
            self.skipped += 1
            log.debug("part skipped", extra={"fields": {"run": self.run_id, "part": entry["number"]}})
            return
        if self.skipped and not self._skipped_told:
            self._skipped_told = True
            log.info("%d parts skipped: they are stored, and proven to be the same", self.skipped)
        if kind == "part":
            self.stored += 1
            stored = human_bytes(int(entry["sealed_length"]))
            log.info("part processed", extra={"fields": {"part": entry["number"], "stored": stored}})


def _part(runs: Runs, run_id: str, entry: Entry) -> None:
    runs.part(run_id, {key: value for key, value in entry.items() if key != "kind"})


_WRITERS: dict[str, Callable[[Runs, str, Entry], None]] = {
    "begin": lambda runs, run_id, entry: runs.begin_record(run_id, entry["record"]),
    "part": _part,
    "skipped": lambda _runs, _run_id, _entry: None,
    "committing": lambda runs, run_id, entry: runs.committing(run_id, entry["manifest_key"], entry["manifest"]),
    "committed": lambda runs, run_id, _entry: runs.finish(run_id, "committed"),
}
