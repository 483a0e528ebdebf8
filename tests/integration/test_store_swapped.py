"""A disk that goes away, or is swapped, while a push runs: an empty folder in its place proves nothing."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from harness.pool import Dataset, DatasetFactory, zfs
from harness.program import STREAMS
from integration.stopped_push import configure, open_runs, push, stop
from integration.workbench import Workbench

pytestmark = pytest.mark.pool


@pytest.fixture(params=["none", "another"])
def swap(request: pytest.FixtureRequest, bench: Workbench) -> str:
    """A hook that moves the store away and leaves an empty folder, or another repository, in its place."""
    other = bench.folder / "other"
    other.mkdir()
    if request.param == "another":
        stream = STREAMS / "d-full.zs"
        words = ("--host", f"file://{other}", "--stdin", "t/d@a", "--recipient", bench.recipient, "--source", "x")
        done = bench.run("push", *words, stdin=stream.read_bytes(), configured=False)
        assert done.code == 0, done.err
    return f"mv {bench.store} {bench.store}.away && mv {other} {bench.store}"


def swap_back(bench: Workbench) -> None:
    shutil.rmtree(bench.store)
    shutil.move(f"{bench.store}.away", bench.store)


def references(snapshot: str) -> str:
    return zfs("get", "-Hp", "-o", "value", "userrefs", snapshot).strip()


def test_what_the_next_push_stands_on_stays_held(bench: Workbench, src: Dataset, swap: str) -> None:
    configure(bench, bench.task(src.name, hooks={"after": [["/bin/sh", "-c", swap]]}))
    done = push(bench)
    assert "the holds could not be set right" in done.err
    assert "look whether it is mounted" in done.err
    assert references(f"{src.name}@s1") == "1"
    swap_back(bench)
    configure(bench, bench.task(src.name))
    src.snapshot("s2")
    done = push(bench, "--json")
    assert [one["level"] for one in done.results()] == [1]


def test_an_unfinished_run_is_gone_on_with_once_the_disk_is_back(
    bench: Workbench, src: Dataset, dataset: DatasetFactory, tmp_path: Path, swap: str
) -> None:
    run = stop(bench)
    first = dataset("first")
    first.snapshot("one")
    tasks = [bench.task(first.name, "first", hooks={"after": [["/bin/sh", "-c", swap]]}), bench.task(src.name)]
    configure(bench, *tasks)
    done = bench.run("--host", "backup1")
    assert done.code == 3, done.err
    assert f"where {run.repository} was before" in done.err
    assert "begun anew" not in done.err
    (left,) = open_runs(bench)
    assert (left.id, left.parts) == (run.id, run.parts)
    assert references(f"{src.name}@s1") == "1"
    swap_back(bench)
    configure(bench, bench.task(src.name))
    done = push(bench)
    assert f"existing state found: {run.parts} parts" in done.err
    assert open_runs(bench) == ()
    out = tmp_path / "stream"
    words = ("--backup", run.id, "--identity", bench.key, "--output", out)
    assert bench.run("restore", "--dataset", src.name, *words).code == 0
    sent = subprocess.run(["zfs", "send", f"{src.name}@s1"], check=True, capture_output=True)
    assert out.read_bytes() == sent.stdout
