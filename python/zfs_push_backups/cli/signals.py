"""SIGTERM, SIGINT and SIGHUP of the command. Importing installs nothing, and scripts keep their own handlers.

The first signal asks for an orderly stop, the second cuts its deadlines to zero, the third ends the process at once. A
signal that was ignored when the command started (nohup) stays ignored.
Rationale: Python runs handlers on the main thread only, which may hang in a disk's or a library's call. So a thread
reads the signals' numbers from a pipe that CPython's own handler fills, and also ends a stop that takes too long.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import threading
import time
from typing import TYPE_CHECKING

from zfs_push_backups.run.bounded import Running, take_no_signals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from zfs_push_backups.run.shutdown import Shutdown

STOPPING: tuple[int, ...] = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
SIGNALS_UNTIL_EXIT = 3
# What stands in the pipe beside the numbers of signals.
LEAVE, NUDGE = 0, 255
FAREWELL_SECONDS = 1.0

log = logging.getLogger(__name__)


@contextlib.contextmanager
def stopping_signals(stop: Shutdown, *, to_the_end: bool = False) -> Iterator[frozenset[int]]:
    """Have stopping signals (those given) stop the run while the block runs, then put the former handlers back.

    With `to_the_end` the process ends soon after the block: a signal then ends it at once, with the exit code of one.
    """
    watch = _Watch(stop)
    former: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}
    former_pipe = signal.set_wakeup_fd(watch.writing, warn_on_full_buffer=False)
    try:
        for number in STOPPING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                watch.numbers.add(number)
                former[number] = signal.signal(number, watch.on_signal)
        yield frozenset(watch.numbers)
    finally:
        for number, handler in former.items():
            signal.signal(number, exit_at_once if to_the_end else handler)
        signal.set_wakeup_fd(former_pipe)
        watch.leave()


def exit_at_once(number: int, _frame: FrameType | None) -> None:
    """End the process as a stopped command does."""
    os._exit(128 + number)


class _Watch:
    """Counts the signals and watches the deadline, on a thread of its own."""

    def __init__(self, stop: Shutdown) -> None:
        self.stop = stop
        self.numbers: set[int] = set()
        self._count = 0
        # Reentrant, because one handler may interrupt another; the thread never runs any.
        self._reading_turn = threading.RLock()
        self._reading, self.writing = os.pipe()
        for descriptor in (self._reading, self.writing):
            os.set_blocking(descriptor, False)
        self._thread = threading.Thread(target=self._run, name="signals", daemon=True)
        self._thread.start()

    def on_signal(self, _number: int, _frame: FrameType | None) -> None:
        """Take what the pipe has: each number is counted once, whoever comes first."""
        self._read()
        # The thread may have seen nothing of it, and has a deadline to watch now.
        self._write(NUDGE)

    def leave(self) -> None:
        """End the thread."""
        self._write(LEAVE)
        self._thread.join(FAREWELL_SECONDS)
        if not self._thread.is_alive():
            os.close(self._reading)
            os.close(self.writing)

    def _run(self) -> None:
        take_no_signals()
        waiting = select.poll()
        waiting.register(self._reading, select.POLLIN)
        while True:
            end = self.stop.overall_end()
            left = None if end is None else max(end - time.monotonic(), 0.0) * 1000
            if waiting.poll(left):
                if not self._read():
                    return
            elif left is not None and self._is_over():
                self._end_late()

    def _write(self, word: int) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self.writing, bytes([word]))

    def _is_over(self) -> bool:
        end = self.stop.overall_end()
        return end is not None and time.monotonic() >= end

    def _read(self) -> bool:
        """Count what came in; False when the thread is to leave."""
        with self._reading_turn:
            try:
                numbers = os.read(self._reading, 64)
            except BlockingIOError:
                return True
            for number in numbers:
                if number in self.numbers:
                    self._act(number)
            return LEAVE not in numbers

    def _act(self, number: int) -> None:
        self._count += 1
        if self._count >= SIGNALS_UNTIL_EXIT:
            os._exit(128 + number)
        if self._count == 1:
            self.stop.request(signal.Signals(number).name, number)
        else:
            self.stop.hurry()

    def _end_late(self) -> None:
        """End a command that hangs: its cleanups get a last chance, its locks end with it."""
        end = time.monotonic() + self.stop.timeouts.length("db") + FAREWELL_SECONDS
        # Also the log may be what hangs.
        Running(self._last_words, "last words").wait(lambda: end - time.monotonic())
        os._exit(128 + self.stop.signal_number)

    def _last_words(self) -> None:
        log.error("the stop takes too long and is ended now; the next run puts right what it left")
        log.warning("%s", self.stop.finish().line())
