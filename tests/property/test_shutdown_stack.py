"""The stack of cleanups against a model: pushes, runs, overruns, errors and signals in any order, on its own clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from zfs_push_backups.run.bounded import LEFT_BEHIND, Outcome
from zfs_push_backups.run.shutdown import LAST_CHANCE_SECONDS, Shutdown
from zfs_push_backups.run.timeouts import PHASES, VARIABLES, Phase, Timeouts, timeouts

EIGHTHS = st.integers(0, 400).map(lambda count: count / 8)
CLOSE = 1e-6


@dataclass(eq=False)
class Cleanup:
    """What one cleanup does when it runs, and what became of it."""

    number: int
    phase: Phase
    deadline_seconds: float | None
    lasts_seconds: float
    raises: bool
    hurried_after: float | None
    now: Callable[[], None] = lambda: None
    begun: float | None = None
    ended: float | None = None
    done: bool = False
    seen: list[str] = field(default_factory=list)

    @property
    def took(self) -> float:
        assert self.begun is not None
        assert self.ended is not None
        return self.ended - self.begun


class Simulated:
    """Runs a cleanup on the machine's clock; a second signal may come in the middle of it."""

    def __init__(self, machine: ShutdownStack, work: Callable[[], object]) -> None:
        self.machine = machine
        work()
        self.cleanup = machine.last_run

    def wait(self, left: Callable[[], float]) -> Outcome:
        clock, one = self.machine, self.cleanup
        begun = one.begun = clock.time
        while True:
            remaining, elapsed = left(), clock.time - begun
            rest = one.lasts_seconds - elapsed
            signal = one.hurried_after
            if signal is not None and elapsed <= signal <= elapsed + min(rest, remaining):
                clock.time, one.hurried_after = begun + signal, None
                clock.hurry_now()
            elif rest <= remaining:
                clock.time += rest
                one.ended, one.done = clock.time, True
                return Outcome(done=True, error=ValueError(one.number) if one.raises else None)
            elif remaining <= CLOSE:
                one.ended = clock.time
                return LEFT_BEHIND
            else:
                clock.time += remaining

    def wake(self) -> None:
        """The loop above asks again by itself."""


class ShutdownStack(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.time = 1000.0
        self.stop = Shutdown(clock=lambda: self.time, start=lambda work, _name: Simulated(self, work))
        self.made: list[Cleanup] = []
        self.model: list[Cleanup] = []
        self.expected: list[Cleanup] = []
        self.order: list[Cleanup] = []
        self.bounded: list[Cleanup] = []
        self.requested_at: float | None = None
        self.hurried_at: float | None = None
        self.last_run: Cleanup

    @rule(total=st.integers(1, 60), own=st.dictionaries(st.sampled_from(PHASES), EIGHTHS))
    @precondition(lambda self: self.requested_at is None)
    def configure(self, total: int, own: dict[Phase, float]) -> None:
        self.stop.timeouts = timeouts(total, {VARIABLES[phase]: f"{value:.3f}" for phase, value in own.items()})
        assert self.stop.timeouts == Timeouts(total, own)

    @rule(
        phase=st.sampled_from(PHASES),
        deadline_seconds=st.none() | EIGHTHS,
        lasts_seconds=EIGHTHS,
        raises=st.booleans(),
        hurried_after=st.none() | EIGHTHS,
    )
    def push(self, phase: Phase, deadline_seconds: float | None, lasts_seconds: float, **more: object) -> None:
        cleanup = Cleanup(len(self.made), phase, deadline_seconds, lasts_seconds, **more)  # type: ignore[arg-type]

        def run() -> None:
            self.last_run = cleanup
            self.order.append(cleanup)
            if self.requested_at is None and not self.finishing:
                cleanup.done = True
                if cleanup.raises:
                    raise ValueError(cleanup.number)

        cleanup.now = self.stop.push(f"number {cleanup.number}", run, phase=phase, deadline_seconds=deadline_seconds)
        self.made.append(cleanup)
        self.model.append(cleanup)

    finishing = False

    @rule(data=st.data())
    @precondition(lambda self: self.made)
    def run_now(self, data: st.DataObject) -> None:
        cleanup = data.draw(st.sampled_from(self.made))
        first = cleanup in self.model
        if first:
            self.model.remove(cleanup)
            self.expected.append(cleanup)
            if self.requested_at is not None:
                self.bounded.append(cleanup)
        raised: ValueError | None = None
        try:
            cleanup.now()
        except ValueError as error:
            raised = error
        assert (raised is not None) == (first and cleanup.raises and cleanup.done)
        assert raised is None or raised.args == (cleanup.number,)

    @rule(seconds=EIGHTHS)
    def let_time_pass(self, seconds: float) -> None:
        self.time += seconds

    @rule()
    def request(self) -> None:
        self.stop.request("SIGTERM", 15)
        self.requested_at = self.time if self.requested_at is None else self.requested_at

    @rule()
    @precondition(lambda self: self.requested_at is not None)
    def hurry(self) -> None:
        self.hurry_now()

    def hurry_now(self) -> None:
        self.stop.hurry()
        self.hurried_at = self.time if self.hurried_at is None else self.hurried_at

    @rule()
    @precondition(lambda self: self.requested_at is not None)
    def finish(self) -> None:
        self.finishing = True
        left, begun = list(reversed(self.model)), self.time
        self.model.clear()
        self.expected += left
        self.bounded += left
        summary = self.stop.finish()
        self.finishing = False
        assert list(summary.failed) == [
            f"number {one.number}" for one in self.order if one in self.by_finish(left) and one.done and one.raises
        ]
        self.check_bound(begun, len(left))

    def by_finish(self, left: list[Cleanup]) -> list[Cleanup]:
        self.finished = [*getattr(self, "finished", []), *left]
        return self.finished

    def check_bound(self, begun: float, count: int) -> None:
        """However long its cleanups would last, the whole stop ends by its deadline, or has given each a blink."""
        assert self.requested_at is not None
        end = max(self.requested_at + self.stop.timeouts.until("db"), begun)
        assert self.time <= end + count * LAST_CHANCE_SECONDS + CLOSE

    @invariant()
    def each_ran_once_in_the_models_order(self) -> None:
        assert self.order == self.expected

    @invariant()
    def deadlines_are_respected(self) -> None:
        for one in self.bounded:
            assert one.done == (one.took >= one.lasts_seconds - CLOSE and one.done)
            assert one.took <= one.lasts_seconds + CLOSE
            assert one.took <= max(one.deadline_seconds or 0.0, LAST_CHANCE_SECONDS) + CLOSE or (
                one.deadline_seconds is None
            )
            if one.lasts_seconds <= LAST_CHANCE_SECONDS:
                assert one.done
            if not one.done:
                self.check_cause(one)

    def check_cause(self, one: Cleanup) -> None:
        """Whoever was left behind had used up one of the limits, and a second signal is none for the run state."""
        assert self.requested_at is not None
        assert one.begun is not None
        assert one.ended is not None
        limits = self.stop.timeouts
        over = [one.ended >= self.requested_at + limits.until(one.phase) - CLOSE]
        over.append(one.deadline_seconds is not None and one.took >= one.deadline_seconds - CLOSE)
        over.append(
            one.phase in limits.own and one.phase != "graceful" and self.spent_by(one) >= limits.own[one.phase] - CLOSE
        )
        if self.hurried_at is not None:
            if one.phase == "db":
                first = min(other.begun for other in self.bounded if other.phase == "db" and other.begun is not None)
                over.append(one.ended >= max(first, self.hurried_at) + limits.length("db") - CLOSE)
            else:
                over.append(one.ended >= self.hurried_at - CLOSE)
        assert any(over)
        assert one.took >= LAST_CHANCE_SECONDS - CLOSE

    def spent_by(self, one: Cleanup) -> float:
        """Time from the phase's first cleanup to this one's end."""
        begins = [other.begun for other in self.bounded if other.phase == one.phase and other.begun is not None]
        assert one.ended is not None
        return one.ended - min(begins)

    @invariant()
    def after_a_second_signal_only_the_run_state_has_time(self) -> None:
        if self.hurried_at is None:
            return
        for one in self.bounded:
            if one.phase != "db" and one.begun is not None and one.ended is not None:
                assert one.ended <= max(self.hurried_at, one.begun + LAST_CHANCE_SECONDS) + CLOSE


TestShutdownStack = ShutdownStack.TestCase
