"""One stream of a push: `zfs send` into the engine, supervised, until the backup is committed or nothing is.

Invariants: the run is saved, and what it reads is held, before anything starts; the engine commits only after the
child's exit status 0 was reported; leaving this code for any reason ends and reaps the child; when the child failed,
the engine reports its words, not the cut stream that followed from it.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any

from zfs_push_backups import engine
from zfs_push_backups.catalogue.records import SavedRun
from zfs_push_backups.errors import ConfigurationError, ResumeImpossible, SourceFailed, StoreDamaged, StreamRefused
from zfs_push_backups.plan.resume import LEAST_PARTS_TO_SPLICE
from zfs_push_backups.record import Record
from zfs_push_backups.run.jobs import run_job
from zfs_push_backups.run.journal import RunJournal
from zfs_push_backups.run.ledger import run_request
from zfs_push_backups.run.results import PushResult, add_requests
from zfs_push_backups.zfs import snapshots
from zfs_push_backups.zfs.send import SendProcess

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zfs_push_backups.plan.history import Base
    from zfs_push_backups.plan.levels import Decision
    from zfs_push_backups.plan.snapshots import Point
    from zfs_push_backups.run.push_task import Destination
    from zfs_push_backups.run.resume import Resumption
    from zfs_push_backups.run.session import Session
    from zfs_push_backups.zfs.datasets import Dataset, Property

log = logging.getLogger(__name__)


class Shipment(Record):
    """What is known of a stream before it runs. `arguments` is the whole `zfs` argument list.

    `resumption` is set when it goes on with a run that did not end.
    """

    task: str | None
    facts: Dataset
    decision: Decision
    arguments: tuple[str, ...]
    flags: tuple[str, ...]
    raw: bool
    compression: str
    tree_group: str | None
    parent_snapshot: str | None
    estimated_bytes: int | None
    resumption: Resumption | None = None

    @property
    def stored_dataset(self) -> str:
        """The name that the store knows the dataset by: a run keeps the one that it began with."""
        return self.facts.name if self.resumption is None else self.resumption.run.dataset


class StreamPush:
    """One session of one run: from `zfs send` to the commit."""

    def __init__(self, shipment: Shipment, session: Session, destination: Destination) -> None:
        self.shipment = shipment
        self.session = session
        self.destination = destination
        self.run = noted(shipment, session, destination)
        self.proven_parts = 0
        self.added_parts = 0

    @property
    def name(self) -> str:
        """What is sent, for people."""
        return f"{self.shipment.facts.name}@{self.shipment.decision.target.name}"

    def send(self) -> PushResult:
        """Send the whole stream and commit it; what is stored of it is proven on the way."""
        return self._send(self.shipment.arguments, self._request())

    def splice(self) -> PushResult:
        """Have `zfs send -t` go on behind the last but one stored part; the last has to come out the same."""
        home, target = self.shipment.facts.name, self.shipment.decision.target.name
        if snapshots.identity(self.session.zfs, home, target) != (self.run.dataset_guid, self.run.createtxg):
            # Held since: from here on it stays. Days may have passed since the run was looked at.
            raise ResumeImpossible(f"{home} is not the dataset any more that it was when the run began")
        arguments = ("send", "-t", splice_token(self.run, self.name))
        request = self._request()
        request["run"]["spliced_onto"] = self.run.begin_record
        return self._send(arguments, request)

    def _request(self) -> dict[str, Any]:
        backup = backup_of(self.shipment, self.session, self.destination)
        return push_request(self.destination, self.session, backup, self.run)

    def _send(self, arguments: Sequence[str], request: dict[str, Any]) -> PushResult:
        shipment, session, saved = self.shipment, self.session, self.destination.saved
        session.reporter.step(f"sending {self.name}, level {shipment.decision.level}", dataset=shipment.facts.name)
        with saved.sending(self.run), SendProcess(session.zfs, arguments) as process:
            job = engine.PushJob(request, b"", process.fileno())
            process.close_pipe()
            process.supervise(job.source_exited)
            journal = RunJournal(saved.runs, self.run.id, job)
            try:
                done = run_job(session, job, label=self.name, total_bytes=shipment.estimated_bytes, journal=journal)
            finally:
                self.proven_parts, self.added_parts = journal.skipped, journal.stored
            if said := process.said():
                log.warning("%s was sent with exit status 0, but zfs send said: %s", self.name, said)
        return result_of(shipment.task, shipment.facts.name, shipment.decision, done, self.destination)


def splice_token(run: SavedRun, snapshot: str) -> str:
    """What `zfs send -t` takes to go on one part before the end of what is stored."""
    try:
        return engine.resume_token(run.begin_record or "", run.parts[-LEAST_PARTS_TO_SPLICE], snapshot)
    except (ConfigurationError, StoreDamaged, SourceFailed, StreamRefused) as error:
        raise ResumeImpossible(f"the run state gives no resume token: {error.message}") from error


def noted(shipment: Shipment, session: Session, destination: Destination) -> SavedRun:
    """Save the run, new or gone on with, and hold its target and base."""
    session.stop.check()
    decision, resumption = shipment.decision, shipment.resumption
    points: list[Point | Base] = [decision.target, *([decision.base] if decision.base else [])]
    if resumption is not None:
        return destination.saved.go_on(resumption.run, resumption.stored, points, home=resumption.facts.name)
    run = new_run(
        destination,
        session,
        decision,
        task=shipment.task,
        dataset=shipment.facts.name,
        dataset_guid=shipment.facts.guid,
        base=decision.base.argument if decision.base else None,
        base_guid=decision.base.point.guid if decision.base else None,
        flags=shipment.flags,
        raw=shipment.raw,
        compression=shipment.compression,
        estimated_bytes=shipment.estimated_bytes,
        tree_group=shipment.tree_group,
        zfs_userland=session.capabilities.userland,
        zfs_kernel=session.capabilities.kernel,
        resumable=True,
    )
    return destination.saved.begin(run, points)


def new_run(destination: Destination, session: Session, decision: Decision, **facts: Any) -> SavedRun:
    """A run that begins now, with what the destination and the decision say of it."""
    return SavedRun(
        id=engine.new_backup_id(decision.level, decision.target.guid),
        host=destination.host.name,
        repository=destination.saved.repository,
        source=destination.source,
        snapshot=decision.target.name,
        snapshot_guid=decision.target.guid,
        createtxg=decision.target.createtxg,
        level=decision.level,
        parent_id=decision.parent_id,
        recipients=destination.recipients,
        part_size_bytes=destination.host.part_size,
        begun=session.now(),
        **facts,
    )


def push_request(destination: Destination, session: Session, backup: dict[str, Any], run: SavedRun) -> dict[str, Any]:
    """The engine's request: what the destination decides, and what is pinned for the run."""
    session.stop.check()
    host, stall = destination.host, destination.config.source_stall_timeout
    return {
        "store": destination.store.config,
        "storage_class": {
            "manifest": host.storage_class.manifest,
            "data": host.storage_class.for_level(backup["level"]),
        },
        "recipients": list(destination.recipients),
        "memory_budget_bytes": destination.memory_budget,
        "limit_upload_bytes_per_second": destination.limit_upload,
        "source_stall_seconds": None if stall is None else math.ceil(stall.total_seconds()),
        "part_size_bytes": run.part_size_bytes,
        "estimated_stream_bytes": run.estimated_bytes,
        "compression": run.compression,
        "repository_id": run.repository,
        "run": run_request(run),
        "backup": backup,
    }


def backup_of(shipment: Shipment, session: Session, destination: Destination) -> dict[str, Any]:
    """What the manifest will say of the stream."""
    decision, facts = shipment.decision, shipment.facts
    parent = decision.parent
    return {
        "source": destination.source,
        "task": shipment.task,
        "dataset": shipment.stored_dataset,
        "dataset_guid": facts.guid,
        "snapshot": decision.target.name,
        "snapshot_guid": str(decision.target.guid),
        "createtxg": None if decision.target.createtxg is None else str(decision.target.createtxg),
        "snapshot_created": decision.target.creation,
        "level": decision.level,
        "parent": None
        if parent is None
        else {"id": parent.id, "snapshot": shipment.parent_snapshot, "snapshot_guid": str(parent.snapshot_guid)},
        "flags": list(shipment.flags),
        "raw": shipment.raw,
        "made": "zfs",
        "tree_group": shipment.tree_group,
        "zfs": session.capabilities.as_versions(),
        "properties": {key: {"value": entry.value, "source": entry.source} for key, entry in text_only(facts).items()},
        "dataset_type": facts.type,
    }


def text_only(facts: Dataset) -> dict[str, Property]:
    """The properties but those that aren't UTF-8: they can't be recorded, and mustn't keep the data from being sent."""
    kept = {key: entry for key, entry in facts.properties.items() if is_text(key + entry.value)}
    for key in facts.properties.keys() - kept.keys():
        log.warning("the property %s of %s is not UTF-8, so it is not recorded with the backup", key, facts.name)
    return kept


def is_text(value: str) -> bool:
    """Whether there are no bytes in it that weren't text."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def result_of(
    task: str | None, dataset: str, decision: Decision, done: dict[str, Any], destination: Destination
) -> PushResult:
    """The result of a committed stream."""
    requests = dict(done.get("requests") or {})
    add_requests(destination.store.requests, requests)
    return PushResult(
        task=task,
        dataset=dataset,
        status="pushed",
        snapshot=decision.target.name,
        level=decision.level,
        base=decision.base.argument if decision.base else decision.parent_id,
        id=done["id"],
        manifest_key=done["manifest_key"],
        repository=done["repository"],
        made=done["made"],
        stream_bytes=done["stream_bytes"],
        read_bytes=done["read_bytes"],
        sealed_bytes=done["sealed_bytes"],
        parts=done["parts"],
        seconds=done["seconds"]["total"],
        requests=requests,
    )
