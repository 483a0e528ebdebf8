"""The saved runs of one push at one repository: begun, gone on with, ended; with their locks, holds and leftovers.

Invariants: the repository is locked before any saved run is looked at; a run is durable, and what it reads is held,
before its engine job starts; a run that is given up is said so, with the reason, and swept.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from zfs_push_backups.errors import (
    Cancelled,
    ConfigurationError,
    ResumeImpossible,
    SourceFailed,
    StateError,
    StoreDamaged,
    ZfsPushBackupsError,
)
from zfs_push_backups.plan.resume import Look
from zfs_push_backups.run import holds
from zfs_push_backups.run.locks import locked
from zfs_push_backups.run.state import open_catalogue
from zfs_push_backups.run.sweep import note_swept, sweep

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from zfs_push_backups.catalogue.catalogue import Catalogue
    from zfs_push_backups.catalogue.records import SavedRun
    from zfs_push_backups.config.models import Config, Host, Task
    from zfs_push_backups.plan.history import Base
    from zfs_push_backups.plan.listing import Backup
    from zfs_push_backups.plan.snapshots import Point
    from zfs_push_backups.run.locks import Locked
    from zfs_push_backups.run.session import Session
    from zfs_push_backups.run.store import StoreView
    from zfs_push_backups.run.sweep import SweepReport

log = logging.getLogger(__name__)


@contextlib.contextmanager
def ledger_of(
    session: Session, config: Config, store: StoreView, source: str, *, command: str, wait_seconds: float | None
) -> Iterator[Ledger]:
    """Lock the host, then open the run state, while the block runs."""
    with locked(session, config, store.host, command=command, wait_seconds=wait_seconds) as lock:
        catalogue = open_catalogue(config)
        close = session.stop.push("run state", catalogue.close, phase="db")
        try:
            yield Ledger(session, config, store, source, catalogue, lock)
        finally:
            close()


class Ledger:
    """What one run, under its locks, knows and notes of saved runs. `repository` is empty until `open`."""

    def __init__(
        self, session: Session, config: Config, store: StoreView, source: str, catalogue: Catalogue, lock: Locked
    ) -> None:
        self.session = session
        self.config = config
        self.store = store
        self.source = source
        self.catalogue = catalogue
        self.runs = catalogue.runs
        self.repository = ""
        self.tasks: tuple[Task, ...] = ()
        self._lock = lock
        self._tidy = False
        self._reconciled = False

    @property
    def host(self) -> Host:
        """Where to."""
        return self.store.host

    def open(self) -> None:
        """Open or make the repository and lock it; once is enough."""
        if not self.repository:
            self.session.stop.check()
            repository, created = self.store.create_repository()
            if created and self.runs.last_committed(self.host.name) is not None:
                log.warning(
                    "the host %s had backups of this machine, and its store was empty now: a new repository was made,"
                    " and everything is sent in full; if %s is a disk, look whether it is mounted",
                    self.host.name,
                    self.host.url,
                )
            self.use(repository)

    def use(self, repository: str) -> None:
        """Lock the repository of this id."""
        self._lock.repository(repository)
        self.repository = self.store.expected = repository

    def unfinished(self) -> tuple[SavedRun, ...]:
        """This source's runs that have not ended."""
        return tuple(run for run in self.runs.unfinished(self.repository) if run.source == self.source)

    def look(self, run: SavedRun) -> Look:
        """What the store holds of a run."""
        operation = {**_place(run), "repository_id": run.repository, "parts": list(run.parts)}
        try:
            report = self.store.call({"resume_look": operation})
        except ConfigurationError as error:
            if error.code != "engine.bad_request" or not run.parts:
                raise
            # A damaged journal is no configuration to mend: without its parts the run only sends more.
            log.warning("the parts of the run %s can't be read from the run state: %s", run.id, error.message)
            report = self.store.call({"resume_look": {**operation, "parts": []}})
        return Look.from_report(report)

    def committed(self, run: SavedRun) -> None:
        """Note a run whose manifest stands."""
        self.runs.finish(run.id, "committed")
        self._tidy = False
        self.session.reporter.step(f"{run.name}: already committed as {run.id}", dataset=run.dataset)

    def recommit(self, run: SavedRun) -> bool:
        """Write the manifest of a run that had everything else; False where the parts are no longer all there."""
        operation = {
            **_place(run),
            "manifest_key": run.manifest_key,
            "manifest": run.manifest,
            "repository_id": self.repository,
            "storage_class": self.host.storage_class.manifest,
        }
        try:
            self.store.call({"recommit": operation})
        except (ResumeImpossible, StoreDamaged) as error:
            if error.code == "engine.repository_changed":
                raise
            self.abandon(run, error.message)
            return False
        self.runs.finish(run.id, "committed")
        self.session.reporter.step(f"{run.name}: committed as {run.id}, which lacked its manifest", dataset=run.dataset)
        return True

    def abandon(self, run: SavedRun, reason: str) -> None:
        """Give a run up, loudly; its parts go with the next sweep."""
        self.runs.finish(run.id, "abandoned", error=reason)
        self._tidy = False
        if run.resumable:
            log.warning("the run %s of %s can't be gone on with and is begun anew: %s", run.id, run.name, reason)
        else:
            log.warning("the run %s of %s is given up, pipe it in again: %s", run.id, run.name, reason)

    def begin(self, run: SavedRun, points: Iterable[Point | Base]) -> SavedRun:
        """Save a new run and hold what it reads."""
        run = replace(run, sessions=(secrets.token_hex(16),))
        self.runs.begin(run)
        try:
            self._hold(run, points, run.dataset)
        except ZfsPushBackupsError as error:
            self.runs.finish(run.id, "failed", error=error.message)
            self.runs.swept([run.id])
            raise
        return run

    def go_on(self, run: SavedRun, stored: int, points: Iterable[Point | Base], *, home: str) -> SavedRun:
        """Save that a run is gone on with behind its first `stored` parts, and hold what it reads.

        `home` is what its dataset is called now.
        """
        session = secrets.token_hex(16)
        self.runs.new_session(run.id, session, keep=stored)
        self._hold(run, points, home)
        return replace(run, sessions=(*run.sessions, session), parts=run.parts[:stored])

    def _hold(self, run: SavedRun, points: Iterable[Point | Base], dataset: str) -> None:
        where = (self.session, self.config, self.host, self.repository, self.catalogue)
        holds.take(*where, dataset=dataset, points=points, task=run.task, reason=f"run {run.id}")

    @contextlib.contextmanager
    def sending(self, run: SavedRun) -> Iterator[None]:
        """Note how the block failed, if it does; the next run reads that, and `status` shows it."""
        try:
            yield
        except ZfsPushBackupsError as error:
            if isinstance(error, Cancelled) and run.resumable:
                self.session.stop.note(run.dataset, "resumable")
            self._note_failure(run, error)
            raise

    def _note_failure(self, run: SavedRun, error: ZfsPushBackupsError) -> None:
        """A state that can't be written any more must not hide why the run failed."""
        try:
            if self._worth_going_on(run, error):
                self.runs.interrupted(run.id, error.message)
            else:
                self.runs.finish(run.id, "failed", error=error.message)
        except StateError as trouble:
            log.warning("the end of the run could not be noted: %s", trouble)

    def _worth_going_on(self, run: SavedRun, error: ZfsPushBackupsError) -> bool:
        """Whether there is something to go on with, or nothing that speaks against trying the same once more.

        Of a stream that never comes again only the manifest may be missing. A sender that fails before anything of it
        is stored may be unable to send this snapshot at all, so the next push chooses anew.
        """
        saved = self.runs.find(run.id)
        if not run.resumable:
            return saved is not None and saved.outcome is None and saved.committing
        return not isinstance(error, SourceFailed) or saved is None or bool(saved.parts) or saved.outcome is not None

    def tidy(self, backups: Sequence[Backup]) -> None:
        """Sweep, where something may be left since the last time, and set the holds right once at the start."""
        if not self._tidy:
            self.sweep()
        if not self._reconciled:
            self._reconciled = True
            self.reconcile(backups)

    def sweep(self) -> None:
        """Remove leftovers. A store that lets nothing be removed keeps no backup from being made."""
        with _or_warn("what unfinished runs left could not be swept"):
            for one in self.swept().removed:
                self.session.reporter.step(f"swept {one.id}: {one.keys} objects of an unfinished run")

    def swept(self) -> SweepReport:
        """Remove leftovers and say what went."""
        saved = self.runs.unswept(self.repository)
        report = sweep(self.store, saved, self.repository, self.source)
        note_swept(self.runs, saved, report)
        self._tidy = True
        return report

    def end(self) -> None:
        """Set the holds right at the end of a run."""
        if self._reconciled and not self.session.stop.requested:
            with _or_warn("the holds could not be set right"):
                self.reconcile(self.store.backups())

    def reconcile(self, backups: Sequence[Backup]) -> None:
        """Hold exactly what the next runs need."""
        with _or_warn("the holds could not be set right"):
            where = (self.session, self.config, self.host, self.repository, self.catalogue)
            left = self.runs.unswept(self.repository)
            saved = tuple(run for run in left if run.outcome is None and run.resumable)
            holds.reconcile(*where, backups, saved, tasks=self.tasks, source=self.source)


def run_request(run: SavedRun) -> dict[str, Any]:
    """The run as the engine's push request has it."""
    return {"id": run.id, "sessions": list(run.sessions), "resumable": run.resumable, "stored": list(run.parts)}


def _place(run: SavedRun) -> dict[str, Any]:
    return {"id": run.id, "source": run.source, "dataset": run.dataset, "sessions": list(run.sessions)}


@contextlib.contextmanager
def _or_warn(what: str) -> Iterator[None]:
    """A failure of housekeeping is told; a stop is a stop, and a state that can't be written ends the run."""
    try:
        yield
    except (Cancelled, StateError):
        raise
    except ZfsPushBackupsError as error:
        log.warning("%s: %s", what, error)
