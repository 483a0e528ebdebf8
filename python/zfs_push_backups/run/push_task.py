"""One task of a push: its datasets, and what there is to know before the first of them is sent.

Invariants: unfinished runs are settled before anything new is planned; snapshots are taken at most once, for the whole
tree at one instant; a group id ties a tree together and is made of source, root and snapshot name, so that a dataset
that failed or was not reached joins the same group in a later run. For that reason a tree takes no new snapshot before
each of its datasets has a backup of the last one, or a run of it that is gone on with.
"""

from __future__ import annotations

import hashlib
import logging
import shlex
from typing import TYPE_CHECKING

from zfs_push_backups.errors import InternalError
from zfs_push_backups.plan.snapshots import created_name
from zfs_push_backups.plan.tree import expand
from zfs_push_backups.record import Record
from zfs_push_backups.run.push_dataset import Attempt
from zfs_push_backups.run.resume import Settlement
from zfs_push_backups.zfs import datasets, holds, snapshots

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from zfs_push_backups.catalogue.records import SavedRun
    from zfs_push_backups.config.models import Config, Host, Task
    from zfs_push_backups.plan.listing import Backup
    from zfs_push_backups.run.ledger import Ledger
    from zfs_push_backups.run.options import PushOptions
    from zfs_push_backups.run.resume import Resumption
    from zfs_push_backups.run.session import Session
    from zfs_push_backups.run.store import StoreView

log = logging.getLogger(__name__)


class Destination(Record):
    """Where a push goes, and under which name. Sizes in bytes, rates in bytes a second.

    `ledger` is None in a dry run, which only sees the runs in `foreseen`.
    """

    config: Config
    store: StoreView
    host: Host
    recipients: tuple[str, ...]
    source: str
    memory_budget: int
    limit_upload: int | None
    ledger: Ledger | None = None
    foreseen: tuple[SavedRun, ...] = ()

    @property
    def saved(self) -> Ledger:
        """The saved runs of a push that sends."""
        if self.ledger is None:
            raise InternalError("a dry run was about to send something")
        return self.ledger


class TaskPush:
    """What one task has to do; `attempts` yields its datasets one by one."""

    def __init__(self, task: Task, options: PushOptions, session: Session, destination: Destination) -> None:
        self.task = task
        self.options = options
        self.session = session
        self.destination = destination
        self.created: str | None = None
        self.chosen: dict[str, str] = {}
        self.listed: tuple[Backup, ...] = ()
        self.resumptions: dict[str, Resumption] = {}

    def attempts(self) -> Iterator[Attempt]:
        """List the store, settle unfinished runs, take the snapshot if the task says so; one attempt a dataset."""
        ledger = self.destination.ledger
        if ledger is not None:
            ledger.open()
        names = self.dataset_names()
        for name in names:
            self.session.stop.note(name, "pending")
        self.listed = self.destination.store.backups()
        self.settle(ledger, names)
        if self.task.snapshot.create and self.options.snapshot is None:
            self.created = self.snapshot_of_unfinished_tree(names)
            if self.created is None:
                self.take_snapshot()
        for name in names:
            yield Attempt(self, name)

    def settle(self, ledger: Ledger | None, names: Sequence[str]) -> None:
        """Find out which runs are gone on with; what the others left is swept before anything new is stored."""
        if ledger is None:
            repository = self.destination.store.repository
            foreseen = (run for run in self.destination.foreseen if run.repository == repository)
            settlement = Settlement(self, names, foreseen)
            settlement.foresee()
        else:
            settlement = Settlement(self, names, ledger.unfinished())
            settlement.settle(ledger)
            if settlement.committed:
                self.listed = self.destination.store.backups()
            ledger.tidy(self.listed)
        self.resumptions = settlement.resumptions

    def snapshot_of_unfinished_tree(self, names: Sequence[str]) -> str | None:
        """The snapshot that a run gone on with sends, and that the rest of an interrupted tree belongs to.

        None where nothing is left of that tree but runs gone on with: one that takes weeks, or fails for ever, keeps no
        other dataset from its next backup.
        """
        runs = (resumption.run for resumption in self.resumptions.values())
        newest = max(runs, key=lambda run: run.begun, default=None)
        others = [name for name in names if name not in self.resumptions]
        if newest is None or (others and not any(self.lacks(name, newest.snapshot) for name in others)):
            return None
        return newest.snapshot

    def lacks(self, dataset: str, snapshot: str) -> bool:
        """Whether a dataset has this snapshot and no backup of it."""
        guid = holds.guid_of(self.session.zfs, f"{dataset}@{snapshot}")
        return guid is not None and all(backup.snapshot_guid != guid for backup in self.backups_of(dataset))

    def dataset_names(self) -> Sequence[str]:
        """The root, or the tree that the patterns leave."""
        if not self.task.recursive:
            return (self.task.root,)
        existing = datasets.list_tree(self.session.zfs, self.task.root)
        tree = expand(self.task.root, existing, self.task.include, self.task.exclude)
        for pattern in tree.unmatched:
            log.warning("the pattern %r of task %s matches no dataset", pattern, self.task.name)
        return tree.datasets

    def take_snapshot(self) -> None:
        """Take one atomic snapshot of the tree, or only name it in a dry run."""
        self.created = created_name(self.task.snapshot.name, self.session.now())
        if self.options.dry_run:
            self.session.reporter.step(f"would take the snapshot {self.task.root}@{self.created}")
            return
        datasets.describe(self.session.zfs, self.task.root)
        snapshots.create(self.session.zfs, self.task.root, self.created, recursive=self.task.recursive)
        self.session.reporter.step(f"took the snapshot {self.task.root}@{self.created}")

    def backups_of(self, dataset: str) -> tuple[Backup, ...]:
        """What this source has committed of a dataset."""
        source = self.destination.source
        return tuple(backup for backup in self.listed if backup.dataset == dataset and backup.source == source)

    def other_sources(self, dataset: str) -> tuple[str, ...]:
        """Under which other names the store has this dataset."""
        source = self.destination.source
        return tuple(sorted({b.source for b in self.listed if b.dataset == dataset and b.source != source}))

    def group_of(self, snapshot: str) -> str | None:
        """The id that ties the datasets of a recursive task together."""
        if not self.task.recursive:
            return None
        text = f"{self.destination.source}\0{self.task.root}\0{snapshot}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def retry_command(self, dataset: str) -> str:
        """What the operator types up to --level."""
        what = ("--dataset", dataset) if self.options.dataset else ("--task", self.task.name)
        config = ("--config", self.options.config) if self.options.config else ()
        return shlex.join(("zfs-push-backups", *config, "--host", self.destination.host.name, *what))
