"""Fixtures of the contract tests: one chain for all the foreign readers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.foreign import AgeIdentity
from harness.pool import Pool
from harness.pushed import Pushed, push_chain
from harness.s3 import S3Server


@pytest.fixture(scope="session")
def pushed(
    zfs_pool: Pool, garage: S3Server, age_identity: AgeIdentity, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pushed]:
    """A dataset pushed full and incremental to Garage and to a folder. Nobody writes to these stores."""
    made = push_chain(zfs_pool, garage, age_identity, tmp_path_factory.mktemp("pushed"), "contract/pushed")
    yield made
    zfs_pool.destroy(made.source.name)
