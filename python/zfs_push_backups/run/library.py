"""The use cases for scripts: `push`, `restore`, `list_backups`, `check`, each blocking and awaitable.

Invariants: the awaitable form runs the blocking one in a thread; cancelling the awaiting task stops the job, waits
until it is drained and its cleanups have run, and only then raises; a second cancellation cuts the deadlines. No signal
handler is installed: Ctrl-C in a script cancels the job and comes out as the script's own KeyboardInterrupt.
"""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Any, TypeVar

from zfs_push_backups.report.progress import Reporter, Snapshot
from zfs_push_backups.run import check as check_case
from zfs_push_backups.run import listing as listing_case
from zfs_push_backups.run import push as push_case
from zfs_push_backups.run import restore as restore_case
from zfs_push_backups.run.options import CheckOptions, ListOptions, PushOptions, RestoreOptions
from zfs_push_backups.run.session import Session
from zfs_push_backups.run.shutdown import Shutdown

if TYPE_CHECKING:
    from collections.abc import Callable

    from zfs_push_backups.run.listing import Listing
    from zfs_push_backups.run.results import CheckReport, PushSummary, RestoreSummary

R = TypeVar("R")


class CallbackReporter(Reporter):
    """Hands progress to a function of the caller's."""

    def __init__(self, on_progress: Callable[[Snapshot], None]) -> None:
        self._on_progress = on_progress

    def update(self, progress: Snapshot) -> None:
        """Call the function, about ten times a second; what it raises cancels the job."""
        self._on_progress(progress)


def push(*, on_progress: Callable[[Snapshot], None] | None = None, **options: Any) -> PushSummary:
    """Push tasks, a dataset, or a stream; keywords are the fields of `PushOptions`, named as on the command line.

    Returns what became of each dataset. Raises `ZfsPushBackupsError`: the error itself where one dataset was pushed,
    `SomeTasksFailed` where several were.
    """
    return _ended(push_case.push, PushOptions(**options), _session(on_progress))


def restore(*, on_progress: Callable[[Snapshot], None] | None = None, **options: Any) -> RestoreSummary:
    """Restore a chain or tree; keywords are the fields of `RestoreOptions`. Raises before anything is received."""
    return _ended(restore_case.restore, RestoreOptions(**options), _session(on_progress))


def list_backups(**options: Any) -> Listing:
    """List what is committed at a host; keywords are the fields of `ListOptions`."""
    return _ended(listing_case.list_backups, ListOptions(**options), _session(None))


def check(**options: Any) -> CheckReport:
    """Look at all that a push needs; keywords are the fields of `CheckOptions`."""
    return _ended(check_case.check, CheckOptions(**options), _session(None))


async def push_async(*, on_progress: Callable[[Snapshot], None] | None = None, **options: Any) -> PushSummary:
    """`push`, awaitable; `on_progress` is called on the worker's thread."""
    return await _drained(push_case.push, PushOptions(**options), on_progress)


async def restore_async(*, on_progress: Callable[[Snapshot], None] | None = None, **options: Any) -> RestoreSummary:
    """`restore`, awaitable; `on_progress` is called on the worker's thread."""
    return await _drained(restore_case.restore, RestoreOptions(**options), on_progress)


async def list_backups_async(**options: Any) -> Listing:
    """`list_backups`, awaitable."""
    return await _drained(listing_case.list_backups, ListOptions(**options), None)


async def check_async(**options: Any) -> CheckReport:
    """`check`, awaitable."""
    return await _drained(check_case.check, CheckOptions(**options), None)


def _session(on_progress: Callable[[Snapshot], None] | None, stop: Shutdown | None = None) -> Session:
    return Session(stop=stop, reporter=CallbackReporter(on_progress) if on_progress else None)


def _ended(use_case: Callable[[Any, Session], R], options: Any, session: Session) -> R:
    """Run a use case; whatever ends it, a Ctrl-C too, its cleanups have run when this returns or raises."""
    try:
        return use_case(options, session)
    except BaseException as error:
        if not isinstance(error, Exception):
            session.stop.request(type(error).__name__)
        raise
    finally:
        session.stop.finish()


async def _drained(
    use_case: Callable[[Any, Session], R], options: Any, on_progress: Callable[[Snapshot], None] | None
) -> R:
    """Run a use case in a thread; a cancellation stops it and is raised once it has ended."""
    stop = Shutdown()
    session = _session(on_progress, stop)
    work = asyncio.ensure_future(asyncio.to_thread(functools.partial(_ended, use_case, options, session)))
    cancelled: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError as error:
            if work.done():
                break
            if cancelled is not None:
                stop.hurry()
            cancelled = cancelled or error
            stop.request("the awaiting task's cancellation")
        except Exception:  # noqa: BLE001  # it is raised from the future below
            break
    if cancelled is not None:
        raise cancelled from (None if work.cancelled() else work.exception())
    return work.result()
