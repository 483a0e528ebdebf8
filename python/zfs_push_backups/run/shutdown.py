"""The end of one run: one request to stop that everything sees, and a stack of cleanups with deadlines.

Invariants: a stop is requested once and never taken back; requesting works from signal handlers (nothing here waits for
a lock) and from other threads; a job attached after the request is cancelled at once. Cleanups run last in, first out,
each once, each with its deadline: one that overruns is left behind and logged, one that raises is logged, the rest
still run. Raising is left to the code that waits, so nothing is torn in the middle.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from zfs_push_backups.errors import Cancelled, ShuttingDown
from zfs_push_backups.run.bounded import Outcome, Running
from zfs_push_backups.run.stop_summary import FATES, Fate, Summary
from zfs_push_backups.run.timeouts import PHASES, Phase, Timeouts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# What is quick is done even when no time is left: it costs less than leaving a lock or a file behind.
LAST_CHANCE_SECONDS: Final = 0.1

log = logging.getLogger(__name__)


class Cancellable(Protocol):
    """Whatever can be told to stop: an engine job."""

    def cancel(self, reason: str, within_seconds: float | None = None) -> None:
        """Ask for the end within that time; returns at once. A later call can only shorten the time."""


class Bounded(Protocol):
    """A cleanup that runs."""

    def wait(self, left: Callable[[], float]) -> Outcome:
        """Wait for its end, or until no seconds are left."""

    def wake(self) -> None:
        """Have the limit looked at again."""


@dataclass(eq=False)
class _Entry:
    """One cleanup. `claim` is taken by whoever runs it."""

    name: str
    cleanup: Callable[[], object]
    phase: Phase
    deadline_seconds: float | None
    claim: threading.Lock = field(default_factory=threading.Lock)


class Shutdown:
    """The stop of one run, and what has to be put away at its end."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        start: Callable[[Callable[[], object], str], Bounded] = Running,
    ) -> None:
        self.reason = ""
        self.signal_number = 2
        self.timeouts = Timeouts()
        self._clock, self._start = clock, start
        self._first = threading.Lock()
        self._begun: float | None = None
        self._hurried: float | None = None
        self._phase_begun: dict[Phase, float] = {}
        self._jobs: list[Cancellable] = []
        self._stack: list[_Entry] = []
        self._running: list[Bounded] = []
        self._spent: dict[Phase, float] = dict.fromkeys(PHASES, 0.0)
        self._abandoned: list[str] = []
        self._failed: list[str] = []
        self._fates: dict[str, Fate] = {}
        self._turn = threading.Lock()

    @property
    def requested(self) -> bool:
        """Whether a stop was asked for."""
        return bool(self.reason)

    def is_shutting_down(self) -> bool:
        """Whether a stop was asked for: then nothing new may begin."""
        return self.requested

    def request(self, reason: str, signal_number: int = 2) -> None:
        """Ask for the stop; the first request decides reason and exit code. May be called from a signal handler."""
        if self._first.acquire(blocking=False):
            self.signal_number = signal_number
            self._begun = self._clock()
            self.reason = reason
        for job in tuple(self._jobs):
            self._cancel(job)

    def hurry(self) -> None:
        """Cut every deadline to zero but that of the run state. May be called from a signal handler."""
        if self._hurried is None:
            self._hurried = self._clock()
        for job in tuple(self._jobs):
            self._cancel(job)
        for running in tuple(self._running):
            running.wake()

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
                self._cancel(job)
            yield
        finally:
            self._jobs.remove(job)

    def note(self, dataset: str, fate: Fate) -> None:
        """Remember for the summary what became of a dataset so far; the last word counts."""
        self._fates[dataset] = fate

    def push(
        self,
        name: str,
        cleanup: Callable[[], object],
        *,
        phase: Phase = "background",
        deadline_seconds: float | None = None,
    ) -> Callable[[], None]:
        """Put a cleanup on the stack; the function returned runs it now instead, and what it raises is the caller's.

        After a stop was requested a cleanup runs on a thread of its own, so that it can be left behind.
        """
        entry = _Entry(name, cleanup, phase, deadline_seconds)
        self._stack.append(entry)

        def now() -> None:
            with contextlib.suppress(ValueError):
                self._stack.remove(entry)
            if entry.claim.acquire(blocking=False):
                self._run_now(entry)

        return now

    def finish(self) -> Summary:
        """Run what is left on the stack and say how it went; an interruption meanwhile hurries, and is raised then."""
        interruption: BaseException | None = None
        while True:
            try:
                if self._stack:
                    # On another thread, since an interruption may hit this one between any two steps.
                    Running(self._run_all, "cleanups").wait(lambda: threading.TIMEOUT_MAX)
                else:
                    self._run_all()
                break
            except BaseException as error:
                if interruption is not None:
                    raise
                interruption = error
                self.hurry()
        if interruption is not None:
            raise interruption
        return self.summary()

    def summary(self) -> Summary:
        """What was done so far."""
        named = {fate: tuple(name for name, became in tuple(self._fates.items()) if became == fate) for fate in FATES}
        return Summary(self.reason, dict(self._spent), tuple(self._abandoned), tuple(self._failed), named)

    def overall_end(self) -> float | None:
        """The moment (of the clock) by which the whole stop is over; None before it was requested."""
        if self._begun is None:
            return None
        end = self._begun + self.timeouts.until("db")
        if self._hurried is not None:
            end = min(end, self._hurried + self.timeouts.length("db"))
        return end + 5 * LAST_CHANCE_SECONDS

    def seconds_left(self, phase: Phase) -> float:
        """What is left of a phase, at least zero; its whole length before the stop was requested."""
        now = self._clock()
        if phase != "db" and self._hurried is not None:
            return 0.0
        begun = self._phase_begun.get("graceful", now) if self._begun is None else self._begun
        end = begun + self.timeouts.until(phase)
        if phase in self.timeouts.own and phase != "graceful":
            end = min(end, self._phase_begun.get(phase, now) + self.timeouts.own[phase])
        if phase == "db" and self._hurried is not None:
            end = min(end, max(self._hurried, self._phase_begun.get(phase, now)) + self.timeouts.length(phase))
        return max(end - now, 0.0)

    def _cancel(self, job: Cancellable) -> None:
        if self.requested:
            job.cancel(self.reason, within_seconds=self.seconds_left("graceful"))

    def _run_now(self, entry: _Entry) -> None:
        if not self.requested:
            entry.cleanup()
            return
        outcome = self._run(entry)
        if outcome.error is not None:
            raise outcome.error
        self._judge(entry, outcome)

    def _run_all(self) -> None:
        with self._turn:
            begun = self._clock()
            self._phase_begun.setdefault("graceful", begun if self._begun is None else self._begun)
            if self._begun is not None and not self._spent["graceful"]:
                self._spent["graceful"] = max(begun - self._begun - sum(self._spent.values()), 0.0)
            # Who runs a cleanup now takes it off the stack at any moment.
            with contextlib.suppress(IndexError):
                while True:
                    entry = self._stack.pop()
                    if entry.claim.acquire(blocking=False):
                        self._judge(entry, self._run(entry))

    def _run(self, entry: _Entry) -> Outcome:
        """Run one cleanup for as long as it may take."""
        begun = self._clock()
        self._phase_begun.setdefault(entry.phase, begun)

        def left() -> float:
            spent = self._clock() - begun
            own = float("inf") if entry.deadline_seconds is None else entry.deadline_seconds - spent
            return max(min(own, self.seconds_left(entry.phase)), LAST_CHANCE_SECONDS - spent)

        running = self._start(entry.cleanup, f"cleanup of {entry.name}")
        self._running.append(running)
        try:
            return running.wait(left)
        finally:
            self._running.remove(running)
            self._spent[entry.phase] += self._clock() - begun

    def _judge(self, entry: _Entry, outcome: Outcome) -> None:
        if not outcome.done:
            self._abandoned.append(entry.name)
            log.warning("%s took too long and is left behind", entry.name)
        elif outcome.error is not None:
            self._failed.append(entry.name)
            log.warning("%s failed: %s", entry.name, outcome.error)
