"""A million empty files: a stream that is records and hardly any data, full and incremental, and back."""

from __future__ import annotations

import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from harness import program as program_harness
from harness import recipe as recipe_harness
from harness.pool import Pool, zfs
from vm.rig import Rig, guids, mounted, whole

pytestmark = [pytest.mark.pool, pytest.mark.garage]

FOLDERS = 10
FILES_IN_EACH = 100_000
# In two processes, as the machine has two processors.
CREATE = """
import os, sys
for folder in sys.argv[2:]:
    os.mkdir(folder)
    os.chdir(folder)
    for number in range(int(sys.argv[1])):
        os.mknod(f"{number:x}")
    os.chdir("..")
"""


def create(folder: Path) -> None:
    names = [f"folder-{number}" for number in range(FOLDERS)]
    words = [sys.executable, "-c", CREATE, str(FILES_IN_EACH)]
    makers = [subprocess.Popen([*words, *some], cwd=folder) for some in (names[::2], names[1::2])]
    assert [maker.wait() for maker in makers] == [0, 0]


def digest(folder: Path) -> str:
    """One line over name, inode, mode, owner, time, links and size of every file; Python would take an hour."""
    every = r"find . -printf '%P %i %m %U %G %T@ %n %s\n' | LC_ALL=C sort | tee >(wc -l >&2) | sha256sum"
    done = subprocess.run(["bash", "-c", every], check=True, capture_output=True, text=True, cwd=folder)
    return done.stdout + done.stderr


def change(folder: Path) -> None:
    """A whole folder goes, every hundredth file of another, and a few come."""
    subprocess.run(["rm", "-r", "folder-3"], check=True, cwd=folder)
    for number in range(0, FILES_IN_EACH, 100):
        (folder / "folder-4" / f"{number:x}").unlink()
        (folder / "folder-5" / f"new-{number:x}").touch()


@whole
@pytest.mark.timeout(10_800)
def test_a_million_empty_files(
    rig: Rig, zfs_pool: Pool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for harness in (program_harness, recipe_harness):
        monkeypatch.setattr(harness, "SECONDS", 7200.0)
    source = zfs_pool.create("million", xattr="sa")
    seconds, begun = {}, time.monotonic()

    def took(what: str) -> None:
        nonlocal begun
        seconds[what], begun = round(time.monotonic() - begun), time.monotonic()

    create(source.path)
    took("created")
    rig.configure([rig.task(source.name)], part_size="auto")
    source.snapshot("one")
    (full,) = rig.push()
    took("pushed")
    change(source.path)
    source.snapshot("two")
    assert [one["level"] for one in rig.push()] == [1]
    took("changed and pushed")
    there = digest(source.path)
    took("looked at")
    for how, bring_back in (("restored", rig.restore), ("recovered", partial(rig.recover, "folder"))):
        target = bring_back(source.name)
        took(how)
        assert guids(target) == guids(source.name)
        assert digest(mounted(zfs_pool, target)) == there
        zfs("destroy", "-r", target)
        took(f"{how}: compared")
    files, mebibytes = FOLDERS * FILES_IN_EACH, full["stream_bytes"] >> 20
    with capsys.disabled():
        print(f"{files:,} empty files, {mebibytes} MiB in the full; seconds: {seconds}")
    zfs("destroy", "-r", source.name)
