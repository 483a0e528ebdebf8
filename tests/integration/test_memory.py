"""Peak memory of the real command does not depend on the length of the stream, and keeps within the promise."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from bench import client, measure
from harness.foreign import AgeIdentity
from zfs_push_backups import engine

LIMIT = 320 * measure.MIB
SHORT, LONG = 256 * measure.MIB, 1024 * measure.MIB


@pytest.fixture
def identity(tmp_path: Path) -> AgeIdentity:
    secret, recipient = engine.generate_identity()
    path = tmp_path / "identity.txt"
    path.write_text(secret)
    return AgeIdentity(path, recipient)


def peaks(folder: Path, identity: AgeIdentity, length: int) -> tuple[int, int]:
    """Push a stream of `length` bytes into a new directory store, bring it back, and return both peaks."""
    folder.mkdir()
    ours = client.for_directory(folder, identity)
    # A child's peak includes that of the process that started it, so a fresh and small one starts it.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
        pushed = fresh.submit(measure.run_fed, ours.push(), length).result()
        restored = fresh.submit(measure.run_drained, ours.restore()).result()
    stored = sum(file.stat().st_size for file in folder.rglob("*.age"))
    assert stored > length, "the stream did not reach the store"
    return pushed.peak, restored.peak


@pytest.mark.slow
def test_peak_memory_is_the_same_for_short_and_long_streams(tmp_path: Path, identity: AgeIdentity) -> None:
    short = peaks(tmp_path / "short", identity, SHORT)
    long = peaks(tmp_path / "long", identity, LONG)
    for name, of_short, of_long in zip(("push", "restore"), short, long, strict=True):
        assert of_long <= LIMIT, f"{name}: {of_long // measure.MIB} MiB"
        assert abs(of_long - of_short) < of_short / 10, f"{name}: {of_short} bytes became {of_long}"
