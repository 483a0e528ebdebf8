"""Fixtures of the integration tests: the command against real pools and a directory host."""

from __future__ import annotations

from pathlib import Path

import pytest

from integration.workbench import Workbench


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    """A fresh host, key and configuration."""
    folder = tmp_path / "bench"
    folder.mkdir()
    return Workbench(folder)
