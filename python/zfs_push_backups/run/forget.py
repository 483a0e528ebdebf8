"""Forget-run: gives unfinished runs up, so that the next push begins anew, and sweeps what they stored.

Invariants: under the same locks as a push; a run whose manifest stands is committed, never forgotten. A store that
can't be reached keeps no run from being forgotten: what it stored goes with the next sweep.
"""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from zfs_push_backups.errors import AccessDenied, StoreUnavailable, UsageError
from zfs_push_backups.names import instead
from zfs_push_backups.record import Record
from zfs_push_backups.run.ledger import ledger_of
from zfs_push_backups.run.session import own_source
from zfs_push_backups.run.store import StoreView

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zfs_push_backups.catalogue.records import RunSummary
    from zfs_push_backups.run.ledger import Ledger
    from zfs_push_backups.run.options import ForgetOptions
    from zfs_push_backups.run.session import Session

log = logging.getLogger(__name__)


class ForgetReport(Record, kw_only=True):
    """What became of the runs named: `committed` had a manifest already."""

    host: str
    forgotten: tuple[str, ...]
    committed: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def forget_run(options: ForgetOptions, session: Session) -> ForgetReport:
    """Forget the runs that the options mean. Raises UsageError where none or several could be meant."""
    if sum(one is not None for one in (options.run_id, options.task, options.dataset)) > 1:
        raise UsageError("an id, --task and --dataset contradict each other", hint="name one of them")
    config = session.configuration(options)
    store = StoreView(session, session.host(config, options))
    source = own_source(options.source, config)
    with ledger_of(session, config, store, source, command="forget-run", wait_seconds=options.wait_seconds) as ledger:
        unfinished = ledger.runs.open_runs(store.host.name)
        if options.source is not None:
            unfinished = tuple(run for run in unfinished if run.source == options.source)
        chosen = choose(unfinished, options)
        if not chosen:
            names = {task.name for task in config.tasks}
            if options.task is not None and options.task not in names:
                raise UsageError(f"unknown task {options.task!r}", hint=instead(options.task, names, "tasks"))
            others = "".join(f"; there is {run.id} of {run.dataset}" for run in unfinished)
            session.reporter.step(f"there is no unfinished run to forget{others}")
            return ForgetReport(host=store.host.name, forgotten=(), committed=())
        return _forget(ledger, chosen)


def choose(unfinished: Sequence[RunSummary], options: ForgetOptions) -> tuple[RunSummary, ...]:
    """The runs meant; without a word about which, the only one there is."""
    if options.run_id is not None:
        found = tuple(run for run in unfinished if run.id == options.run_id)
        if not found:
            names = {run.id for run in unfinished}
            raise UsageError(
                f"there is no unfinished run {options.run_id!r}", hint=instead(options.run_id, names, "unfinished runs")
            )
        return found
    if options.task is not None:
        return tuple(run for run in unfinished if run.task == options.task)
    if options.dataset is not None:
        return tuple(run for run in unfinished if run.dataset == options.dataset)
    if len(unfinished) > 1:
        listed = ", ".join(f"{run.id} ({run.dataset})" for run in unfinished)
        raise UsageError(f"which run? there are {len(unfinished)}: {listed}", hint="name its id, --task or --dataset")
    return tuple(unfinished)


def _forget(ledger: Ledger, chosen: Sequence[RunSummary]) -> ForgetReport:
    repository = _repository(ledger)
    for name in sorted({run.repository for run in chosen}):
        ledger.use(name)
    committed = tuple(run.id for run in chosen if run.repository == repository and _is_committed(ledger, run))
    forgotten = tuple(run for run in chosen if run.id not in committed)
    for run in forgotten:
        ledger.runs.finish(run.id, "abandoned", error="forgotten with forget-run")
        ledger.session.reporter.step(
            f"forgot {run.id} of {run.dataset}@{run.snapshot}: the next push begins anew", dataset=run.dataset
        )
    if repository is not None:
        ledger.use(repository)
        ledger.sweep()
        ledger.reconcile(ledger.store.backups())
    return ForgetReport(host=ledger.host.name, forgotten=tuple(run.id for run in forgotten), committed=committed)


def _repository(ledger: Ledger) -> str | None:
    """The id of the repository that the host holds now; None where it can't be had."""
    try:
        ledger.store.backups(ledger.source)
    except (StoreUnavailable, AccessDenied) as error:
        log.warning("what was stored of it stays until the next push or cleanup: %s", error)
        return None
    return ledger.store.repository


def _is_committed(ledger: Ledger, summary: RunSummary) -> bool:
    run = ledger.runs.find(summary.id)
    if run is None:
        return False
    look = ledger.look(run)
    if look.manifest_key is None or look.tombstone:
        return False
    ledger.committed(run)
    return True
