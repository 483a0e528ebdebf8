"""Sweeping: what interrupted runs have left in a store goes, and nothing else.

Invariants: runs that can be gone on with are kept; a run counts as swept only when the engine left nothing of it
waiting; the engine itself touches only ids whose intent this source wrote into this very repository.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from zfs_push_backups.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterable

    from zfs_push_backups.catalogue.records import SavedRun
    from zfs_push_backups.catalogue.runs import Runs
    from zfs_push_backups.run.store import StoreView

# On a store without conditional writes a manifest may still be under way for so long.
GRACE_SECONDS = 86_400


class Swept(Record, kw_only=True):
    """What was removed of one backup's id, or would be: objects, their bytes, unfinished uploads."""

    id: str
    keys: int
    bytes: int
    uploads: int


class SweepReport(Record, kw_only=True):
    """One sweep. `committed` had a manifest and only lost their intent; `waiting` are ids with the reason."""

    removed: tuple[Swept, ...] = ()
    committed: tuple[str, ...] = ()
    waiting: tuple[tuple[str, str], ...] = ()
    keys: tuple[str, ...] = ()
    uploads: tuple[str, ...] = ()

    def joined(self, other: SweepReport) -> SweepReport:
        """Both together."""
        return SweepReport(
            removed=self.removed + other.removed,
            committed=self.committed + other.committed,
            waiting=self.waiting + other.waiting,
            keys=self.keys + other.keys,
            uploads=self.uploads + other.uploads,
        )

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        waiting = [{"id": run_id, "reason": reason} for run_id, reason in self.waiting]
        return {**asdict(self), "waiting": waiting}


def sweep(
    store: StoreView, saved: Iterable[SavedRun], repository: str, source: str, *, dry_run: bool = False
) -> SweepReport:
    """Sweep what this source, and the sources of saved runs, have left in the repository.

    `saved` are all runs of the repository that are not swept yet; note the outcome with `note_swept`.
    """
    runs = tuple(saved)
    total = SweepReport()
    for name in sorted({source, *(run.source for run in runs)}):
        mine = [run for run in runs if run.source == name]
        total = total.joined(_report(store.call({"sweep": _request(repository, name, mine, dry_run=dry_run)})))
    return total


def _request(repository: str, source: str, saved: Iterable[SavedRun], *, dry_run: bool) -> dict[str, Any]:
    kept = [run for run in saved if is_kept(run)]
    own = {
        run.id: {
            "sessions": list(run.sessions),
            "may_be_committed": run.committing,
            "manifest_key": run.manifest_key,
        }
        for run in saved
        if not is_kept(run)
    }
    return {
        "repository_id": repository,
        "source": source,
        "keep": [run.id for run in kept],
        "own": own,
        "dry_run": dry_run,
        "grace_seconds": GRACE_SECONDS,
    }


def is_kept(run: SavedRun) -> bool:
    """Whether the next push may go on with it, or commit it."""
    return run.outcome is None and (run.resumable or run.committing)


def _report(report: dict[str, Any]) -> SweepReport:
    return SweepReport(
        removed=tuple(
            Swept(id=one["id"], keys=one["keys"], bytes=one["bytes"], uploads=one["uploads"])
            for one in report["removed"]
        ),
        committed=tuple(report["committed"]),
        waiting=tuple((one["id"], one["reason"]) for one in report["waiting"]),
        keys=tuple(report["keys"]),
        uploads=tuple(report["uploads"]),
    )


def note_swept(runs: Runs, saved: Iterable[SavedRun], report: SweepReport) -> None:
    """Note a sweep in the run state. What waits is looked at again by the next sweep; of all others nothing is left."""
    waiting = {run_id for run_id, _ in report.waiting}
    with runs.transaction():
        for run in saved:
            if run.id in report.committed:
                runs.finish(run.id, "committed")
            elif not is_kept(run) and run.id not in waiting:
                if run.outcome is None:
                    runs.finish(run.id, "failed", error=run.error or "it ended without a word")
                runs.swept([run.id])
