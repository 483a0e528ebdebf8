"""The test machine: OpenZFS in the kernel, systemd, real users.

`make vm-test` runs these in it; nowhere else are they collected.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import pool as pool_harness
from harness import program as program_harness
from harness import recipe as recipe_harness
from harness.pool import Dataset, Pool, zfs
from harness.processes import run
from harness.s3 import S3Server
from vm.journey import begin
from vm.rig import CROSSING, EVERYTHING, Rig

__all__ = ["begin"]

IN_THE_MACHINE = os.environ.get("ZPB_VM") == "1"
collect_ignore_glob = [] if IN_THE_MACHINE else ["test_*.py"]
collect_ignore = [] if CROSSING else ["test_crossing.py"]
# An emulated processor is ten times slower, and shares its cores.
PATIENCE_SECONDS = 900.0
program_harness.SECONDS = recipe_harness.SECONDS = pool_harness.ZFS_SECONDS = PATIENCE_SECONDS
MODULE_VERSION = Path("/sys/module/zfs/version")
# What both versions do alike: the sample, which has minutes, tries it with one of them.
ONCE_IN_THE_SAMPLE = {"test_delegation", "test_encrypted", "test_odd_moments", "test_streams"}
MAX_RECORDSIZE = Path("/sys/module/zfs/parameters/zfs_max_recordsize")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what `by_name` marks, and what `whole` marks but for the whole; what was named is wanted.

    The longest come last: what fails in the others is known by then.
    """
    items.sort(key=lambda item: ("million" in item.name, "kill-term-kill" in item.name))
    if config.getoption("keyword") or any("::" in word for word in config.args):
        return
    if IN_THE_MACHINE and not EVERYTHING and MODULE_VERSION.read_text().startswith("2.1"):
        config.hook.pytest_deselected(items=[item for item in items if item.path.stem in ONCE_IN_THE_SAMPLE])
        items[:] = [item for item in items if item.path.stem not in ONCE_IN_THE_SAMPLE]
    marks = {"only_by_name"} if EVERYTHING else {"only_by_name", "only_in_the_whole"}
    left_out = [item for item in items if marks & vars(getattr(item, "obj", item)).keys()]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session", autouse=True)
def largest_records() -> None:
    """OpenZFS 2.1 allows records of 1 MiB before it is told otherwise."""
    MAX_RECORDSIZE.write_text(str(16 << 20))


@pytest.fixture(scope="session")
def identity(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """An identity file and its recipient, by stock age-keygen."""
    path = tmp_path_factory.mktemp("age") / "identity.txt"
    run(["age-keygen", "-o", path])
    return path, run(["age-keygen", "-y", path]).strip()


def make_rig(folder: Path, pool: Pool, server: S3Server, identity: tuple[Path, str]) -> Rig:
    folder.chmod(0o755)
    return Rig(folder, pool, server, *identity)


@pytest.fixture
def rig(tmp_path: Path, zfs_pool: Pool, garage: S3Server, identity: tuple[Path, str]) -> Rig:
    """One test's configuration and hosts."""
    return make_rig(tmp_path, zfs_pool, garage, identity)


@pytest.fixture(scope="module")
def module_rig(
    tmp_path_factory: pytest.TempPathFactory, zfs_pool: Pool, garage: S3Server, identity: tuple[Path, str]
) -> Rig:
    """One module's configuration and hosts."""
    return make_rig(tmp_path_factory.mktemp("rig"), zfs_pool, garage, identity)


@pytest.fixture
def source(zfs_pool: Pool) -> Iterator[Dataset]:
    """A filesystem for one test."""
    made = zfs_pool.create("source")
    yield made
    for name in zfs("list", "-H", "-o", "name", "-t", "snapshot", "-r", made.name).splitlines():
        for line in zfs("holds", "-H", name).splitlines():
            zfs("release", line.split("\t")[1], name)
    zfs_pool.destroy(made.name)
