"""The machine's own faults: disks that fail, fill up or are read-only, run state that is lost, old or locked, clocks.

Every n-th change of a file fails once, or from then on, with EIO or ENOSPC (a preloaded library makes it so); full and
read-only file systems are real ones besides. After each the next push finishes and is right.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.cycles import Cycle, run_all, sample
from faults.machine import FULL, INCREMENT, LABELS, Machine
from faults.places import FolderPlace, manifests, tombstones
from faults.worker import Worker
from harness.processes import CommandFailed, run
from harness.storage_faults import changes

pytestmark = [pytest.mark.pool, pytest.mark.garage]

DAYS = 86400
CATALOGUE = "catalogue.sqlite3"
CELLS = {
    "eio-state": ("EIO", "bucket", 8),
    "enospc-state": ("ENOSPC", "bucket", 8),
    "eio-folder": ("EIO", "folder", 8),
    "enospc-folder": ("ENOSPC", "folder", 8),
}


def under(machine: Machine, cell: str) -> list[Path]:
    """Which folders fail."""
    return machine.place.folders if cell.endswith("folder") else [machine.base, machine.locks]


@pytest.fixture(scope="module")
def steps(workers: list[Worker]) -> dict[str, int]:
    """How many changes a full push makes, by cell."""
    found, worker = {}, workers[0]
    for cell, (_, kind, _) in CELLS.items():
        with worker.machine(kind) as machine:
            log = machine.folder / "changes"
            machine.push(FULL, worker.faults.watch(under(machine, cell), log)).good()
            found[cell] = len(changes(log))
    return found


@pytest.mark.parametrize("cell", CELLS)
def test_a_failing_disk(cell: str, workers: list[Worker], steps: dict[str, int]) -> None:
    error, kind, count = CELLS[cell]

    def cycle(one: Cycle, worker: Worker) -> None:
        with worker.machine(kind) as machine:
            number, stays = one.spread(steps[cell]), one.chance("stays").random() < 0.5
            log = machine.folder / "changes"
            machine.notes.append(f"{error} at change {number}, {'and from then on' if stays else 'once'}")
            ended = machine.push(FULL, worker.faults.fail_at(under(machine, cell), log, number, error, stays=stays))
            done = changes(log)
            machine.notes.append(str(done[number - 1 : number]))
            machine.honest()
            assert ended.code in (0, 1), machine.log()
            if ended.code:
                ended.refused(1)
            machine.push_until_done(FULL)
            machine.proven(FULL)
            machine.release(FULL)

    run_all(sample(cell, count), workers, cycle)


@contextlib.contextmanager
def disk(folder: Path, size: str) -> Iterator[None]:
    """A small file system of its own at `folder`."""
    folder.mkdir(exist_ok=True)
    try:
        run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder])
    except CommandFailed:
        pytest.skip("needs root: only root may mount a tmpfs")
    try:
        yield
    finally:
        run(["umount", "--lazy", folder])


def remount(folder: Path, options: str) -> None:
    run(["mount", "-o", f"remount,{options}", folder])


@pytest.mark.parametrize("size", ["4k", "64k"])
def test_no_room_for_the_run_state(worker: Worker, size: str) -> None:
    with worker.machine("bucket") as machine, disk(machine.base, size):
        machine.push(FULL).refused(1, str(machine.base), "full")
        assert [key for key in machine.place.objects() if key.startswith("data/")] == [], machine.log()
        remount(machine.base, "size=10m")
        machine.push_until_done(FULL)
        machine.proven(FULL)
        machine.release(FULL)


def test_a_read_only_run_state(worker: Worker) -> None:
    with worker.machine("bucket") as machine, disk(machine.base, "10m"):
        machine.push_until_done(FULL)
        remount(machine.base, "ro")
        before = machine.place.objects()
        machine.push(INCREMENT).refused(1, str(machine.base))
        assert machine.place.objects() == before
        remount(machine.base, "rw")
        machine.push_until_done(INCREMENT)
        machine.proven(*LABELS)
        machine.release(*LABELS)


def test_a_directory_host_that_fills_up_is_gone_on_with(worker: Worker) -> None:
    with worker.machine("folder") as machine:
        assert isinstance(machine.place, FolderPlace)
        with disk(machine.place.folder, "3m"):
            # Part by part: what is stored in the moment of a failure may have no place in the run state yet.
            slowly = ("--limit-upload", "3MiB")
            machine.run("push", "--json", "--snapshot", FULL, *slowly).refused(1, "no space left", "make room")
            stored = parts(machine)
            assert stored, "what was stored stays, for the next run"
            remount(machine.place.folder, "size=30m")
            machine.push_until_done(FULL)
            assert stored <= parts(machine), "what was stored is not sent again"
            machine.proven(FULL)
            machine.release(FULL)


def test_a_run_state_that_somebody_else_has_locked(worker: Worker) -> None:
    with worker.machine("bucket") as machine:
        machine.push_until_done(FULL)
        before = machine.place.objects()
        with contextlib.closing(sqlite3.connect(machine.base / CATALOGUE, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            machine.push(INCREMENT).refused(1, CATALOGUE, "locked")
        assert machine.place.objects() == before
        machine.push_until_done(INCREMENT)
        machine.proven(*LABELS)
        machine.release(*LABELS)


def kill_in_the_middle(machine: Machine, label: str, environment: dict[str, str] | None = None) -> None:
    """Kill a push when its third part is stored."""
    before = parts(machine)
    running = machine.start_push(label, environment)
    while running.process.poll() is None:
        if len(parts(machine) - before) >= 3:
            running.process.kill()
            break
    assert running.ended().code == -9, running.ended()


def parts(machine: Machine) -> set[str]:
    """The parts in the store."""
    return {key for key in machine.place.objects() if "/part-" in key}


@pytest.mark.parametrize("fate", ["lost", "damaged"])
def test_a_run_state_that_is_gone(worker: Worker, fate: str) -> None:
    """Without it nothing can be gone on with; a place that knows tombstones is put right all the same."""
    with worker.machine("folder") as machine:
        buried = 0
        for count, label in enumerate(LABELS, 1):
            kill_in_the_middle(machine, label)
            # On a busy machine the kill may come after the commit.
            buried += label not in {one["snapshot"] for one in manifests(machine.place).values()}
            for file in machine.base.glob("catalogue*"):
                if fate == "lost":
                    file.unlink()
                else:
                    file.write_bytes(b"nonsense" * 2000)
            machine.push_until_done(label)
            machine.proven(*LABELS[:count])
            assert len(tombstones(machine.place)) == buried
        machine.release(*LABELS)


def test_what_nobody_can_know_is_left_alone(worker: Worker) -> None:
    """Where the run state is lost and a late manifest can't be kept away, what was stored waits for its grace time."""
    with worker.machine("bucket") as machine:
        kill_in_the_middle(machine, FULL)
        stored = parts(machine)
        shutil.rmtree(machine.base)
        machine.base.mkdir()
        machine.push_until_done(FULL)
        machine.honest()
        assert stored <= parts(machine)
        assert [one["snapshot"] for one in manifests(machine.place).values()] == [FULL]
        machine.release(FULL)


def test_a_run_state_put_back_from_yesterday(worker: Worker) -> None:
    """The old state knows half of a run that was committed since; it must neither trust nor harm it."""
    with worker.machine("folder") as machine:
        kill_in_the_middle(machine, FULL)
        yesterday = machine.folder / "yesterday"
        shutil.copytree(machine.base, yesterday)
        machine.push_until_done(FULL)
        for label in (FULL, INCREMENT):
            shutil.rmtree(machine.base)
            shutil.copytree(yesterday, machine.base)
            machine.push_until_done(label)
        machine.proven(*LABELS)
        machine.release(*LABELS)


@pytest.mark.parametrize(("before", "after"), [(2 * DAYS, 0), (0, -2 * DAYS)], ids=["was ahead", "set back"])
def test_a_clock_set_back_between_the_runs(worker: Worker, before: int, after: int) -> None:
    with worker.machine("folder") as machine:
        for count, label in enumerate(LABELS, 1):
            kill_in_the_middle(machine, label, worker.faults.clock(before))
            machine.push(label, worker.faults.clock(after)).good()
            machine.proven(*LABELS[:count])
        machine.release(*LABELS)
