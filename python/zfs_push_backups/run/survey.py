"""What is on this machine, as far as holds are concerned: the tasks' datasets, those of runs, and what was renamed.

Invariants: one command a task, whatever its number of snapshots; a task that can't be looked at makes the picture
`incomplete`, and then nothing may be freed; a pool that isn't imported is no proof that its snapshots are gone.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from zfs_push_backups.config.choice import for_host
from zfs_push_backups.errors import Cancelled, ConfigurationError, ZfsError, ZfsPushBackupsError
from zfs_push_backups.plan.holds import Covered, Here, places, places_of_run
from zfs_push_backups.plan.tree import expand
from zfs_push_backups.run.session import own_source
from zfs_push_backups.zfs import holds as zfs_holds

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from zfs_push_backups.catalogue.records import HeldSnapshot
    from zfs_push_backups.config.models import Config, Host, Task
    from zfs_push_backups.plan.holds import Unfinished
    from zfs_push_backups.plan.listing import Backup
    from zfs_push_backups.run.session import Session
    from zfs_push_backups.zfs.holds import Surveyed
    from zfs_push_backups.zfs.snapshots import Snapshot

log = logging.getLogger(__name__)


class Survey:
    """The datasets looked at. `asked` are those where holds of ours may be; `whole_pools` were seen as a whole.

    Bookmarks count only where a task or run may stand on them.
    Without a host every task is looked at and none counts as enabled.
    """

    def __init__(self, session: Session, config: Config, host: Host | None, tasks: Iterable[Task] = ()) -> None:
        self.session = session
        self.config = config
        configured = {task.name for task in config.tasks}
        self.extra = tuple(task for task in tasks if task.name not in configured)
        mine = (task for task in config.tasks if host is not None and task.enabled and for_host(task, host))
        self.enabled = (*mine, *self.extra)
        self.machine: dict[str, Here] = {}
        self.bookmarks: dict[str, tuple[Snapshot, ...]] = {}
        self.asked: set[str] = set()
        self.whole_pools: set[str] = set()
        self.names: dict[str, tuple[str, ...]] = {}
        self.problems: list[str] = []
        self.incomplete = False

    def look(self, runs: Sequence[Unfinished], noted: Sequence[HeldSnapshot]) -> None:
        """Look at all tasks, then for what isn't where it was."""
        for task in (*self.config.tasks, *self.extra):
            self.look_at_task(task)
        for name in dict.fromkeys([*(run.dataset for run in runs), *(held.dataset for held in noted)]):
            self.look_at(name, tree=False)
        marked = self.covered_names | {run.dataset for run in runs}
        for name in marked & self.machine.keys():
            self.machine[name] = replace(self.machine[name], bookmarks=self.bookmarks.get(name, ()))
        lost = [held.dataset for held in noted if not places(held.dataset, held.snapshot_guid, self.machine)]
        lost += [run.dataset for run in runs if not places_of_run(run, run.snapshot_guid, self.machine)]
        for pool in sorted({name.partition("/")[0] for name in lost}):
            self.look_at_pool(pool)

    @property
    def covered_names(self) -> set[str]:
        """Every dataset that an enabled task covers."""
        return {name for task in self.enabled for name in self.names.get(task.name, ())}

    def covered(self, backups: Sequence[Backup], source: str | None) -> list[Covered]:
        """The enabled tasks' datasets, each with what was committed of it under the names of this machine."""
        found = []
        for task in self.enabled:
            for name in self.names.get(task.name, ()):
                for one in self.sources(source):
                    mine = tuple(backup for backup in backups if (backup.dataset, backup.source) == (name, one))
                    found.append(Covered(None if task in self.extra else task.name, name, mine))
        return found

    def sources(self, given: str | None) -> tuple[str, ...]:
        """The name that this run pushes under, and the usual one, whose bases must outlive a run under another."""
        try:
            usual = own_source(None, self.config)
        except ConfigurationError:
            if given is None:
                raise
            return (given,)
        return tuple(dict.fromkeys((given or usual, usual)))

    def look_at_task(self, task: Task) -> None:
        """Look at one task's datasets; a failure makes the picture incomplete if the task is an enabled one."""
        found = self.look_at(task.root, tree=task.recursive)
        if not found:
            return
        if not task.recursive:
            self.names[task.name] = (task.root,)
            return
        try:
            self.names[task.name] = expand(task.root, found, task.include, task.exclude).datasets
        except ConfigurationError as error:
            self.fault(f"task {task.name}", error)

    def look_at(self, root: str, *, tree: bool) -> dict[str, Surveyed]:
        """Look at one dataset or tree, once; empty if it isn't there or can't be looked at."""
        self.session.stop.check()
        if not tree and root in self.machine:
            self.asked.add(root)
            here = self.machine[root]
            return {root: zfs_holds.Surveyed(root, here.guid, ())}
        try:
            found = self.ask(root, tree=tree)
        except Cancelled:
            raise
        except ZfsError as error:
            self.fault(root, error)
            return {}
        self.add(found)
        self.asked.update(found)
        return found

    def look_at_pool(self, pool: str) -> None:
        """Look at a whole pool, for what was renamed."""
        try:
            found = self.ask(pool, tree=True)
        except Cancelled:
            raise
        except ZfsError as error:
            self.fault(pool, error)
            return
        self.add(found)
        if found:
            self.whole_pools.add(pool)

    def ask(self, root: str, *, tree: bool) -> dict[str, Surveyed]:
        """What zfs says of a dataset or tree. Raises `ZfsError`."""
        return zfs_holds.survey(self.session.zfs, root, tree=tree, bookmarks=self.session.capabilities.bookmarks)

    def add(self, found: dict[str, Surveyed]) -> None:
        """Add datasets to the picture; what is in it stays as it was seen first."""
        for name, one in found.items():
            if name not in self.machine:
                self.machine[name] = Here(name, one.guid, one.snapshots, references=one.references)
                self.bookmarks[name] = one.bookmarks

    def fault(self, what: str, error: ZfsPushBackupsError) -> None:
        """Something couldn't be looked at: what is there besides isn't known to be free."""
        self.incomplete = True
        self.problems.append(f"{what}: {error}")
        log.warning("the holds of %s can't be looked at: %s", what, error)
