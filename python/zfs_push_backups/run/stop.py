"""One request to stop, seen by everything that waits: zfs commands, hooks, queues and the running job.

Invariants: set once, never taken back; works from a signal handler (no locks) and from another thread; a job attached
after the request is cancelled at once. Raising is left to the code that waits, so nothing is torn in the middle.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Protocol

from zfs_push_backups.errors import Cancelled, ShuttingDown

if TYPE_CHECKING:
    from collections.abc import Iterator


class Cancellable(Protocol):
    """Whatever can be told to stop: an engine job."""

    def cancel(self, reason: str) -> None:
        """Ask for the end; returns at once."""


class Stop:
    """The stop of one run."""

    def __init__(self) -> None:
        self.reason = ""
        self.signal_number = 2
        self._jobs: list[Cancellable] = []

    @property
    def requested(self) -> bool:
        """Whether a stop was asked for."""
        return bool(self.reason)

    def request(self, reason: str, signal_number: int = 2) -> None:
        """Ask for the stop; the first request decides reason and exit code. May be called from a signal handler."""
        if not self.reason:
            self.signal_number = signal_number
            self.reason = reason
        for job in tuple(self._jobs):
            job.cancel(self.reason)

    def check(self) -> None:
        """Raise `ShuttingDown` where new work would begin after a stop."""
        if self.requested:
            raise self.as_error(ShuttingDown)

    def as_error(self, kind: type[Cancelled] = Cancelled) -> Cancelled:
        """Name the stop as the error that ends the run."""
        return kind(f"stopped by {self.reason}", signal_number=self.signal_number)

    @contextlib.contextmanager
    def attached(self, job: Cancellable) -> Iterator[None]:
        """Have `job` cancelled by a stop while the block runs, or at once if the stop is there already."""
        self._jobs.append(job)
        try:
            if self.requested:
                job.cancel(self.reason)
            yield
        finally:
            self._jobs.remove(job)
