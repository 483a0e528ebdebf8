"""Cleanup: sweeps a store for what unfinished runs of this machine left there, or shows what a sweep would remove.

Invariants: runs that can be gone on with keep what they stored; under the same locks as a push, but for a dry run,
which changes nothing anywhere. No repository is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zfs_push_backups.record import Record
from zfs_push_backups.report.progress import human_bytes
from zfs_push_backups.run.ledger import ledger_of
from zfs_push_backups.run.session import own_source
from zfs_push_backups.run.state import look_at_catalogue
from zfs_push_backups.run.store import StoreView
from zfs_push_backups.run.sweep import SweepReport, is_kept, sweep

if TYPE_CHECKING:
    from zfs_push_backups.catalogue.records import SavedRun
    from zfs_push_backups.config.models import Config
    from zfs_push_backups.run.options import CleanupOptions
    from zfs_push_backups.run.session import Session


class CleanupReport(Record, kw_only=True):
    """What went, or would go. `kept` are the runs that can be gone on with."""

    host: str
    dry_run: bool
    sweep: SweepReport
    kept: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"host": self.host, "dry_run": self.dry_run, **self.sweep.as_dict(), "kept": list(self.kept)}


def cleanup(options: CleanupOptions, session: Session) -> CleanupReport:
    """Sweep one host's store."""
    config = session.configuration(options)
    store = StoreView(session, session.host(config, options))
    source = own_source(options.source, config)
    if options.dry_run:
        return _foreseen(config, store, source)
    with ledger_of(session, config, store, source, command="cleanup", wait_seconds=options.wait_seconds) as ledger:
        store.backups(source)
        if store.repository is None:
            return CleanupReport(host=store.host.name, dry_run=False, sweep=SweepReport())
        ledger.use(store.repository)
        report = ledger.swept()
        return _report(store, report, ledger.runs.unswept(store.repository), dry_run=False)


def _foreseen(config: Config, store: StoreView, source: str) -> CleanupReport:
    store.backups(source)
    if store.repository is None:
        return CleanupReport(host=store.host.name, dry_run=True, sweep=SweepReport())
    catalogue = look_at_catalogue(config)
    saved: tuple[SavedRun, ...] = ()
    if catalogue is not None:
        with catalogue:
            saved = catalogue.runs.unswept(store.repository)
    return _report(store, sweep(store, saved, store.repository, source, dry_run=True), saved, dry_run=True)


def _report(store: StoreView, report: SweepReport, saved: tuple[SavedRun, ...], *, dry_run: bool) -> CleanupReport:
    kept = tuple(run.id for run in saved if is_kept(run))
    return CleanupReport(host=store.host.name, dry_run=dry_run, sweep=report, kept=kept)


def as_text(report: CleanupReport) -> str:
    """The report for people: a line an id, and the keys where they only would go."""
    verb = "would remove" if report.dry_run else "removed"
    lines = [
        f"{verb} {one.id}: {one.keys} objects, {human_bytes(one.bytes)}, {one.uploads} unfinished uploads"
        for one in report.sweep.removed
    ]
    lines += [f"{verb} the intent of {run_id}: it is committed" for run_id in report.sweep.committed]
    lines += [f"waiting: {run_id}: {reason}" for run_id, reason in report.sweep.waiting]
    lines += [f"kept: {run_id}: it can be gone on with" for run_id in report.kept]
    if report.dry_run:
        lines += [f"  {key}" for key in report.sweep.keys]
    return "\n".join(lines) or f"{report.host}: nothing to clean up"
