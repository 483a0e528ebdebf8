"""Runs one thing on a thread of its own for as long as it may take, and leaves it behind when it takes longer.

Invariants: waiting needs no tick; the limit may shrink while somebody waits (`wake`, also from a signal handler). The
thread takes no signals: they stay with the main thread, whose waiting they interrupt.
"""

from __future__ import annotations

import signal
import threading
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from zfs_push_backups.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable


class Outcome(Record):
    """How it went: `done` False was left behind; `error` is what it raised."""

    done: bool
    error: BaseException | None = None


LEFT_BEHIND = Outcome(done=False)


class Running:
    """One thing that runs since this object was made."""

    def __init__(self, work: Callable[[], object], name: str) -> None:
        # SimpleQueue may be fed by a signal handler that interrupts its reader; Event and Queue would lock up.
        self._words: SimpleQueue[Outcome | None] = SimpleQueue()
        self._work = work
        thread = threading.Thread(target=self._run, name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # No thread to be had: better done without a limit than not at all.
            self._run()

    def wait(self, left: Callable[[], float]) -> Outcome:
        """Wait until it is done or no seconds are `left`, which is asked again after each `wake`."""
        while True:
            try:
                word = self._words.get(timeout=max(left(), 0.0))
            except Empty:
                if left() <= 0:
                    return LEFT_BEHIND
                continue
            if word is not None:
                return word

    def wake(self) -> None:
        """Have the limit looked at again."""
        self._words.put(None)

    def _run(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            take_no_signals()
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001  # it is the waiting side's to judge
            self._words.put(Outcome(done=True, error=error))
        else:
            self._words.put(Outcome(done=True))


def take_no_signals() -> None:
    """Leave all signals to the other threads."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
