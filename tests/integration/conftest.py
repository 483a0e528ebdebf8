"""Fixtures of the integration tests: the command against real pools and a directory host."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.pool import Dataset, DatasetFactory
from integration.stopped_push import configure, grow
from integration.workbench import Workbench


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    """A fresh host, key and configuration."""
    folder = tmp_path / "bench"
    folder.mkdir()
    return Workbench(folder)


@pytest.fixture
def src(bench: Workbench, dataset: DatasetFactory) -> Dataset:
    """A dataset with a snapshot `s1` of 6 MiB, and a task for it."""
    one = dataset("resume")
    grow(one, "s1")
    configure(bench, bench.task(one.name))
    return one
