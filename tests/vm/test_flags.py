"""Flags are pinned for a chain: one begun by a zfs without `-L`, thus with records in pieces, never goes on with it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.pool import Dataset, Pool
from vm.rig import Rig, facts, guids, mounted
from vm.shapes import change_large, large

pytestmark = [pytest.mark.pool, pytest.mark.garage]
# The real one; only its usage text is older.
OLDER = """#!/bin/sh
[ "$1" = "-?" ] || exec {real} "$@"
{real} "-?" 2>&1 | sed '/^[[:space:]]*send /s/L//g' >&2
exit 2
"""


@pytest.fixture
def records(zfs_pool: Pool) -> Iterator[Dataset]:
    """Records of 1 MiB, compressed and not."""
    made = zfs_pool.create("records", recordsize="1M", compression="lz4")
    large(made.path)
    made.snapshot("one")
    yield made
    zfs_pool.destroy(made.name)


def without_large_blocks(rig: Rig, folder: Path) -> None:
    """Every push from now on finds a zfs that offers no `-L`."""
    folder.mkdir()
    program = folder / "zfs"
    program.write_text(OLDER.format(real=shutil.which("zfs")))
    program.chmod(0o755)
    rig.environment = {**rig.environment, "PATH": os.pathsep.join([str(folder), os.environ["PATH"]])}


def test_large_records_in_pieces_and_a_chain_that_keeps_its_flags(
    rig: Rig, records: Dataset, zfs_pool: Pool, tmp_path: Path
) -> None:
    rig.configure([rig.task(records.name)])
    usual = rig.environment
    without_large_blocks(rig, tmp_path / "older")
    rig.push()
    change_large(records.path)
    records.snapshot("two")
    assert [one["level"] for one in rig.push()] == [1]
    assert [manifest["send"]["flags"] for manifest in rig.manifests("folder").values()] == [["-e", "-c"]] * 2
    before = facts(records.path)
    for target in (rig.restore(records.name), rig.recover("folder", records.name)):
        assert guids(target) == guids(records.name)
        assert facts(mounted(zfs_pool, target)) == before
    rig.environment = usual
    records.snapshot("three")
    done = rig.run("push", "--json").good()
    assert [(one["level"], one["base"]) for one in done.results()] == [(0, None)], done
    assert "large blocks (-L) were off and are on now" in done.err
    flags = [manifest["send"]["flags"] for manifest in rig.manifests("folder").values()]
    assert sorted(flags) == [["-L", "-e", "-c"], ["-e", "-c"], ["-e", "-c"]]
