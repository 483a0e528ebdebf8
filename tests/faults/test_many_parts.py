"""A run of very many parts: stopped near its end and gone on with, and its run state at forty thousand.

The smallest part is 1 MiB, so forty thousand would be 40 GB through the whole pipeline; here go as many as fit the
time (ZPB_FAULT_SCALE times 120), and the forty thousand go through the run state and the matching of parts alone.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from faults.cycles import SCALE
from faults.machine import FULL, Source, digest_of_send
from faults.test_local_faults import disk, parts
from faults.worker import Worker
from harness.pool import Pool
from harness.trees import MIB
from zfs_push_backups.catalogue.catalogue import Catalogue
from zfs_push_backups.catalogue.records import SavedRun

PARTS = round(120 * max(1, SCALE))
MANY = 40_000


@pytest.fixture
def long_source(zfs_pool: Pool) -> Iterator[Source]:
    dataset = zfs_pool.create("long")
    with (dataset.path / "large").open("wb") as file:
        for _ in range(PARTS):
            file.write(os.urandom(MIB))
    dataset.snapshot(FULL)
    yield Source(dataset, {FULL: digest_of_send([f"{dataset.name}@{FULL}"])})
    zfs_pool.destroy(dataset.name)


@pytest.mark.pool
def test_many_parts_are_gone_on_with(worker: Worker, long_source: Source) -> None:
    with worker.machine("folder", source=long_source) as machine, disk(machine.place.folders[0], f"{PARTS + 64}m"):
        running = machine.start_push(FULL)
        while running.process.poll() is None and len(parts(machine)) < PARTS * 9 // 10:
            time.sleep(0.01)
        running.process.kill()
        assert running.ended().code == -9
        stored = parts(machine)
        done = machine.push(FULL).good()
        assert len(parts(machine)) > PARTS
        # What was stored in the last moment had no place in the run state yet.
        assert len(stored - parts(machine)) < PARTS // 2
        found = re.search(r"existing state found: (\d+) parts", done.out.decode() + done.err)
        assert found, done
        assert int(found[1]) > PARTS // 2
        machine.proven(FULL)
        machine.release(FULL)


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
    proof = {"blake3": "0" * 64, "end_checksum": ":".join(["0" * 16] * 4), "border": None, "announcement": "0" * 64}
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
