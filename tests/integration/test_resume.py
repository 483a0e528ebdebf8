"""Pushes that were stopped or killed, and gone on with."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from harness.pool import Dataset, DatasetFactory, zfs
from integration.stopped_push import (
    MIB,
    SECONDS,
    committed_whole,
    configure,
    grow,
    open_runs,
    parts,
    push,
    status,
    stop,
    under_way,
)
from integration.workbench import Workbench
from zfs_push_backups.catalogue.catalogue import FILE_NAME

pytestmark = pytest.mark.pool


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_push_that_was_stopped_goes_on_behind_what_is_stored(
    bench: Workbench, src: Dataset, tmp_path: Path, number: signal.Signals
) -> None:
    run = stop(bench, number=number)
    before = parts(bench)
    assert len(before) >= run.parts
    done = push(bench, "-v")
    assert "existing state found: " in done.err
    assert "going on at part " in done.err
    assert "parts skipped" in done.err
    assert "part processed" in done.err
    (entry,) = committed_whole(bench, src, tmp_path)
    assert entry["id"] == run.id
    kept = [key for key, state in before.items() if parts(bench).get(key) == state]
    assert len(kept) >= run.parts


def test_it_goes_on_as_often_as_it_is_stopped(bench: Workbench, src: Dataset, tmp_path: Path) -> None:
    first = stop(bench)
    second = stop(bench, number=signal.SIGKILL)
    assert second.id == first.id
    assert second.parts > first.parts
    push(bench)
    (entry,) = committed_whole(bench, src, tmp_path)
    assert entry["id"] == first.id


def test_an_incremental_goes_on_too_and_keeps_its_base(bench: Workbench, src: Dataset, tmp_path: Path) -> None:
    push(bench)
    grow(src, "s2")
    with under_way(bench) as process:
        process.terminate()
        process.communicate(timeout=SECONDS)
    (run,) = open_runs(bench)
    assert run.level == 1
    grow(src, "s3", 1)
    push(bench)
    listed = committed_whole(bench, src, tmp_path, ids=2)
    assert [entry["snapshot"] for entry in sorted(listed, key=lambda entry: int(entry["level"]))] == ["s1", "s2"]
    push(bench)
    assert [entry["level"] for entry in bench.listed()] == [0, 1, 2]


def test_a_dry_run_shows_that_it_would_go_on_and_changes_nothing(bench: Workbench, src: Dataset) -> None:
    run = stop(bench)
    grow(src, "s2", 1)
    before = (bench.objects(), (bench.state / FILE_NAME).read_bytes())
    done = push(bench, "--dry-run")
    assert f"would send {src.name}@s1: level 0" in done.err
    assert f"{run.parts} parts are stored" in done.err
    assert (bench.objects(), (bench.state / FILE_NAME).read_bytes()) == before


def test_a_queue_keeps_what_is_done_what_is_in_hand_and_what_is_pending(
    bench: Workbench, dataset: DatasetFactory
) -> None:
    small, large, last = dataset("small"), dataset("large"), dataset("last")
    grow(small, "s", 1)
    grow(large, "s")
    grow(last, "s", 1)
    configure(bench, *(bench.task(one.name, name=one.name[-7:]) for one in (small, large, last)))
    with under_way(bench, parts=4) as process:
        process.terminate()
        process.communicate(timeout=SECONDS)
    found = status(bench)
    assert [run["dataset"] for run in found["resumable"]] == [large.name]
    assert [run["dataset"] for run in found["recent"]] == [small.name]
    pending = {task["dataset"]: task["last_committed"] for task in found["pending"]}
    assert pending[last.name] is None
    assert pending[small.name] is not None
    push(bench)
    assert {entry["dataset"] for entry in bench.listed()} == {small.name, large.name, last.name}


def grown_tree(dataset: DatasetFactory, name: str, children: dict[str, int]) -> Dataset:
    """A root of 1 MiB with children of so many MiB, no snapshots."""
    root = dataset(name)
    grow(root, "before", 1)
    zfs("destroy", f"{root.name}@before")
    for child, mebibytes in children.items():
        zfs("create", f"{root.name}/{child}")
        (root.path / child / "file").write_bytes(os.urandom(mebibytes * MIB))
    return root


def test_an_interrupted_tree_is_finished_under_its_own_snapshot_and_group(
    bench: Workbench, dataset: DatasetFactory
) -> None:
    root = grown_tree(dataset, "tree", {"a": 4, "b": 4})
    configure(bench, bench.task(root.name, recursive=True, snapshot={"create": True}))
    with under_way(bench, parts=4) as process:
        process.terminate()
        process.communicate(timeout=SECONDS)
    (run,) = open_runs(bench)
    assert run.dataset == f"{root.name}/a"
    zfs("create", f"{root.name}/c")
    push(bench)
    listed = {entry["dataset"]: entry for entry in bench.listed()}
    tree = [listed[name] for name in (root.name, f"{root.name}/a", f"{root.name}/b")]
    assert len({(entry["tree_group"], entry["snapshot"]) for entry in tree}) == 1
    assert listed[f"{root.name}/a"]["id"] == run.id
    assert f"{root.name}/c" in listed


def test_a_task_that_takes_snapshots_takes_none_while_it_goes_on(bench: Workbench, src: Dataset) -> None:
    configure(bench, bench.task(src.name, snapshot={"create": True}))
    run = stop(bench)
    assert run.snapshot != "s1"
    before = zfs("list", "-H", "-o", "name", "-t", "snapshot", "-r", src.name)
    assert f"would send {src.name}@{run.snapshot}" in push(bench, "--dry-run").err
    push(bench)
    assert zfs("list", "-H", "-o", "name", "-t", "snapshot", "-r", src.name) == before
    assert [entry["id"] for entry in bench.listed()] == [run.id]
    push(bench)
    assert [entry["level"] for entry in bench.listed()] == [0, 1]


def test_a_tree_that_waits_for_one_dataset_only_gets_its_next_snapshot(
    bench: Workbench, dataset: DatasetFactory
) -> None:
    root = grown_tree(dataset, "slow-tree", {"large": 6})
    configure(bench, bench.task(root.name, recursive=True, snapshot={"create": True}))
    with under_way(bench, parts=4) as process:
        process.terminate()
        process.communicate(timeout=SECONDS)
    (run,) = open_runs(bench)
    assert run.dataset == f"{root.name}/large"
    push(bench)
    listed = bench.listed()
    assert [one["id"] for one in listed if one["dataset"] == run.dataset] == [run.id]
    assert [one["level"] for one in listed if one["dataset"] == root.name] == [0, 1]


def test_a_snapshot_that_can_not_be_sent_at_all_is_not_tried_for_ever(
    bench: Workbench, src: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(bench, bench.task(src.name, snapshot={"create": True, "name": "first_%Y-%m-%d_%H:%M:%S"}))
    real, folder = shutil.which("zfs"), tmp_path / "failing"
    folder.mkdir()
    script = (
        f'#!/bin/sh\ncase "$1 $2" in "send -nP") ;; send*) echo "I/O error" >&2; exit 1 ;; esac\nexec {real} "$@"\n'
    )
    (folder / "zfs").write_text(script)
    (folder / "zfs").chmod(0o755)
    usual = os.environ["PATH"]
    monkeypatch.setenv("PATH", f"{folder}:{usual}")
    done = bench.run("--host", "backup1")
    assert (done.code, "I/O error" in done.err) == (1, True), done.err
    assert open_runs(bench) == ()
    monkeypatch.setenv("PATH", usual)
    configure(bench, bench.task(src.name, snapshot={"create": True, "name": "next_%Y-%m-%d_%H:%M:%S"}))
    push(bench)
    (entry,) = bench.listed()
    assert entry["snapshot"].startswith("next_")
    assert bench.objects() == [key for key in bench.objects() if entry["id"] in key]


def test_two_hosts_run_in_parallel_on_one_run_state(bench: Workbench, src: Dataset) -> None:
    other = bench.folder / "other"
    other.mkdir()
    hosts = {"a": {"url": bench.url, "part_size": "1MiB"}, "b": {"url": f"file://{other}", "part_size": "1MiB"}}
    bench.configure([bench.task(src.name)], hosts=hosts)
    with under_way(bench, "--host", "a", parts=1) as first, under_way(bench, "--host", "b", parts=1) as second:
        assert {run.host for run in open_runs(bench)} == {"a", "b"}
        first.terminate()
        second.kill()
        for process in (first, second):
            process.communicate(timeout=SECONDS)
    ids = {run.host: run.id for run in open_runs(bench)}
    for host, run_id in ids.items():
        done = bench.run("--host", host)
        assert done.code == 0, done.err
        assert [run.host for run in open_runs(bench)] == (["b"] if host == "a" else [])
        listed = bench.run("list", "--host", host, "--json")
        assert [entry["id"] for entry in json.loads(listed.out)["backups"]] == [run_id]
