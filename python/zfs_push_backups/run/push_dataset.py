"""One dataset of a push: gone on with where a run did not end, else chosen, decided and sent.

Invariant: at most one stream is sent that counts: a run whose stored parts turn out to be of another stream is given
up first, loudly, and begun anew once.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from zfs_push_backups.errors import ResumeImpossible
from zfs_push_backups.plan.history import History
from zfs_push_backups.plan.levels import Kind, Pins, Wish, decide, floor
from zfs_push_backups.plan.snapshots import Rule, by_name, choose, created_name
from zfs_push_backups.record import Record
from zfs_push_backups.run.push_stream import Shipment
from zfs_push_backups.run.results import PushResult
from zfs_push_backups.run.send_dataset import send_dataset
from zfs_push_backups.zfs import datasets, send, snapshots

if TYPE_CHECKING:
    from zfs_push_backups.plan.levels import Decision
    from zfs_push_backups.plan.snapshots import Point
    from zfs_push_backups.run.push_task import TaskPush
    from zfs_push_backups.run.resume import Resumption
    from zfs_push_backups.run.store import Manifest
    from zfs_push_backups.zfs.datasets import Dataset

log = logging.getLogger(__name__)


class Planned(Record):
    """A snapshot that a dry run would take: it has a name and no guid yet."""

    name: str
    guid: int
    createtxg: int | None
    creation: int


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
        shipment = self.shipment(resumption.facts, decision, run.flags, raw=run.raw)
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
        here, marks = self.points_here()
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
        shipment = replace(shipment, estimated_bytes=self.estimate(facts, decision, shipment.arguments))
        if work.options.dry_run:
            return self.planned(shipment, reasons)
        return replace(send_dataset(shipment, work.session, work.destination), reasons=reasons)

    def points_here(self) -> tuple[list[snapshots.Snapshot], list[snapshots.Snapshot]]:
        """The snapshots that there are to send, and the bookmarks."""
        session = self.work.session
        return snapshots.list_points(session.zfs, self.dataset, session.capabilities)

    def choose_snapshot(self, here: list[snapshots.Snapshot], history: History) -> tuple[Point, tuple[str, ...]]:
        """The snapshot named, just taken, or best of those that match."""
        work = self.work
        if work.created is not None:
            if work.options.dry_run and all(snapshot.name != work.created for snapshot in here):
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
            here, _ = self.points_here()
        return snapshots.find(here, self.dataset, name)

    def own_name(self, wanted: str) -> str:
        """`root@name` means the snapshot of that name in every dataset of a tree."""
        owner, mark, name = wanted.rpartition("@")
        return name if mark and owner == self.work.task.root else wanted

    def wish(self, history: History, flags: tuple[str, ...], *, raw: bool) -> Wish:
        """What is wanted, with what is pinned for the chain that exists."""
        work = self.work
        tip, store = history.tip, work.destination.store
        manifest = None if tip is None else dict(store.readable_manifests([tip])).get(tip)
        return Wish(
            level=work.options.level,
            now=work.session.now(),
            pins=Pins(raw=raw, large_blocks="-L" in flags, recipients=frozenset(work.destination.recipients)),
            chain_pins=None if manifest is None else pins_of(manifest),
            chain_damage=None if tip is None else store.damage(tip),
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
            estimated_bytes=None,
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
