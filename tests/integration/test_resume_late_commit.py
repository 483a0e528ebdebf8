"""Runs that lack only their manifest, whose state could not be written, or that can never be gone on with."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.pool import Dataset
from integration.stopped_push import (
    MIB,
    SECONDS,
    committed_whole,
    gave_up,
    open_runs,
    parts,
    push,
    status,
    under_way,
)
from integration.workbench import Workbench
from zfs_push_backups.catalogue.records import RunSummary

pytestmark = pytest.mark.pool


@pytest.fixture
def refused_manifests(bench: Workbench) -> Iterator[Path]:
    """A folder for manifests where nothing can be written."""
    folder = bench.store / "manifests"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", folder], check=True, timeout=30)
    yield folder
    subprocess.run(["umount", "-l", folder], check=False, timeout=30, stderr=subprocess.DEVNULL)


def stop_before_the_manifest(bench: Workbench, folder: Path) -> RunSummary:
    done = bench.run("--host", "backup1")
    assert done.code == 1, done.err
    subprocess.run(["umount", "-l", folder], check=True, timeout=30)
    (run,) = open_runs(bench)
    assert run.committing
    return run


def test_a_run_that_lacks_its_manifest_only_is_committed_without_another_send(
    bench: Workbench, src: Dataset, tmp_path: Path, refused_manifests: Path
) -> None:
    run = stop_before_the_manifest(bench, refused_manifests)
    before = parts(bench)
    done = push(bench)
    assert f"committed as {run.id}, which lacked its manifest" in done.err
    assert "sending" not in done.err
    assert parts(bench) == before
    (entry,) = committed_whole(bench, src, tmp_path)
    assert entry["id"] == run.id


def test_a_run_that_lacks_its_manifest_and_a_part_begins_anew(
    bench: Workbench, src: Dataset, tmp_path: Path, refused_manifests: Path
) -> None:
    run = stop_before_the_manifest(bench, refused_manifests)
    next(bench.store.rglob("part-000001-*.age")).unlink()
    gave_up(push(bench), run, "")
    (entry,) = committed_whole(bench, src, tmp_path)
    assert entry["id"] != run.id


def test_a_run_that_lacks_its_manifest_and_has_a_damaged_part_is_not_committed(
    bench: Workbench, src: Dataset, tmp_path: Path, refused_manifests: Path
) -> None:
    run = stop_before_the_manifest(bench, refused_manifests)
    part = next(bench.store.rglob("part-000001-*.age"))
    sealed = bytearray(part.read_bytes())
    sealed[len(sealed) // 2] ^= 1
    part.write_bytes(sealed)
    gave_up(push(bench), run, "part 1 in the store is not what was stored")
    (entry,) = committed_whole(bench, src, tmp_path)
    assert entry["id"] != run.id


def test_a_disk_that_fills_under_the_state_commits_nothing_and_the_next_run_goes_on(
    bench: Workbench, src: Dataset, tmp_path: Path
) -> None:
    bench.state.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k,mode=700", "none", bench.state], check=True, timeout=30)
    try:
        with under_way(bench) as process:
            with contextlib.suppress(OSError):
                (bench.state / "ballast").write_bytes(bytes(MIB))
            _, err = process.communicate(timeout=SECONDS)
            assert process.returncode == 1, err
            assert b"the run state in" in err
            assert b"free space" in err
        assert bench.listed() == []
        (bench.state / "ballast").unlink()
        (run,) = open_runs(bench)
        push(bench)
        (entry,) = committed_whole(bench, src, tmp_path)
        assert entry["id"] == run.id
    finally:
        subprocess.run(["umount", "-l", bench.state], check=True, timeout=30)


def test_a_killed_stream_from_standard_input_is_swept_by_the_next_push(bench: Workbench, src: Dataset) -> None:
    stream = subprocess.run(["zfs", "send", f"{src.name}@s1"], check=True, capture_output=True).stdout
    words = bench.command("--host", "backup1", "--stdin", f"{src.name}@s1")
    with subprocess.Popen(words, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=bench.environment()) as process:
        assert process.stdin is not None
        process.stdin.write(stream[: len(stream) // 2])
        process.stdin.flush()
        deadline = time.monotonic() + SECONDS
        while not parts(bench):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.kill()
    (run,) = open_runs(bench)
    assert not run.resumable
    assert [one["id"] for one in status(bench)["unfinished"]] == [run.id]
    done = push(bench)
    gave_up(done, run, "standard input can't be read again")
    assert [key for key in bench.objects() if run.id in key] == [], done.err
