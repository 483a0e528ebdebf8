"""Two machines push, are killed, sweep and commit in the same prefix at the same time; neither harms the other."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from faults.cycles import Cycle, run_all, sample
from faults.machine import FULL, INCREMENT, LABELS, Machine
from faults.places import manifests
from faults.test_stopping import await_trouble
from faults.worker import Worker
from harness.proxy import hang_after

pytestmark = [pytest.mark.pool, pytest.mark.garage]


def busy(cycle: Cycle, machine: Machine) -> None:
    """Push both snapshots, killed at random, cleaning up in between."""
    chance = cycle.chance(machine.name)
    for label in LABELS:
        running = machine.start_push(label)
        timer = threading.Timer(chance.uniform(0.3, 1.0), running.process.kill)
        timer.start()
        machine.said.append(running.ended())
        timer.cancel()
        machine.run("cleanup").good()
        machine.push_until_done(label)


@pytest.mark.parametrize("cell", ["together-folder", "together-bucket"])
def test_two_machines_in_one_prefix(cell: str, workers: list[Worker]) -> None:
    kind = cell.removeprefix("together-")
    couples = [(workers[0], workers[1]), (workers[2], workers[3])]

    def together(cycle: Cycle, couple: tuple[Worker, Worker]) -> None:
        one, two = couple
        with one.machine(kind) as first, two.machine(kind, name="the-other-machine", at=first.place) as second:
            with ThreadPoolExecutor(2) as pool:
                for done in [pool.submit(busy, cycle, machine) for machine in (first, second)]:
                    done.result()
            found = sorted((one["source"], one["snapshot"]) for one in manifests(first.place).values())
            assert found == sorted((machine.name, label) for machine in (first, second) for label in LABELS)
            for machine in (first, second):
                machine.proven(FULL, INCREMENT)
                machine.release(*LABELS)

    run_all(sample(cell, 2), couples, together)


def test_a_lock_that_a_second_run_meets(worker: Worker) -> None:
    """Two runs of one machine: the later one is told who works there, and changes nothing."""
    with worker.machine("bucket") as machine:
        rule = worker.proxy.on("PUT part", hang_after(0), count=None)
        running = machine.start_push(FULL)
        await_trouble(running, lambda: rule.met > 0)
        before = machine.place.objects()
        machine.push(FULL).refused(4, str(running.process.pid))
        assert machine.place.objects() == before
        running.process.kill()
        running.ended()
        worker.proxy.clear()
        machine.push(FULL).good()
        machine.proven(FULL)
        machine.release(FULL)
