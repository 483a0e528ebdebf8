"""SIGTERM, SIGINT and SIGHUP at random moments, in good times and when store, child or cleanup hang.

The exit code tells the signal, no lock or temporary file stays, what was stored is gone on with, and a stop that
something hung is bounded by `shutdown_timeout`. How long each took is printed by cause.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from faults import stops
from faults.cycles import Cycle, run_all, sample
from faults.machine import FULL, LABELS, Machine, Running
from faults.places import FolderPlace
from faults.worker import Worker
from harness import faulty_zfs
from harness.program import Ended
from harness.proxy import Exchange, hang_after, slow

pytestmark = [pytest.mark.pool, pytest.mark.garage]

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
SHUTDOWN_SECONDS = 3
# What a loaded test machine may add to the bound.
SLACK_SECONDS = 5.0
USUAL_SECONDS = 0.25
HANGING = ("PUT part", "PUT intent", "PUT meta", "PUT manifest", "GET list", "GET repository", "GET manifest")


def stop(running: Running, number: signal.Signals, cause: str) -> Ended:
    """Send the signal, and note how long the end takes."""
    begun = time.monotonic()
    running.process.send_signal(number)
    ended = running.ended()
    if ended.code == 128 + number:
        stops.note(cause, running.since(begun))
    return ended


def check_stopped(machine: Machine, ended: Ended, number: signal.Signals, *, early: bool) -> None:
    """Demand an orderly end; who is stopped before the interpreter has the program ends as the interpreter has it."""
    machine.said.append(ended)
    unborn = ended.code == -number or "Fatal Python error: init_import_site" in ended.err
    if not (early and unborn):
        assert ended.code == 128 + number, ended
        assert "Traceback" not in ended.err, ended.err
    assert sorted(machine.locks.iterdir()) == [], machine.log()
    assert machine.place.uploads() == []
    if isinstance(machine.place, FolderPlace):
        assert [key for key in machine.place.objects() if "/.tmp-" in f"/{key}"] == []
    machine.honest()


def stop_and_go_on(cycle: Cycle, worker: Worker, kind: str) -> None:
    """Stop both pushes of a machine at a random moment, and let the next ones finish."""
    with worker.machine(kind) as machine:
        for count, label in enumerate(LABELS, 1):
            number = SIGNALS[(cycle.number + count) % len(SIGNALS)]
            running = machine.start_push(label)
            # Starting up is most of a small push: three of four stops come later.
            early = cycle.number % 4 == 0
            if not early:
                await_lock(machine, running)
            moment = cycle.chance(label).uniform(0, USUAL_SECONDS)
            machine.notes.append(f"{number.name} after {moment:.3f} s")
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.process.wait(moment)
            ended = stop(running, number, f"healthy {kind}") if running.process.poll() is None else running.ended()
            if ended.code != 0:
                check_stopped(machine, ended, number, early=early)
            machine.push_until_done(label)
            machine.proven(*LABELS[:count])
        machine.release(*LABELS)


def await_lock(machine: Machine, running: Running) -> None:
    """Return when the push has its lock, or is over."""
    while running.process.poll() is None and not any(machine.locks.iterdir()):
        time.sleep(0.01)


@pytest.mark.parametrize("cell", ["stop-folder", "stop-bucket"])
def test_a_stopped_push_is_gone_on_with(cell: str, pair: list[Worker]) -> None:
    kind = cell.removeprefix("stop-")
    run_all(sample(cell, 8), pair, lambda cycle, worker: stop_and_go_on(cycle, worker, kind))


Trouble = Callable[[Cycle, Worker, Machine], contextlib.AbstractContextManager[Callable[[], bool]]]


@contextlib.contextmanager
def slow_store(cycle: Cycle, worker: Worker, machine: Machine) -> Iterator[Callable[[], bool]]:
    rule = worker.proxy.on("PUT part", slow(200_000), count=None)
    yield lambda: rule.met > cycle.number % 3


@contextlib.contextmanager
def hung_store(cycle: Cycle, worker: Worker, machine: Machine) -> Iterator[Callable[[], bool]]:
    kind = HANGING[cycle.number % len(HANGING)]
    machine.notes.append(f"hanging at {kind}")
    rule = worker.proxy.on(kind, hang_after(0), count=None)
    yield lambda: rule.met > 0


@contextlib.contextmanager
def hung_child(cycle: Cycle, worker: Worker, machine: Machine) -> Iterator[Callable[[], bool]]:
    """A `zfs` that hears no signal but SIGKILL, or leaves somebody behind who keeps its pipes open."""
    chance = cycle.chance()
    fault = faulty_zfs.make(
        machine.folder / "bin",
        "escapes" if cycle.number % 2 else "deaf",
        subcommand="send" if cycle.number % 3 else "list",
        after_bytes=chance.choice((0, 100_000, 2_500_000)),
    )
    machine.path = fault.path
    yield lambda: fault.met
    fault.repair()


@contextlib.contextmanager
def hung_cleanup(cycle: Cycle, worker: Worker, machine: Machine) -> Iterator[Callable[[], bool]]:
    """The parts stall, so the run can't end, and whatever would take them away again gets no answer."""
    rule = worker.proxy.on("PUT part", hang_after(0), first=2, count=None)

    def then_hang(exchange: Exchange) -> None:
        if rule.met:
            exchange.hang()
        exchange.plainly()

    for kind in ("POST delete", "DELETE intent", "GET list", "DELETE part"):
        worker.proxy.on(kind, then_hang, count=None)
    yield lambda: rule.met > 0


TROUBLES: dict[str, Trouble] = {
    "slow-store": slow_store,
    "hung-store": hung_store,
    "hung-child": hung_child,
    "hung-cleanup": hung_cleanup,
}


def stop_in_trouble(cycle: Cycle, worker: Worker, cell: str) -> None:
    """Wait for the trouble, send the signal, demand the bound; then all is well and the next push finishes."""
    number = SIGNALS[cycle.number % len(SIGNALS)]
    more = {"shutdown_timeout": f"{SHUTDOWN_SECONDS}s"}
    with worker.machine("bucket", more=more) as machine:
        with TROUBLES[cell](cycle, worker, machine) as met:
            running = begin(machine, cell, worker)
            await_trouble(running, met)
            begun = time.monotonic()
            ended = stop(running, number, cell)
            seconds = running.since(begun)
        worker.proxy.clear()
        machine.path = None
        assert seconds < SHUTDOWN_SECONDS + SLACK_SECONDS, (seconds, ended, machine.notes)
        machine.said.append(ended)
        assert ended.code == 128 + number, (ended, machine.notes)
        assert "Traceback" not in ended.err, ended.err
        assert sorted(machine.locks.iterdir()) == [], machine.log()
        machine.push_until_done(FULL)
        machine.honest()
        if cell != "hung-cleanup":
            machine.proven(FULL)
            machine.release(FULL)


def begin(machine: Machine, cell: str, worker: Worker) -> Running:
    """Start to push; by standard input where a stop has to take parts away again."""
    if cell != "hung-cleanup":
        return machine.start_push(FULL)
    stream = machine.folder / "stream"
    worker.source.write_stream(FULL, stream)
    return machine.start("push", "--json", "--stdin", worker.source.snapshot(FULL), stdin=stream)


def await_trouble(running: Running, met: Callable[[], bool]) -> None:
    """Return when the trouble is there."""
    deadline = time.monotonic() + 30
    while not met():
        assert running.process.poll() is None, running.ended()
        assert time.monotonic() < deadline, "the trouble never came"
        time.sleep(0.02)


@pytest.mark.parametrize("cell", TROUBLES)
def test_a_stop_in_trouble_is_bounded(cell: str, pair: list[Worker]) -> None:
    run_all(sample(cell, 4), pair, lambda cycle, worker: stop_in_trouble(cycle, worker, cell))


def test_a_second_signal_waits_for_nothing_and_a_third_for_nobody(worker: Worker, tmp_path: Path) -> None:
    """With a deadline of an hour, only the further signals can have ended it."""
    for signals in (2, 3):
        with worker.machine("bucket", more={"shutdown_timeout": "1h"}) as machine:
            rule = worker.proxy.on("PUT part", hang_after(0), count=None)
            running = machine.start_push(FULL)
            await_trouble(running, lambda: rule.met > 0)  # noqa: B023 - called here only
            for _ in range(signals):
                running.process.send_signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    running.process.wait(0.3)
            assert running.ended(20).code == 143
            worker.proxy.clear()
            machine.push_until_done(FULL)
            machine.proven(FULL)
            machine.release(FULL)
