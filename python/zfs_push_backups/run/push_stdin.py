"""Push of a stream from standard input: what it is comes from its own BEGIN record, never from the name given.

Invariants: an incremental is taken only onto a committed backup whose snapshot it stands on, by guid. Nothing is known
of the sender's exit status, and the manifest says so (`made: stdin`). Such a run is saved like any other, so that a
stop between its last part and its manifest loses nothing; but it can't be gone on with before that.
"""

from __future__ import annotations

import logging
import os
import select
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from zfs_push_backups import engine
from zfs_push_backups.errors import SourceFailed, StreamRefused, UsageError
from zfs_push_backups.plan.levels import Pins, Wish
from zfs_push_backups.plan.stdin import decide_stdin, stdin_parent
from zfs_push_backups.run.jobs import run_job
from zfs_push_backups.run.journal import RunJournal
from zfs_push_backups.run.push_dataset import Planned, pins_of
from zfs_push_backups.run.push_stream import new_run, push_request, result_of
from zfs_push_backups.run.results import PushResult
from zfs_push_backups.run.resume import settle_stdin
from zfs_push_backups.zfs.names import split_snapshot

if TYPE_CHECKING:
    from datetime import timedelta

    from zfs_push_backups.catalogue.records import SavedRun
    from zfs_push_backups.plan.levels import Decision
    from zfs_push_backups.plan.listing import Backup
    from zfs_push_backups.run.options import PushOptions
    from zfs_push_backups.run.push_task import Destination
    from zfs_push_backups.run.session import Session
    from zfs_push_backups.run.shutdown import Shutdown

HEADER_BYTES = 312
TICK_MILLISECONDS = 100
WARNING_SECONDS = 600.0

log = logging.getLogger(__name__)


def push_stdin(options: PushOptions, session: Session, destination: Destination) -> PushResult:
    """Take one stream and commit it. Raises `StreamRefused` (exit 2) for what is never taken."""
    dataset, snapshot = split_snapshot(options.stdin or "")
    if os.isatty(options.stdin_fd):
        raise UsageError(
            "standard input is a terminal", hint=f"zfs send {options.stdin} | zfs-push-backups --stdin ..."
        )
    head = read_head(options.stdin_fd, session.stop, destination.config.source_stall_timeout)
    begin = engine.parse_begin(head)
    target = Planned(snapshot, int(begin["to_guid"]), None, int(begin["creation_unix_seconds"]))
    flags = flags_of(begin)
    listed = list_settled(destination)
    backups = [backup for backup in listed if backup.dataset == dataset]
    from_guid = int(begin["from_guid"])
    parent = stdin_parent(backups, from_guid) if from_guid else None
    pins = Pins(raw=bool(begin["raw"]), large_blocks="-L" in flags, recipients=frozenset(destination.recipients))
    wish = Wish(
        level=options.level,
        now=session.now(),
        pins=pins,
        chain_pins=None if parent is None else pins_of(destination.store.manifest(parent)),
    )
    decision = decide_stdin(dataset, target, from_guid, parent, wish)
    if options.dry_run:
        return PushResult(
            task=None,
            dataset=dataset,
            status="planned",
            snapshot=snapshot,
            level=decision.level,
            base=decision.parent_id,
            requests=dict(destination.store.requests),
        )
    backup = backup_of(dataset, decision, begin, flags, destination)
    name = f"{dataset}@{snapshot}"
    session.reporter.step(f"taking {name} from standard input, level {decision.level}", dataset=dataset)
    ledger = destination.saved
    run = ledger.begin(saved_run(dataset, decision, backup, session, destination), ())
    with ledger.sending(run):
        job = engine.PushJob(push_request(destination, session, backup, run), head, options.stdin_fd)
        job.source_exited("unknown", "")
        done = run_job(session, job, label=name, journal=RunJournal(ledger.runs, run.id, job))
    return replace(result_of(None, dataset, decision, done, destination), base=decision.parent_id)


def list_settled(destination: Destination) -> tuple[Backup, ...]:
    """What this source has committed, after earlier runs from standard input were settled and swept."""
    ledger = destination.ledger
    if ledger is None:
        return destination.store.backups(destination.source)
    ledger.open()
    listed = destination.store.backups(destination.source)
    if settle_stdin(ledger, listed):
        listed = destination.store.backups(destination.source)
    ledger.sweep()
    return listed


def saved_run(
    dataset: str, decision: Decision, backup: dict[str, Any], session: Session, destination: Destination
) -> SavedRun:
    """What is kept of the run; its snapshots may be on another machine."""
    return new_run(
        destination,
        session,
        decision,
        task=None,
        dataset=dataset,
        dataset_guid=None,
        base=None,
        base_guid=None if decision.parent is None else decision.parent.snapshot_guid,
        flags=tuple(backup["flags"]),
        raw=backup["raw"],
        compression="none",
        estimated_bytes=None,
        tree_group=None,
        zfs_userland=None,
        zfs_kernel=None,
        resumable=False,
    )


def read_head(descriptor: int, stop: Shutdown, stall: timedelta | None = None) -> bytes:
    """Read the first record's header; a shorter stream is refused, and a sender that says nothing for `stall`.

    Raises `StreamRefused`, `UsageError` where it can't be read, `SourceFailed`. Without a limit a warning tells of it.
    """
    head, waiting, silence = b"", select.poll(), Silence(stall)
    waiting.register(descriptor, select.POLLIN)
    while len(head) < HEADER_BYTES:
        stop.check()
        if not waiting.poll(TICK_MILLISECONDS):
            silence.look()
            continue
        try:
            block = os.read(descriptor, HEADER_BYTES - len(head))
        except OSError as error:
            hint = "pipe `zfs send` into it, or redirect it from a file"
            raise UsageError(f"standard input can't be read: {error.strerror}", hint=hint) from error
        if not block:
            kind = f"ends after {len(head)} bytes" if head else "is empty"
            raise StreamRefused(f"the stream on standard input {kind}", hint="look at what zfs send said")
        head += block
        silence = Silence(stall)
    return head


class Silence:
    """How long standard input has said nothing; the engine judges the same from the stream's first record on."""

    def __init__(self, stall: timedelta | None) -> None:
        self.stall_seconds = None if stall is None else stall.total_seconds()
        self.began = time.monotonic()
        self.next_warning_seconds = WARNING_SECONDS

    def look(self) -> None:
        """Warn each time that the silence has doubled. Raises `SourceFailed` where a limit is set and has passed."""
        silent = time.monotonic() - self.began
        if self.stall_seconds is not None and silent >= self.stall_seconds:
            raise SourceFailed(
                f"standard input has been silent for {int(silent)} s, so its sender counts as dead",
                hint="look at what feeds the pipe, then run again",
                code="engine.source_stalled",
            )
        if silent >= self.next_warning_seconds:
            self.next_warning_seconds *= 2
            log.warning("standard input has been silent for %d s; a healthy sender can be, so the run goes on", silent)


def flags_of(begin: dict[str, Any]) -> tuple[str, ...]:
    """The send flags that the stream's features show, in the order in which a push writes them."""
    features = begin["features"]
    if begin["raw"]:
        return ("-w",)
    known = (("-L", "large_blocks"), ("-e", "embed_data"), ("-c", "compressed"))
    return tuple(flag for flag, feature in known if feature in features)


def backup_of(
    dataset: str, decision: Decision, begin: dict[str, Any], flags: tuple[str, ...], destination: Destination
) -> dict[str, Any]:
    """What the manifest will say of the stream."""
    parent = decision.parent
    return {
        "source": destination.source,
        "task": None,
        "dataset": dataset,
        "snapshot": decision.target.name,
        "snapshot_guid": str(decision.target.guid),
        "snapshot_created": decision.target.creation,
        "level": decision.level,
        "parent": None
        if parent is None
        else {
            "id": parent.id,
            "snapshot": str(destination.store.manifest(parent)["snapshot"]),
            "snapshot_guid": str(parent.snapshot_guid),
        },
        "flags": list(flags),
        "raw": bool(begin["raw"]),
        "made": "stdin",
    }
