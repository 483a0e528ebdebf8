"""How a use case waits for an engine job.

Invariants: the job is attached to the stop while it runs; its events reach the log in order and its progress the
reporter; a stop that was asked for is what the caller sees, whatever error the cancelled job ended with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zfs_push_backups.errors import ZfsPushBackupsError
from zfs_push_backups.report.logs import active_handler, forward_engine_events

if TYPE_CHECKING:
    from zfs_push_backups.engine import Job
    from zfs_push_backups.run.session import Session


def run_job(session: Session, job: Job, *, label: str = "", total_bytes: int | None = None) -> dict[str, Any]:
    """Wait for `job` and return its report; with a label its progress is shown."""
    handler = active_handler()

    def pull() -> None:
        while events := job.drain_events():
            forward_engine_events(events)

    def tick() -> None:
        pull()
        if label:
            session.reporter.update(job.snapshot())

    if handler is not None:
        handler.pull = pull
    if label:
        session.reporter.begin(label, total_bytes)
    try:
        with session.stop.attached(job):
            report = job.wait(tick)
    except ZfsPushBackupsError as error:
        if session.stop.requested:
            raise session.stop.as_error() from error
        raise
    finally:
        if handler is not None:
            handler.pull = None
        if label:
            session.reporter.end()
        pull()
    return report
