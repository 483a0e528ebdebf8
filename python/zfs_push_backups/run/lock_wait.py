"""Waits for a lock without asking again and again: a thread blocks in flock, its caller waits for the thread's word.

Invariant: a thread that is given up lets go of the lock by itself should it get it later.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from zfs_push_backups.run.bounded import take_no_signals

if TYPE_CHECKING:
    from zfs_push_backups.run.shutdown import Shutdown


def wait_for(descriptor: int, seconds: float, stop: Shutdown) -> bool:
    """Wait at most so long for the lock behind `descriptor`; False when time is up or a stop was requested.

    On True the lock is held by `descriptor`.
    """
    waiter = _Waiter(descriptor)
    with stop.attached(waiter):
        try:
            return waiter.wait(seconds)
        except BaseException:
            waiter.give_up()
            raise


class _Waiter:
    """One thread in flock, on a duplicate of the caller's descriptor: both are one lock."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = os.dup(descriptor)
        self._words: SimpleQueue[bool] = SimpleQueue()
        # Held only for an instant, never by a signal handler.
        self._turn = threading.Lock()
        self._given_up = self._locked = False
        threading.Thread(target=self._run, name="waiting for a lock", daemon=True).start()

    def cancel(self, _reason: str, within_seconds: float | None = None) -> None:
        """Stop waiting; fit for a signal handler."""
        del within_seconds
        self._words.put(False)

    def wait(self, seconds: float) -> bool:
        """Whether the lock came in time."""
        end = time.monotonic() + seconds
        try:
            word = self._words.get(timeout=max(end - time.monotonic(), 0.0))
        except Empty:
            word = False
        return word or self.give_up()

    def give_up(self) -> bool:
        """Wait no longer; True where the lock had come just before."""
        with self._turn:
            self._given_up = True
            return self._locked

    def _run(self) -> None:
        take_no_signals()
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        except OSError:
            self._words.put(False)
            os.close(self._descriptor)
            return
        with self._turn:
            self._locked = not self._given_up
            if self._given_up:
                # The duplicate shares its lock with the caller's descriptor, which may be closed by now, or not.
                with contextlib.suppress(OSError):
                    fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        os.close(self._descriptor)
        self._words.put(True)
