"""Fixtures of the fault tests: workers with a dataset and a proxy each, so that cycles run side by side."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest

from faults import cycles, stops
from faults.machine import make_source
from faults.places import write_credentials
from faults.worker import Worker
from harness import storage_faults
from harness.foreign import AgeIdentity
from harness.pool import Pool
from harness.proxy import proxy_to
from harness.s3 import S3Server


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the seed of the cycles, and how long stopping took."""
    if stops.TABLE:
        terminalreporter.section("time to stop")
        terminalreporter.write_line(stops.as_text())
    if cycles.RUN:
        terminalreporter.write_line(f"{sum(cycles.RUN.values())} cycles of faults, seed {cycles.SEED}")


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory) -> storage_faults.StorageFaults:
    """The library that counts changes of files."""
    return storage_faults.build(tmp_path_factory.mktemp("storage-faults"))


@pytest.fixture(scope="session")
def equipment(
    zfs_pool: Pool,
    garage: S3Server,
    age_identity: AgeIdentity,
    storage: storage_faults.StorageFaults,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[str, int], Worker]]:
    """Make workers; called with a name and the size of the large file in MiB."""
    credentials = write_credentials(garage, tmp_path_factory.mktemp("keys") / "credentials")
    made = []
    with contextlib.ExitStack() as stack:

        def make(name: str, mebibytes: int) -> Worker:
            proxy = stack.enter_context(proxy_to(garage.endpoint))
            source = make_source(zfs_pool, mebibytes)
            folder = tmp_path_factory.mktemp(name)
            made.append(Worker(source, garage, proxy, credentials, age_identity, storage, folder))
            return made[-1]

        yield make
        for one in made:
            zfs_pool.destroy(one.source.dataset.name)


@pytest.fixture(scope="session")
def workers(equipment: Callable[[str, int], Worker]) -> list[Worker]:
    """More than there are cores: much of a cycle is waiting."""
    return [equipment(f"worker-{number}", 3) for number in range(4)]


@pytest.fixture(scope="session")
def pair(workers: list[Worker]) -> list[Worker]:
    """As many as there are cores, for cycles whose moments must not be stretched."""
    return workers[:2]


@pytest.fixture(scope="session")
def large_workers(equipment: Callable[[str, int], Worker]) -> list[Worker]:
    """With datasets that need parts of several pieces."""
    return [equipment(f"large-worker-{number}", 20) for number in range(2)]


@pytest.fixture
def worker(workers: list[Worker]) -> Worker:
    """One of them, for a test that is no cycle."""
    return workers[0]
