"""Fixtures for the real parts (servers, pools, foreign tools) and the rule about skipping.

A test that cannot run here says what it needs. With ZPB_TEST_REQUIRE=1, as in CI, that is a failure.
SIGTERM ends the tests as Ctrl-C does, so that pools and servers go with them.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Generator, Iterator

import hypothesis
import pytest

from harness import foreign as foreign_tools
from harness import garage as garage_harness
from harness import moto as moto_harness
from harness import pool as pool_harness
from harness.s3 import S3Server

REQUIRE = "ZPB_TEST_REQUIRE"

hypothesis.settings.register_profile("sample", deadline=None, max_examples=100, print_blob=True)
hypothesis.settings.register_profile("soak", deadline=None, max_examples=5000, print_blob=True)
hypothesis.settings.load_profile(os.environ.get("ZPB_TEST_PROFILE", "sample"))


def pytest_configure(config: pytest.Config) -> None:
    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    # Whoever starts the tests in the background may have had these ignored, and every child would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    # Nothing that a test starts without a configuration of its own may touch this machine's run state.
    os.environ["STATE_DIRECTORY"] = tempfile.mkdtemp(prefix="zpb-state-")


def pytest_unconfigure() -> None:
    shutil.rmtree(os.environ["STATE_DIRECTORY"], ignore_errors=True)


def _forbid_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    expected = hasattr(report, "wasxfail")
    if report.skipped and not expected and os.environ.get(REQUIRE) == "1":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{REQUIRE}=1 allows no skipping: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _forbid_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _forbid_skip(report)
    return report


@pytest.fixture(scope="session")
def garage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 server (Garage) with one bucket; keep to a prefix of your own in it."""
    program = garage_harness.binary()
    if program is None:
        pytest.skip("needs Garage: scripts/garage builds it (`make test` does so by itself)")
    with garage_harness.garage_server(program, tmp_path_factory.mktemp("garage")) as server:
        yield server


@pytest.fixture(scope="session")
def moto_s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """moto as S3 server with one bucket: honours If-None-Match, has archive classes and Object Lock."""
    with moto_harness.moto_server(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture(scope="session")
def zfs_pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pool_harness.Pool]:
    """A real pool on a sparse file, destroyed at the end, also when the tests are interrupted."""
    reason = pool_harness.obstacle()
    if reason:
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("pool")
    with pool_harness.zfs_service(folder) as kind, pool_harness.pool(folder, kind) as pool:
        yield pool


@pytest.fixture
def dataset(zfs_pool: pool_harness.Pool) -> Iterator[pool_harness.DatasetFactory]:
    """Factory of filesystems in the pool, `dataset("label", compression="on")`; destroyed after the test."""
    made: list[pool_harness.Dataset] = []

    def create(label: str = "data", **properties: str) -> pool_harness.Dataset:
        made.append(zfs_pool.create(label, **properties))
        return made[-1]

    yield create
    for one in reversed(made):
        zfs_pool.destroy(one.name)


@pytest.fixture(scope="session")
def foreign() -> foreign_tools.ForeignTools:
    """Stock age, aws, rclone and zstd."""
    missing = foreign_tools.missing()
    if missing:
        pytest.skip(f"needs {', '.join(missing)} (`make test` installs them)")
    return foreign_tools.find()


@pytest.fixture(scope="session")
def age_identity(
    foreign: foreign_tools.ForeignTools, tmp_path_factory: pytest.TempPathFactory
) -> foreign_tools.AgeIdentity:
    """A key made by stock age-keygen: `.path` of the identity file, `.recipient`."""
    return foreign.new_identity(tmp_path_factory.mktemp("age"))
