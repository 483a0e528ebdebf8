"""SIGKILL at every step of a push and at random moments; whatever is left, the next runs put it right by themselves.

A step is a change of a file (run state, lock, directory host), counted over all threads by a preloaded library, or one
request, met by the proxy when it arrives, when the server has done it but nobody knows, or when it is answered.
Each cycle kills the full push and, once that was proven, the incremental push on top of it.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from faults.cycles import Cycle, run_all, sample
from faults.machine import FULL, INCREMENT, LABELS, Machine, Running
from faults.worker import Worker
from harness.pool import Pool
from harness.program import Ended
from harness.proxy import calling
from harness.storage_faults import changes
from harness.trees import inventory

pytestmark = [pytest.mark.pool, pytest.mark.garage]

MOMENTS = ("arrived", "forwarded", "answered")
KILLED = -signal.SIGKILL
AGAIN = 0.3


@dataclass(frozen=True)
class Clean:
    """What an undisturbed push does: how many changes of files, which requests, how long. By label."""

    changes: dict[str, int]
    requests: dict[str, list[str]]
    seconds: dict[str, float]


def undisturbed(worker: Worker, kind: str) -> Clean:
    """Push both snapshots and look on."""
    clean = Clean({}, {}, {})
    with worker.machine(kind) as machine:
        for label in LABELS:
            worker.proxy.clear()
            log = machine.folder / f"{label}.changes"
            running = machine.start_push(label, worker.faults.watch(machine.watched, log))
            running.ended().good()
            clean.seconds[label] = running.seconds()
            clean.changes[label] = len(changes(log))
            clean.requests[label] = list(worker.proxy.arrived)
    return clean


@pytest.fixture(scope="module")
def clean(pair: list[Worker]) -> dict[str, Clean]:
    """By kind of place."""
    return {kind: undisturbed(pair[0], kind) for kind in ("folder", "bucket")}


Kill = Callable[[Cycle, Worker, Machine, str, Clean], Ended]


def crash_and_recover(kill: Kill, cycle: Cycle, worker: Worker, kind: str, clean: Clean) -> None:
    """Kill both pushes of a machine, let the next runs repair it, demand everything each time."""
    with worker.machine(kind) as machine:
        for number, label in enumerate(LABELS, 1):
            ended = kill(cycle, worker, machine, label, clean)
            assert ended.code in (KILLED, 0), ended
            machine.said.append(ended)
            worker.proxy.clear()
            machine.honest()
            if cycle.chance(f"again {label}").random() < AGAIN:
                machine.said.append(at_random(cycle, worker, machine, label, clean))
            machine.push_until_done(label)
            machine.proven(*LABELS[:number])
        machine.release(*LABELS)


def at_change(cycle: Cycle, worker: Worker, machine: Machine, label: str, clean: Clean) -> Ended:
    """Die in front of a change of a file; behind the last one, nothing is left to do."""
    step = cycle.spread(clean.changes[label], label)
    log = machine.folder / f"{label}.changes"
    ended = machine.start_push(label, worker.faults.kill_at(machine.watched, log, step)).ended()
    done = changes(log)
    machine.notes.append(f"killed in front of change {step}, which was {done[-1] if done else 'never made'}")
    return ended


def at_request(cycle: Cycle, worker: Worker, machine: Machine, label: str, clean: Clean) -> Ended:
    """Die at a moment of a request."""
    steps = len(clean.requests[label])
    chosen = cycle.spread(steps * len(MOMENTS), label) - 1
    moment, kind = MOMENTS[chosen % len(MOMENTS)], clean.requests[label][chosen // len(MOMENTS)]
    first = 1 + clean.requests[label][: chosen // len(MOMENTS)].count(kind)
    machine.notes.append(f"killed when {kind} number {first} was {moment}")
    started = threading.Event()
    holder: list[Running] = []

    def die() -> None:
        started.wait(10)
        holder[0].process.kill()

    worker.proxy.on(kind, calling(moment, die), first=first)
    holder.append(machine.start_push(label))
    started.set()
    return holder[0].ended()


def at_random(cycle: Cycle, worker: Worker, machine: Machine, label: str, clean: Clean) -> Ended:
    """Die at any moment between the start and a little after the usual end."""
    running = machine.start_push(label)
    moment = cycle.chance(f"moment {label}").uniform(0.2, clean.seconds[label] * 1.05)
    machine.notes.append(f"killed after {moment:.3f} s of the usual {clean.seconds[label]:.3f} s")
    timer = threading.Timer(moment, running.process.kill)
    timer.start()
    ended = running.ended()
    timer.cancel()
    return ended


CELLS: dict[str, tuple[Kill, str, int]] = {
    "change-folder": (at_change, "folder", 24),
    "change-bucket": (at_change, "bucket", 16),
    "request-bucket": (at_request, "bucket", 24),
    "random-folder": (at_random, "folder", 12),
    "random-bucket": (at_random, "bucket", 12),
}


@pytest.mark.parametrize("cell", CELLS)
def test_a_killed_push_is_put_right_by_the_next(cell: str, workers: list[Worker], clean: dict[str, Clean]) -> None:
    kill, kind, count = CELLS[cell]
    # A moment would be another one with more of them at work than there are cores; a step stays where it is.
    at_work = workers[:2] if kill is at_random else workers[:3]
    run_all(
        sample(cell, count),
        at_work,
        lambda cycle, worker: crash_and_recover(kill, cycle, worker, kind, clean[kind]),
    )


def test_the_steps_are_where_the_promises_are_made(clean: dict[str, Clean]) -> None:
    """The matrix would prove little if the run state or the commit were not among its steps."""
    for label in (FULL, INCREMENT):
        assert clean["bucket"].changes[label] > 20, "the run state is written durably"
        assert clean["folder"].changes[label] > clean["bucket"].changes[label] + 30
        wanted = {"PUT intent", "PUT part", "PUT meta", "PUT manifest", "POST delete", "GET list", "GET repository"}
        assert wanted - set(clean["bucket"].requests[label]) <= {"POST delete"}
        assert clean["bucket"].requests[label].count("PUT part") > 3


def test_the_files_come_back_after_two_kills(worker: Worker, clean: dict[str, Clean], zfs_pool: Pool) -> None:
    """Bytes are compared everywhere; here the real zfs receives the chain, and the files are compared one by one."""
    with worker.machine("folder") as machine:
        for label in LABELS:
            step = clean["folder"].changes[label] * 2 // 3
            log = machine.folder / f"{label}.changes"
            running = machine.start_push(label, worker.faults.kill_at(machine.watched, log, step))
            assert running.ended().code == KILLED
            machine.push_until_done(label)
        target = zfs_pool.unused_name("crashed")
        words = ("--dataset", worker.source.dataset.name, "--identity", machine.identity, "--to", target, "--mount")
        machine.run("restore", *words).good()
        restored = zfs_pool.path / target.partition("/")[2]
        assert inventory(restored) == inventory(worker.source.dataset.path)
        zfs_pool.destroy(target)
        machine.release(*LABELS)
