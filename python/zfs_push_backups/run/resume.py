"""Settles a task's unfinished runs before anything new is planned: done, committed, gone on with, or given up.

Invariants: the store is asked before anything is decided; at most one run of a dataset is gone on with, the one that
began last; a dataset whose facts can't be had keeps its run as it is, and fails by itself when its turn comes.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from zfs_push_backups.config.choice import for_host
from zfs_push_backups.errors import Cancelled, ConfigurationError, ZfsError
from zfs_push_backups.plan.history import Base
from zfs_push_backups.plan.levels import Decision, Kind
from zfs_push_backups.plan.listing import Chains
from zfs_push_backups.plan.resume import Asked, Done, GoOn, Look, Present, Recommit, StartAnew, resume
from zfs_push_backups.record import Record
from zfs_push_backups.report.progress import human_bytes
from zfs_push_backups.zfs import datasets, send, snapshots

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from zfs_push_backups.catalogue.records import SavedRun
    from zfs_push_backups.plan.listing import Backup
    from zfs_push_backups.plan.resume import Verdict
    from zfs_push_backups.run.ledger import Ledger
    from zfs_push_backups.run.push_task import TaskPush
    from zfs_push_backups.zfs.datasets import Dataset

log = logging.getLogger(__name__)


class Resumption(Record):
    """A run to go on with: its first `stored` parts are there. `decision` is what it sends, by present names.

    `reread` says why it is sent again from its start; None: from where the last but one of these parts ends. `facts`
    are its dataset's, by the name of now; the backup keeps the name that the run began with.
    """

    run: SavedRun
    stored: int
    decision: Decision
    reread: str | None
    facts: Dataset


class Found(Record):
    """What a run meets now; with what would be sent of which dataset, if the snapshots for it are here."""

    present: Present
    decision: Decision | None = None
    facts: Dataset | None = None

    def resumption(self, run: SavedRun, verdict: Verdict) -> Resumption | None:
        """The run as it is gone on with; None if it isn't, or can't be."""
        if not isinstance(verdict, GoOn) or self.decision is None or self.facts is None:
            return None
        return Resumption(run, verdict.stored, self.decision, verdict.reread, self.facts)


class Settlement:
    """The unfinished runs that concern one task, and what becomes of them."""

    def __init__(self, work: TaskPush, names: Sequence[str], saved: Iterable[SavedRun]) -> None:
        self.work = work
        self.names = frozenset(names)
        mine = (run for run in saved if self._concerns(run))
        self.newest_first = sorted(mine, key=lambda run: (run.begun, run.id), reverse=True)
        self.resumptions: dict[str, Resumption] = {}
        self.committed = False

    def settle(self, ledger: Ledger) -> None:
        """Decide about each run, the one that began last first, and do what that means."""
        for run in self.newest_first:
            self.work.session.stop.check()
            found = self._found(run)
            if found is None:
                continue
            home = found.present.renamed or run.dataset
            verdict = resume(run, found.present, self._asked(run), ledger.look(run))
            if isinstance(verdict, GoOn) and home in self.resumptions:
                verdict = StartAnew("a later run of this dataset is gone on with")
            elif isinstance(verdict, StartAnew) and run.resumable and home not in self.names:
                verdict = StartAnew("its dataset is gone, or no longer part of the task")
            self._apply(ledger, run, verdict, found)

    def foresee(self) -> None:
        """Settle for a dry run: nothing is asked of the store, and nothing is changed."""
        for run in self.newest_first:
            found = self._found(run)
            if found is not None and not run.committing:
                verdict = resume(run, found.present, self._asked(run), Look(stored=len(run.parts)))
                if (resumption := found.resumption(run, verdict)) is not None:
                    self.resumptions.setdefault(resumption.facts.name, resumption)

    def _apply(self, ledger: Ledger, run: SavedRun, verdict: Verdict, found: Found) -> None:
        if isinstance(verdict, Done):
            ledger.committed(run)
            self.committed = True
        elif isinstance(verdict, Recommit):
            self.committed = ledger.recommit(run) or self.committed
        elif isinstance(verdict, GoOn) and (resumption := found.resumption(run, verdict)) is not None:
            for note in verdict.notes:
                log.warning("%s: %s", run.dataset, note)
            home = resumption.facts.name
            if home != run.dataset:
                log.warning(
                    "%s is called %s now; what is sent of it stays a backup of %s", run.dataset, home, run.dataset
                )
            self.resumptions[home] = resumption
            tell(ledger, run, verdict)
        else:
            ledger.abandon(run, verdict.reason if isinstance(verdict, StartAnew) else "its snapshot is gone")

    def _concerns(self, run: SavedRun) -> bool:
        """The task's own runs, those that no enabled task claims any more, and what came from standard input."""
        if not run.resumable:
            return True
        if not self.work.options.dataset and run.task == self.work.task.name:
            return True
        destination = self.work.destination
        claimed = {task.name for task in destination.config.tasks if task.enabled and for_host(task, destination.host)}
        return run.dataset in self.names and run.task not in claimed

    def _asked(self, run: SavedRun) -> Asked:
        options = self.work.options
        wanted = options.snapshot
        owner, _, name = (wanted or "").rpartition("@")
        # A snapshot of another dataset is refused when the dataset's turn comes; a run is not given up for that.
        own = owner in {"", run.dataset, self.work.task.root}
        return Asked(level=options.level, snapshot=name if wanted and own else None)

    def _found(self, run: SavedRun) -> Found | None:
        try:
            return self._present(run)
        except Cancelled:
            raise
        except (ZfsError, ConfigurationError) as error:
            # A dataset of the task fails by itself, in these words; of any other this is all that is said.
            level = logging.DEBUG if run.dataset in self.names else logging.WARNING
            log.log(
                level,
                "the run %s of %s can't be looked at now and waits for the next push: %s",
                run.id,
                run.name,
                error,
            )
            return None

    def _present(self, run: SavedRun) -> Found:
        parent = parent_of(run, self.work.backups_of(run.dataset))
        facts = self._home(run) if run.resumable else None
        if facts is None:
            return Found(unchanged(run, parent=parent, here=not run.resumable))
        zfs, capabilities, home = self.work.session.zfs, self.work.session.capabilities, facts.name
        raw = datasets.raw_choice(facts, self.work.task.raw, can_raw=capabilities.send_raw)
        listed, marks = snapshots.list_points(zfs, home, capabilities)
        here = {point.guid: point for point in listed}
        bases = {point.guid: Base(point, is_bookmark=True) for point in marks}
        bases |= {guid: Base(point, is_bookmark=False) for guid, point in here.items()}
        target = here.get(run.snapshot_guid)
        base = None if run.base_guid is None else bases.get(run.base_guid)
        present = Present(
            recipients=frozenset(self.work.destination.recipients),
            compression=self.work.task.compression,
            part_size_bytes=self.work.destination.host.part_size,
            raw=raw,
            flags=send.flags_for(capabilities, raw=raw),
            zfs_kernel=capabilities.kernel,
            dataset_guid=facts.guid,
            createtxg=None if target is None else target.createtxg,
            renamed=None if home == run.dataset else home,
            can_resume=capabilities.send_resume,
            snapshot=None if target is None else target.name,
            base=run.base_guid is None or base is not None,
            parent=run.parent_id is None or parent is not None,
            sent_since=sent_since(run, self.work.backups_of(run.dataset)),
        )
        if target is None:
            return Found(present)
        kind = Kind.FULL if run.parent_id is None else Kind.INCREMENTAL
        return Found(present, Decision(kind, run.level, target, base=base, parent=parent), facts)

    def _home(self, run: SavedRun) -> Dataset | None:
        """Which of the task's datasets the run's is: the one of its name, else the one of its guid."""
        zfs, guid = self.work.session.zfs, run.dataset_guid
        named = self._describe(run.dataset) if run.dataset in self.names else None
        if run.dataset in self.names:
            if named is None or guid is None or named.guid in {None, guid}:
                return named
        elif guid is None or datasets.guid_of(zfs, run.dataset) == guid:
            return None
        renamed = (name for name in sorted(self.names) if datasets.guid_of(zfs, name) == guid)
        home = next(renamed, None)
        return named if home is None else self._describe(home)

    def _describe(self, name: str) -> Dataset | None:
        """A dataset as it is now; None if it is gone, of which a pool that isn't imported now is no proof."""
        zfs = self.work.session.zfs
        try:
            return datasets.describe(zfs, name)
        except ZfsError as error:
            if error.code != "zfs.not_found" or not datasets.exists(zfs, name.partition("/")[0]):
                raise
            return None


def settle_stdin(ledger: Ledger, listed: Sequence[Backup]) -> bool:
    """Settle what came from standard input: it can be done, or committed, but not gone on with.

    Returns whether the listing is out of date.
    """
    committed = False
    for run in ledger.unfinished():
        if run.resumable:
            continue
        backups = tuple(one for one in listed if one.dataset == run.dataset and one.source == run.source)
        present = unchanged(run, parent=parent_of(run, backups), here=True)
        verdict = resume(run, present, Asked(), ledger.look(run))
        if isinstance(verdict, Done):
            ledger.committed(run)
            committed = True
        elif isinstance(verdict, Recommit):
            committed = ledger.recommit(run) or committed
        elif isinstance(verdict, StartAnew):
            ledger.abandon(run, verdict.reason)
    return committed


def parent_of(run: SavedRun, backups: Sequence[Backup]) -> Backup | None:
    """The committed backup that a run stands on, if its chain is whole."""
    chains = Chains(backups)
    return next((one for one in chains.backups if one.id == run.parent_id and chains.whole(one)), None)


def sent_since(run: SavedRun, backups: Sequence[Backup]) -> str | None:
    """A whole backup of the same snapshot whose push began after the run: an old state doesn't know of it."""
    chains = Chains(backups)
    later = (one for one in chains.backups if one.snapshot_guid == run.snapshot_guid and one.created > run.begun)
    return next((one.id for one in later if chains.whole(one)), None)


def unchanged(run: SavedRun, *, parent: Backup | None, here: bool) -> Present:
    """The facts where only the store decides: `here` says whether the run's snapshot can be had at all."""
    return Present(
        recipients=frozenset(run.recipients),
        compression=run.compression,
        part_size_bytes=run.part_size_bytes,
        raw=run.raw,
        flags=run.flags,
        zfs_kernel=run.zfs_kernel,
        snapshot=run.snapshot if here else None,
        parent=run.parent_id is None or parent is not None,
    )


def tell(ledger: Ledger, run: SavedRun, verdict: GoOn) -> None:
    """Say where a run goes on."""
    stored_bytes = sum(int(part["sealed_length"]) for part in run.parts[: verdict.stored])
    step = ledger.session.reporter.step
    step(
        f"{run.name}: existing state found: {verdict.stored} parts, {human_bytes(stored_bytes)} stored,"
        f" going on at part {verdict.stored}",
        dataset=run.dataset,
    )
    if verdict.reread is not None and verdict.stored:
        step(f"{run.name}: the stream is read again from its start: {verdict.reread}", dataset=run.dataset)
