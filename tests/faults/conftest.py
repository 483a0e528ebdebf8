"""Fixtures of the fault tests: two workers with a dataset and a proxy each, so that both cores are used."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

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

WORKERS = 2


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the seed of the cycles, and how long stopping took."""
    if stops.TABLE:
        terminalreporter.section("time to stop")
        terminalreporter.write_line(stops.as_text())
    if any("/faults/" in str(item) for item in terminalreporter.stats):
        terminalreporter.write_line(f"seed {cycles.SEED}")


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory) -> storage_faults.StorageFaults:
    """The library that counts changes of files."""
    return storage_faults.build(tmp_path_factory.mktemp("storage-faults"))


@pytest.fixture(scope="session")
def workers(
    zfs_pool: Pool,
    garage: S3Server,
    age_identity: AgeIdentity,
    storage: storage_faults.StorageFaults,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[list[Worker]]:
    """Two of them."""
    credentials = write_credentials(garage, tmp_path_factory.mktemp("keys") / "credentials")
    with contextlib.ExitStack() as stack:
        made = []
        for number in range(WORKERS):
            proxy = stack.enter_context(proxy_to(garage.endpoint))
            folder = tmp_path_factory.mktemp(f"worker-{number}")
            made.append(Worker(make_source(zfs_pool), garage, proxy, credentials, age_identity, storage, folder))
        yield made
        for one in made:
            zfs_pool.destroy(one.source.dataset.name)


@pytest.fixture
def worker(workers: list[Worker]) -> Worker:
    """One of them, for a test that is no cycle."""
    return workers[0]
