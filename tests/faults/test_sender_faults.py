"""A real `zfs send` that dies or is cut with exit status 0, and a snapshot that somebody destroys meanwhile."""

from __future__ import annotations

import pytest

from faults.machine import FULL, INCREMENT, LABELS
from faults.places import manifests
from faults.test_stopping import await_trouble
from faults.worker import Worker
from harness import faulty_zfs
from harness.pool import zfs
from harness.processes import CommandFailed

pytestmark = [pytest.mark.pool, pytest.mark.garage]


@pytest.mark.parametrize("place", ["folder", "bucket"])
@pytest.mark.parametrize(
    ("fault", "words"), [("dies", "Input/output error"), ("cut", "ends")], ids=["dies", "cut with status 0"]
)
def test_a_send_that_ends_early_is_gone_on_with(
    worker: Worker, fault: faulty_zfs.Fault, words: str, place: str
) -> None:
    with worker.machine(place) as machine:
        sender = faulty_zfs.make(machine.folder / "bin", fault, after_bytes=2_500_000)
        machine.path = sender.path
        machine.push(FULL).refused(1, words)
        assert manifests(machine.place) == {}
        stored = {key for key in machine.place.objects() if "/part-" in key}
        assert stored, "what was stored and proven stays"
        sender.repair()
        machine.push(FULL).good()
        assert stored <= set(machine.place.objects()), "and is not sent again"
        machine.proven(FULL)
        machine.release(FULL)


def test_a_snapshot_can_not_be_destroyed_while_it_is_sent(worker: Worker) -> None:
    """Neither the one that is sent nor its base."""
    with worker.machine("folder") as machine:
        machine.push(FULL).good()
        sender = faulty_zfs.make(machine.folder / "bin", "late", after_bytes=1_200_000)
        machine.path = sender.path
        running = machine.start_push(INCREMENT)
        await_trouble(running, lambda: sender.met)
        for label in LABELS:
            with pytest.raises(CommandFailed, match=r"busy|held"):
                zfs("destroy", worker.source.snapshot(label))
        sender.go()
        running.ended().good()
        machine.proven(*LABELS)
        machine.release(*LABELS)


def test_the_holds_of_a_killed_run_stay_until_the_next(worker: Worker) -> None:
    with worker.machine("folder") as machine:
        sender = faulty_zfs.make(machine.folder / "bin", "late", after_bytes=1_200_000)
        machine.path = sender.path
        running = machine.start_push(FULL)
        await_trouble(running, lambda: sender.met)
        running.process.kill()
        assert running.ended().code == -9
        sender.go()
        assert machine.holds_on(FULL) == 1
        machine.push(FULL).good()
        machine.proven(FULL)
        machine.release(FULL)
