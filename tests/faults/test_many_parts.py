"""A run of forty thousand parts: killed near its end, gone on with, committed, listed and restored.

The product never makes so many: the sizes of its parts grow with their number, and the smallest is 1 MiB. Here the
whole command runs with a lower limit (`tiny_parts.py`), on a real dataset, with parts of 64 KiB that stay so. The
sample has a thousand of them; its forty thousand go through the run state alone.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from faults import tiny_parts
from faults.cycles import SCALE
from faults.machine import FULL, HOST, Machine, Source, digest_of_send
from faults.places import manifests
from faults.test_local_faults import parts
from faults.worker import Worker
from harness.pool import Pool
from harness.program import COMMAND, Ended
from harness.trees import MIB
from zfs_push_backups.catalogue.catalogue import Catalogue
from zfs_push_backups.catalogue.records import SavedRun

MANY = 40_000
PARTS = MANY if SCALE >= 6 else 1_000
KIB, GIB = 1 << 10, 1 << 30
# Two records of 32 KiB and their headers fit, a third does not.
PART_BYTES = 72 * KIB
# A directory host writes, syncs and renames a file, and syncs its folder.
CHANGES_A_PART = 4
SECONDS = 600.0
# The interpreter and the buffers, and what a session that goes on keeps of each part.
MOST_MEMORY = 192 * MIB + PARTS * 8 * KIB
MANIFEST_BYTES_A_PART = 600


@pytest.fixture
def long_source(zfs_pool: Pool) -> Iterator[Source]:
    dataset = zfs_pool.create("long", recordsize="32K")
    with (dataset.path / "large").open("wb") as file:
        for _ in range(PARTS):
            file.write(os.urandom(64 * KIB))
    dataset.snapshot(FULL)
    yield Source(dataset, {FULL: digest_of_send([f"{dataset.name}@{FULL}"], SECONDS)})
    zfs_pool.destroy(dataset.name)


def with_tiny_parts(machine: Machine) -> None:
    machine.command, machine.host = (sys.executable, tiny_parts.__file__), {"part_size": PART_BYTES}
    machine.configure()


def with_the_command(machine: Machine) -> None:
    """As every operator has it: nothing that only reads depends on how parts were cut."""
    machine.command, machine.host = (str(COMMAND),), {}
    machine.configure()


@dataclass
class Session:
    """A push, its peak of memory in bytes, and after how many seconds it knew where to go on."""

    ended: Ended
    seconds: float
    peak: int
    look: float

    @property
    def gone_on_at(self) -> int:
        found = re.search(r"existing state found: (\d+) parts", self.ended.out.decode())
        assert found, self.ended.err
        return int(found[1])


def push(machine: Machine, environment: dict[str, str] | None = None) -> Session:
    """Push to the end, and look on."""
    running, peak, look = machine.start("push", "--json", "--snapshot", FULL, environment=environment), 0, 0.0
    while running.process.poll() is None:
        peak = max(peak, peak_bytes(running.process.pid))
        if not look and b"existing state found" in running.out.read_bytes():
            look = time.monotonic() - running.begun
        time.sleep(0.05)
    return Session(running.ended(), running.seconds(), peak, look)


def peak_bytes(pid: int) -> int:
    """A running process's own peak; what wait(2) tells includes that of the process it was started from."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) * KIB if found else 0


@pytest.mark.pool
def test_many_parts_are_gone_on_with(worker: Worker, long_source: Source) -> None:
    with worker.machine("folder", source=long_source) as machine:
        with_tiny_parts(machine)
        near_the_end, log = CHANGES_A_PART * PARTS * 95 // 100, machine.folder / "changes"
        first = push(machine, worker.faults.kill_at(machine.place.folders, log, near_the_end))
        assert first.ended.code == -9, first
        left = parts(machine)
        assert PARTS * 9 // 10 < len(left) < PARTS

        second = push(machine)
        second.ended.good()
        # What was stored in the last moment has no place in the run state.
        assert PARTS * 9 // 10 < second.gone_on_at <= len(left)
        assert len(left & parts(machine)) == second.gone_on_at

        with_the_command(machine)
        ((key, manifest),) = manifests(machine.place).items()
        stored = [part["key"] for part in manifest["parts"]]
        assert len(stored) >= PARTS
        listing = time.monotonic()
        (listed,) = machine.run("list", "--host", HOST, "--long", "--json").good().json()["backups"]
        listing = time.monotonic() - listing
        assert listed["id"] == manifest["id"]
        recipe = machine.place.read(manifest["meta"]["key"].replace("meta.age", "RECOVER.txt")).decode()
        assert recipe.split() == stored
        manifest_bytes, restoring = len(machine.place.read(key)), time.monotonic()
        machine.proven(FULL)
        restoring = time.monotonic() - restoring
        machine.release(FULL)
    print(
        f"\n{len(stored)} parts, {manifest['stream_length'] / GIB:.2f} GiB"
        f"\nkilled after {first.seconds:.0f} s with {len(left)} parts stored, peak {first.peak // MIB} MiB"
        f"\nsecond session {second.seconds:.0f} s, peak {second.peak // MIB} MiB;"
        f" after {second.look:.1f} s it knew that it goes on at {second.gone_on_at}"
        f"\nmanifest {manifest_bytes} bytes, recipe {len(recipe)} bytes, listed in {listing:.1f} s,"
        f" restored and compared in {restoring:.0f} s"
    )
    assert max(first.peak, second.peak) < MOST_MEMORY
    assert manifest_bytes < MANIFEST_BYTES_A_PART * len(stored)


def saved_run() -> SavedRun:
    return SavedRun(
        id="20261121T010203Z-0-b9a8d8f5a1b2c3d4-0f1e2d3c4b5a",
        host="h",
        repository="0" * 32,
        source="s",
        task=None,
        dataset="tank/d",
        dataset_guid=None,
        snapshot="a",
        snapshot_guid=1,
        level=0,
        parent_id=None,
        base=None,
        base_guid=None,
        flags=(),
        raw=False,
        recipients=("age1",),
        compression="none",
        part_size_bytes=None,
        estimated_bytes=None,
        zfs_userland=None,
        zfs_kernel=None,
        tree_group=None,
        resumable=True,
        begun=datetime.now(UTC),
        sessions=("0" * 32,),
    )


def part(number: int) -> dict[str, object]:
    """A part as the engine writes it, in length too."""
    digests = dict.fromkeys(("blake3", "begin_payload", "announcement"), "0" * 64)
    proof = {**digests, "end_checksum": ":".join(["0" * 16] * 4), "border": None}
    checksum = {"algorithm": "CRC64NVME", "type": "FULL_OBJECT", "value": "AAAAAAAAAAA="}
    return {
        "number": number,
        "key": f"data/s/tank/d/@/20261121T010203Z-0-b9a8d8f5a1b2c3d4-0f1e2d3c4b5a/part-{number:06}-0123abcd.age",
        "stream_offset": number * MIB,
        "stream_length": MIB,
        "sealed_length": MIB + 500,
        "blake3": "0" * 64,
        "store_checksum": checksum,
        "proof": proof,
    }


def test_the_run_state_of_forty_thousand_parts(tmp_path: Path) -> None:
    run = saved_run()
    begun = time.monotonic()
    with Catalogue.open(tmp_path, machine="m") as catalogue:
        catalogue.runs.begin(run)
        for first in range(0, MANY, 100):
            with catalogue.runs.transaction():
                for number in range(first, first + 100):
                    catalogue.runs.part(run.id, part(number))
    written = time.monotonic()
    with Catalogue.open(tmp_path, machine="m") as catalogue:
        (found,) = catalogue.runs.resumable(run.repository)
    read = time.monotonic()
    print(f"{MANY} parts written in {written - begun:.1f} s, read in {read - written:.1f} s")
    assert [one["number"] for one in found.parts] == list(range(MANY))
    assert dict(found.parts[-1]) == part(MANY - 1)
