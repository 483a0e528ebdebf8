"""How a use case waits for an engine job.

Invariants: the job is attached to the stop while it runs; its events reach the log in order and its progress the
reporter; a stop that was asked for is what the caller sees, whatever error the cancelled job ended with.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from zfs_push_backups.errors import StateError, ZfsPushBackupsError
from zfs_push_backups.report.logs import active_handler, forward_engine_events

if TYPE_CHECKING:
    from collections.abc import Callable

    from zfs_push_backups.engine import Job
    from zfs_push_backups.run.session import Session

log = logging.getLogger(__name__)


def run_job(
    session: Session,
    job: Job,
    *,
    label: str = "",
    total_bytes: int | None = None,
    journal: Callable[[], None] | None = None,
) -> dict[str, Any]:
    """Wait for `job` and return its report; with a label its progress is shown.

    `journal` is called on each tick, where its failure ends the job, and once more after the end.
    """
    handler = active_handler()

    def pull() -> None:
        while events := job.drain_events():
            forward_engine_events(events)

    def tick() -> None:
        pull()
        if journal is not None:
            journal()
        if label:
            session.reporter.update(job.snapshot())

    if handler is not None:
        handler.pull = pull
    if label:
        session.reporter.begin(label, total_bytes)
    try:
        return _waited(session, job, tick)
    finally:
        if handler is not None:
            handler.pull = None
        if label:
            session.reporter.end()
        pull()
        if journal is not None:
            _last_entries(journal)


def _waited(session: Session, job: Job, tick: Callable[[], None]) -> dict[str, Any]:
    try:
        with session.stop.attached(job):
            return job.wait(tick)
    except ZfsPushBackupsError as error:
        if session.stop.requested:
            raise session.stop.as_error() from error
        raise


def _last_entries(journal: Callable[[], None]) -> None:
    """Write what is left. A failure changes nothing by now: the store knows what is committed, the next run asks it."""
    try:
        journal()
    except StateError as error:
        log.warning("the end of the run could not be noted: %s", error)
