"""One task of a push: its datasets, their snapshots, and for each what to send.

Invariants: unfinished runs are settled before anything new is planned; snapshots are taken at most once, for the whole
tree at one instant; a group id ties a tree together and is made of source, root and snapshot name, so that a dataset
that failed or was not reached joins the same group in a later run. A tree of which a run is gone on with takes no new
snapshot, for that reason.
"""

from __future__ import annotations

import hashlib
import logging
import shlex
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from zfs_push_backups.errors import InternalError, ResumeImpossible
from zfs_push_backups.plan.history import History
from zfs_push_backups.plan.levels import Kind, Pins, Wish, decide, floor
from zfs_push_backups.plan.snapshots import Rule, by_name, choose, created_name
from zfs_push_backups.plan.tree import expand
from zfs_push_backups.run.push_stream import Shipment, send_dataset
from zfs_push_backups.run.results import PushResult
from zfs_push_backups.run.resume import Settlement
from zfs_push_backups.zfs import datasets, send, snapshots

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from zfs_push_backups.catalogue.records import SavedRun
    from zfs_push_backups.config.models import Config, Host, Task
    from zfs_push_backups.plan.levels import Decision
    from zfs_push_backups.plan.listing import Backup
    from zfs_push_backups.plan.snapshots import Point
    from zfs_push_backups.run.ledger import Ledger
    from zfs_push_backups.run.options import PushOptions
    from zfs_push_backups.run.resume import Resumption
    from zfs_push_backups.run.session import Session
    from zfs_push_backups.run.store import Manifest, StoreView
    from zfs_push_backups.zfs.datasets import Dataset

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Destination:
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


@dataclass(frozen=True)
class Planned:
    """A snapshot that a dry run would take: it has a name and no guid yet."""

    name: str
    guid: int
    createtxg: int | None
    creation: int


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
            self.created = self.snapshot_of_unfinished_tree()
            if self.created is None:
                self.take_snapshot()
        for name in names:
            yield Attempt(self, name)

    def settle(self, ledger: Ledger | None, names: Sequence[str]) -> None:
        """Find out which runs are gone on with; what the others left is swept before anything new is stored."""
        if ledger is None:
            settlement = Settlement(self, names, self.destination.foreseen)
            settlement.foresee()
        else:
            settlement = Settlement(self, names, ledger.unfinished())
            settlement.settle(ledger)
            if settlement.committed:
                self.listed = self.destination.store.backups()
            ledger.tidy(self.listed)
        self.resumptions = settlement.resumptions

    def snapshot_of_unfinished_tree(self) -> str | None:
        """The snapshot that the rest of an interrupted tree belongs to."""
        runs = [resumption.run for resumption in self.resumptions.values()]
        newest = max((run for run in runs if run.tree_group), key=lambda run: run.begun, default=None)
        return None if newest is None else newest.snapshot

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


class Attempt:
    """One dataset of a task."""

    def __init__(self, work: TaskPush, dataset: str) -> None:
        self.work = work
        self.dataset = dataset

    def run(self) -> PushResult:
        """Go on with the run that did not end, or choose a snapshot, decide what to send, and send that."""
        if (resumption := self.work.resumptions.get(self.dataset)) is not None:
            try:
                return self.go_on(resumption)
            except ResumeImpossible as error:
                self.work.destination.saved.abandon(resumption.run, error.message)
                self.work.destination.saved.sweep()
        return self.begin()

    def go_on(self, resumption: Resumption) -> PushResult:
        """Send the same stream again; what is stored of it is proven, the rest is stored."""
        work, run, decision = self.work, resumption.run, resumption.decision
        facts = datasets.describe(work.session.zfs, self.dataset)
        shipment = self.shipment(facts, decision, run.flags, raw=run.raw)
        shipment = replace(
            shipment, tree_group=run.tree_group, estimated_bytes=run.estimated_bytes, resumption=resumption
        )
        reasons = (f"an unfinished run is gone on with: {resumption.stored} parts are stored",)
        if work.options.dry_run:
            return self.planned(shipment, reasons)
        return replace(send_dataset(shipment, work.session, work.destination), reasons=reasons)

    def begin(self) -> PushResult:
        """Choose the snapshot, decide what to send, send it."""
        work, zfs = self.work, self.work.session.zfs
        facts = datasets.describe(zfs, self.dataset)
        raw = datasets.raw_choice(facts, work.task.raw, can_raw=work.session.capabilities.send_raw)
        here = snapshots.list_snapshots(zfs, self.dataset)
        marks = snapshots.list_bookmarks(zfs, self.dataset) if work.session.capabilities.bookmarks else []
        history = History(self.dataset, here, marks, work.backups_of(self.dataset))
        target, notes = self.choose_snapshot(here, history)
        flags = send.flags_for(work.session.capabilities, raw=raw)
        decision = decide(history, target, self.wish(history, flags, raw=raw))
        for reason in decision.reasons if decision.loud else ():
            log.warning("%s: %s", self.dataset, reason)
        reasons = (*notes, *decision.reasons)
        if decision.kind is Kind.UP_TO_DATE:
            return self.result("up_to_date", decision, reasons)
        shipment = self.shipment(facts, decision, flags, raw=raw)
        if work.options.dry_run:
            return self.planned(shipment, reasons)
        return replace(send_dataset(shipment, work.session, work.destination), reasons=reasons)

    def choose_snapshot(self, here: list[snapshots.Snapshot], history: History) -> tuple[Point, tuple[str, ...]]:
        """The snapshot named, just taken, or best of those that match."""
        work = self.work
        if work.created is not None:
            if work.options.dry_run and not work.resumptions:
                newest = here[-1].createtxg + 1 if here else 1
                return Planned(work.created, 0, newest, int(work.session.now().timestamp())), ()
            return self.created_snapshot(here, work.created), ()
        if work.options.snapshot is not None:
            return by_name(self.dataset, here, self.own_name(work.options.snapshot)), ()
        rule = Rule(match=work.task.snapshot.match, now=work.session.now(), max_age=work.task.snapshot.max_age)
        parent = work.chosen.get(self.dataset.rpartition("/")[0])
        choice = choose(self.dataset, here, rule, floor=floor(history, work.options.level), same_as=parent)
        work.chosen[self.dataset] = choice.snapshot.name
        for warning in choice.warnings:
            log.warning("%s", warning)
        return choice.snapshot, choice.reasons

    def created_snapshot(self, here: list[snapshots.Snapshot], name: str) -> snapshots.Snapshot:
        """The snapshot taken for the tree; one of its own for a dataset that was made after an unfinished tree's."""
        work = self.work
        if work.resumptions and all(snapshot.name != name for snapshot in here):
            name = created_name(work.task.snapshot.name, work.session.now())
            snapshots.create(work.session.zfs, self.dataset, name, recursive=False)
            here = snapshots.list_snapshots(work.session.zfs, self.dataset)
        return snapshots.find(here, self.dataset, name)

    def own_name(self, wanted: str) -> str:
        """`root@name` means the snapshot of that name in every dataset of a tree."""
        owner, mark, name = wanted.rpartition("@")
        return name if mark and owner == self.work.task.root else wanted

    def wish(self, history: History, flags: tuple[str, ...], *, raw: bool) -> Wish:
        """What is wanted, with what is pinned for the chain that exists."""
        work = self.work
        tip = history.tip
        return Wish(
            level=work.options.level,
            now=work.session.now(),
            pins=Pins(raw=raw, large_blocks="-L" in flags, recipients=frozenset(work.destination.recipients)),
            chain_pins=None if tip is None else pins_of(work.destination.store.manifest(tip)),
            full_every=work.task.full_every,
            max_chain=work.task.max_chain,
            command=work.retry_command(self.dataset),
            other_sources=work.other_sources(self.dataset),
        )

    def shipment(self, facts: Dataset, decision: Decision, flags: tuple[str, ...], *, raw: bool) -> Shipment:
        """Everything that is known of the stream to send."""
        base = f"{self.dataset}{decision.base.argument}" if decision.base else None
        target = f"{self.dataset}@{decision.target.name}"
        arguments = send.send_arguments(target, base=base, flags=flags)
        parent = decision.parent
        return Shipment(
            task=None if self.work.options.dataset else self.work.task.name,
            facts=facts,
            decision=decision,
            arguments=arguments,
            flags=flags,
            raw=raw,
            compression=self.work.task.compression,
            tree_group=self.work.group_of(decision.target.name),
            parent_snapshot=None if parent is None else str(self.work.destination.store.manifest(parent)["snapshot"]),
            estimated_bytes=self.estimate(facts, decision, arguments),
        )

    def estimate(self, facts: Dataset, decision: Decision, arguments: tuple[str, ...]) -> int | None:
        """The stream's expected length; the live dataset's size stands in for a snapshot not yet taken."""
        if isinstance(decision.target, snapshots.Snapshot):
            session = self.work.session
            return send.estimate(session.zfs, session.capabilities, facts, decision.target, arguments)
        return facts.referenced if decision.kind is Kind.FULL else None

    def planned(self, shipment: Shipment, reasons: tuple[str, ...]) -> PushResult:
        """What a dry run shows."""
        result = self.result("planned", shipment.decision, reasons)
        requests = dict(self.work.destination.store.requests)
        return replace(result, estimated_bytes=shipment.estimated_bytes, requests=requests)

    def result(self, status: str, decision: Decision, reasons: tuple[str, ...]) -> PushResult:
        """A result without a transfer."""
        existing = decision.existing
        return PushResult(
            task=None if self.work.options.dataset else self.work.task.name,
            dataset=self.dataset,
            status="up_to_date" if status == "up_to_date" else "planned",
            snapshot=decision.target.name,
            level=decision.level,
            base=decision.base.argument if decision.base else None,
            id=existing.id if existing else None,
            manifest_key=existing.key if existing else None,
            reasons=reasons,
        )


def pins_of(manifest: Manifest) -> Pins:
    """What a manifest says is pinned for its chain."""
    sent = manifest["send"]
    return Pins(raw=sent["raw"], large_blocks="-L" in sent["flags"], recipients=frozenset(manifest["recipients"]))
