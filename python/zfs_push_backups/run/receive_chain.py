"""Receives chains into datasets: each step is one `zfs receive` fed by one engine job.

Invariants: targets are checked before the preflight, all of them; a chain goes on only after `zfs receive` exited 0;
after a failure the error says up to which snapshot each dataset is restored. What failed half-way is rolled back by
zfs itself; complete steps stay, since they are good.
"""

from __future__ import annotations

import logging
import shlex
import time
from typing import TYPE_CHECKING

from zfs_push_backups import engine
from zfs_push_backups.errors import ConfigurationError, UsageError, ZfsPushBackupsError
from zfs_push_backups.run.jobs import run_job
from zfs_push_backups.run.properties import apply_properties
from zfs_push_backups.run.results import RestoredDataset
from zfs_push_backups.zfs import datasets
from zfs_push_backups.zfs.receive import ReceiveProcess, mount, unmount

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zfs_push_backups.plan.listing import Backup
    from zfs_push_backups.run.restore import Chain, Restoration


log = logging.getLogger(__name__)

SINK_BROKE = "engine.sink_write"


class TreeReceive:
    """Receives one or more chains, parents first."""

    def __init__(self, work: Restoration, chains: Sequence[Chain]) -> None:
        self.work = work
        self.chains = tuple(chains)
        self.zfs = work.session.zfs
        self.reached: dict[str, str] = {}

    def check_targets(self) -> None:
        """Refuse targets that exist (without force), and a target whose parent doesn't."""
        coming = {chain.target for chain in self.chains}
        for chain in self.chains:
            if datasets.exists(self.zfs, chain.target):
                if not self.work.options.force:
                    raise UsageError(
                        f"{chain.target} exists, and a restore goes into a new dataset",
                        hint="name another, or say --force: it then loses what is newer than the backup",
                    )
                continue
            parent = chain.target.rpartition("/")[0]
            if not parent and not self.work.options.force:
                raise UsageError(f"there is no pool {chain.target}", hint="create the pool, or name a dataset in one")
            if parent and parent not in coming and not datasets.exists(self.zfs, parent):
                hint = datasets.unknown_dataset(parent, datasets.list_all(self.zfs)).hint
                if parent.startswith(f"{self.chains[0].target}/"):
                    alone = f"`zfs create -p {shlex.quote(parent)}`, then restore {chain.dataset} with --dataset"
                    hint = f"the tree was pushed without it: restore without --recursive, {alone}"
                raise ConfigurationError(f"the parent of {chain.target} does not exist: {parent}", hint=hint)

    def run(self) -> tuple[RestoredDataset, ...]:
        """Receive everything; an error is completed with what exists now."""
        done = []
        try:
            for chain in self.chains:
                self.work.session.stop.check()
                done.append(self.receive_chain(chain))
        except ZfsPushBackupsError as error:
            self.tell(error)
            raise
        return tuple(done)

    def receive_chain(self, chain: Chain) -> RestoredDataset:
        """Receive the full and all that stands on it."""
        started = time.monotonic()
        total, names = 0, []
        for backup, manifest in self.work.store.manifests(chain.backups):
            total += self.receive_one(backup, str(manifest["snapshot"]), chain.target, int(manifest["stream_length"]))
            names.append(str(manifest["snapshot"]))
            self.reached[chain.target] = names[-1]
        self.finish(chain)
        step = f"{chain.dataset}@{names[-1]} restored to {chain.target}"
        if not self.work.options.mount:
            step += f", not mounted: zfs mount {chain.target}"
        self.work.session.reporter.step(step)
        return RestoredDataset(
            dataset=chain.dataset,
            target=chain.target,
            backups=tuple(backup.id for backup in chain.backups),
            snapshots=tuple(names),
            stream_bytes=total,
            seconds=time.monotonic() - started,
        )

    def receive_one(self, backup: Backup, snapshot: str, target: str, stream_bytes: int) -> int:
        """Receive one stream; returns its length in bytes."""
        session, work = self.work.session, self.work
        session.stop.check()
        session.reporter.step(f"receiving {snapshot}, level {backup.level}, into {target}")
        request = {
            "store": work.store.config,
            "identity_files": list(work.identities),
            "manifest_key": backup.key,
            "memory_budget_bytes": work.memory_budget,
        }
        with ReceiveProcess(self.zfs, session.capabilities, target, force=work.options.force) as process:
            job = engine.RestoreJob(request, process.fileno())
            process.close_pipe()
            try:
                report = run_job(session, job, label=f"{target}@{snapshot}", total_bytes=stream_bytes)
            except ZfsPushBackupsError as error:
                # A receive that gave up closes its pipe: then its own words are the cause, not our broken pipe.
                gave_up = process.ended_early() if error.code == SINK_BROKE else None
                if gave_up is not None:
                    raise gave_up from error
                raise
            process.finish()
        return int(report["stream_bytes"])

    def finish(self, chain: Chain) -> None:
        """Properties and mounting, where asked for."""
        options = self.work.options
        if options.properties or options.mountpoints:
            meta = self.work.store.meta(chain.backups[-1], self.work.identities)
            if self.work.store.manifest(chain.backups[-1])["send"]["made"] == "stdin":
                log.warning("%s: its backup came from standard input, with no properties to set", chain.target)
            apply_properties(self.zfs, chain.target, meta, ordinary=options.properties, mountpoints=options.mountpoints)
        if options.mount:
            mount(self.zfs, chain.target)
        elif not self.work.session.capabilities.receive_unmounted:
            # Only behind the last step: zfs-fuse now and then answers a receive after an unmount with an I/O error.
            unmount(self.zfs, chain.target)

    def tell(self, error: ZfsPushBackupsError) -> None:
        """Complete an error with what exists now."""
        state = ", ".join(f"{target} is complete up to @{name}" for target, name in self.reached.items())
        error.hint = "; ".join(filter(None, (error.hint, f"now there: {state or 'nothing'}")))
