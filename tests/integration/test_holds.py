"""Holds on real pools: what is held before, during and after pushes, and how it is freed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.pool import Dataset, DatasetFactory, Pool, zfs
from harness.processes import CommandFailed
from integration.workbench import Workbench

pytestmark = pytest.mark.pool

TAG = "zfs-push-backups:backup1"
OTHER_TAG = "zfs-push-backups:backup2"
REAL_ZFS = shutil.which("zfs", path=os.environ["PATH"] + ":/usr/sbin:/sbin")


@pytest.fixture(autouse=True)
def _baseline(zfs_pool: Pool) -> None:
    if zfs_pool.kind != "zfs-fuse":
        pytest.skip("where ZFS has bookmarks they take the place of holds: these tests are of zfs-fuse")


def references(name: str) -> dict[str, int]:
    """How many holds each snapshot of a dataset has, as zfs says."""
    out = zfs("get", "-Hp", "-r", "-d", "1", "-o", "name,value", "userrefs", name)
    rows = (line.split("\t") for line in out.splitlines() if line.startswith(f"{name}@"))
    return {full.partition("@")[2]: int(count) for full, count in rows}


def held(name: str) -> set[str]:
    """The snapshots of a dataset that somebody holds."""
    return {snapshot for snapshot, count in references(name).items() if count}


def grow(one: Dataset, label: str, kibibytes: int = 64) -> None:
    (one.path / label).write_bytes(os.urandom(kibibytes << 10))
    one.snapshot(label)


def push(bench: Workbench, *words: str) -> None:
    done = bench.run("--host", "backup1", *words)
    assert done.code == 0, done.err


def chain(bench: Workbench, one: Dataset, *levels: int) -> None:
    """Push snapshots `s0`, `s1`, ... one after the other at these levels."""
    count = len(references(one.name))
    for number, level in enumerate(levels, start=count):
        grow(one, f"s{number}")
        push(bench, "--level", str(level))


def listed_holds(bench: Workbench, *words: str) -> list[dict[str, object]]:
    done = bench.run("holds", "--json", *words)
    assert done.code == 0, done.err
    found: list[dict[str, object]] = json.loads(done.out)["holds"]
    return found


def listening_zfs(folder: Path, refuse: str = "") -> tuple[str, Path]:
    """A PATH whose zfs notes each command and then is the real one, but for a verb that it refuses."""
    folder.mkdir()
    log = folder / "log"
    lines = ["#!/bin/sh", f'echo "$@" >> {log}']
    if refuse:
        lines.append(f'[ "$1" = {refuse} ] && {{ echo "cannot {refuse} \'$3\': permission denied" >&2; exit 1; }}')
    program = folder / "zfs"
    program.write_text("\n".join([*lines, f'exec {REAL_ZFS} "$@"', ""]))
    program.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}", log


@contextlib.contextmanager
def slow_push(bench: Workbench, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    process = bench.start("--host", "backup1", "--limit-upload", "16KiB", *words)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def stopped(bench: Workbench, one: Dataset, target: str, *words: str) -> None:
    """Stop a push while it sends `target`."""
    with slow_push(bench, *words) as process:
        deadline = time.monotonic() + 60
        while target not in held(one.name) or not list(bench.store.glob("data/**/part-*")):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143


def test_target_and_base_are_held_before_the_send(bench: Workbench, dataset: DatasetFactory, tmp_path: Path) -> None:
    one = dataset("before")
    bench.configure([bench.task(one.name)])
    chain(bench, one, 0)
    grow(one, "s1")
    path, log = listening_zfs(tmp_path / "bin")
    assert bench.run("--host", "backup1", path=path).code == 0
    commands = log.read_text().splitlines()
    sent = next(number for number, words in enumerate(commands) if words.startswith("send"))
    assert {f"hold {TAG} {one.name}@{name}" for name in ("s0", "s1")} <= set(commands[:sent])


def test_what_cannot_be_held_is_not_sent(bench: Workbench, dataset: DatasetFactory, tmp_path: Path) -> None:
    one = dataset("refused")
    bench.configure([bench.task(one.name)])
    grow(one, "s0")
    path, log = listening_zfs(tmp_path / "bin", refuse="hold")
    done = bench.run("--host", "backup1", path=path)
    assert done.code == 1
    assert "permission denied" in done.error_line()
    assert f"zfs allow root hold,release {one.name}" in done.err
    assert "send" not in [line.split()[0] for line in log.read_text().splitlines()]
    assert not bench.listed()
    assert listed_holds(bench) == []


def test_the_newest_of_each_level_is_held_and_nothing_else(bench: Workbench, dataset: DatasetFactory) -> None:
    one = dataset("levels")
    bench.configure([bench.task(one.name)])
    expected = ((0, {"s0"}), (1, {"s0", "s1"}), (2, {"s0", "s1", "s2"}), (2, {"s0", "s1", "s3"}))
    for level, names in (*expected, (1, {"s0", "s3", "s4"}), (0, {"s5"}), (1, {"s5", "s6"})):
        chain(bench, one, level)
        assert held(one.name) == names
    assert set(references(one.name).values()) == {0, 1}
    reasons = {row["snapshot"]: row["reason"] for row in listed_holds(bench)}
    assert reasons == {"s5": "newest of level 0", "s6": "newest of level 1"}


def test_a_held_snapshot_cannot_be_destroyed_before_it_is_superseded(bench: Workbench, dataset: DatasetFactory) -> None:
    one = dataset("pruned")
    bench.configure([bench.task(one.name)])
    chain(bench, one, 0, 1)
    with pytest.raises(CommandFailed, match="busy"):
        zfs("destroy", f"{one.name}@s1")
    chain(bench, one, 1)
    zfs("destroy", f"{one.name}@s1")
    one.snapshot("s1")
    push(bench, "--snapshot", "s2")
    assert held(one.name) == {"s0", "s2"}


def test_a_stop_keeps_what_resuming_needs(bench: Workbench, dataset: DatasetFactory) -> None:
    one = dataset("stopped")
    bench.configure([bench.task(one.name)], hosts={"backup1": {"url": bench.url, "part_size": "1MiB"}})
    chain(bench, one, 0, 1)
    grow(one, "s2", kibibytes=4096)
    stopped(bench, one, "s2", "--level", "1")
    assert held(one.name) == {"s0", "s1", "s2"}
    reasons = {row["snapshot"]: str(row["reason"]) for row in listed_holds(bench)}
    assert reasons["s2"].startswith("run ")
    for name in ("s0", "s2"):
        with pytest.raises(CommandFailed, match="busy"):
            zfs("destroy", f"{one.name}@{name}")
    push(bench, "--level", "1")
    assert held(one.name) == {"s0", "s2"}


def test_a_lost_journal_leaves_no_stale_hold(bench: Workbench, dataset: DatasetFactory) -> None:
    one, keeper = dataset("lost"), "somebody"
    bench.configure([bench.task(one.name)])
    chain(bench, one, 0, 1)
    zfs("hold", keeper, f"{one.name}@s1")
    shutil.rmtree(bench.state)
    chain(bench, one, 1)
    assert references(one.name) == {"s0": 1, "s1": 1, "s2": 1}
    zfs("release", keeper, f"{one.name}@s1")
    assert held(one.name) == {"s0", "s2"}
    assert {row["snapshot"] for row in listed_holds(bench)} == {"s0", "s2"}


def test_other_hosts_holds_stay(bench: Workbench, dataset: DatasetFactory, tmp_path: Path) -> None:
    one = dataset("hosts")
    (tmp_path / "second").mkdir()
    hosts = {"backup1": {"url": bench.url}, "backup2": {"url": f"file://{tmp_path}/second"}}
    bench.configure([bench.task(one.name)], hosts=hosts)
    grow(one, "s0")
    for host in hosts:
        assert bench.run("--host", host).code == 0
    assert references(one.name) == {"s0": 2}
    chain(bench, one, 0)
    assert references(one.name) == {"s0": 1, "s1": 1}
    zfs("release", OTHER_TAG, f"{one.name}@s0")


def test_a_task_that_is_disabled_frees_its_own_and_nobody_elses(bench: Workbench, dataset: DatasetFactory) -> None:
    one, two = dataset("task-one"), dataset("task-two")
    tasks = [bench.task(one.name, "first"), bench.task(two.name, "second")]
    bench.configure(tasks)
    for each in (one, two):
        grow(each, "s0")
    push(bench)
    push(bench, "--task", "second")
    assert (held(one.name), held(two.name)) == ({"s0"}, {"s0"})
    bench.configure([{**tasks[0], "enabled": False}, {**tasks[1], "name": "renamed"}])
    push(bench)
    assert (held(one.name), held(two.name)) == (set(), {"s0"})
    assert [row["task"] for row in listed_holds(bench)] == ["renamed"]


def test_an_ad_hoc_push_holds_for_its_own_run_and_frees_no_tasks(bench: Workbench, dataset: DatasetFactory) -> None:
    one, two = dataset("configured"), dataset("ad-hoc")
    bench.configure([bench.task(one.name)])
    for each in (one, two):
        grow(each, "s0")
    push(bench)
    push(bench, "--dataset", two.name)
    assert (held(one.name), held(two.name)) == ({"s0"}, {"s0"})
    push(bench)
    assert (held(one.name), held(two.name)) == ({"s0"}, set())


def test_a_url_as_host_holds_under_its_repositorys_id(bench: Workbench, dataset: DatasetFactory) -> None:
    one = dataset("url")
    bench.configure([], hosts={})
    grow(one, "s0")
    done = bench.run("--host", bench.url, "--dataset", one.name)
    assert done.code == 0, done.err
    repository = json.loads((bench.store / "repository.json").read_text())["id"]
    assert [row["host"] for row in listed_holds(bench, "--host", bench.url)] == [repository]
    assert bench.run("holds", "release", f"{one.name}@s0").code == 0
    assert held(one.name) == set()


def test_a_renamed_dataset_is_found_again(bench: Workbench, dataset: DatasetFactory, zfs_pool: Pool) -> None:
    one, stays = dataset("renamed"), dataset("stays")
    bench.configure([bench.task(one.name), bench.task(stays.name, "stays")])
    one.snapshot("s0")
    stays.snapshot("s0")
    push(bench)
    new = zfs_pool.unused_name("moved")
    # zfs-fuse renames nothing that is mounted, and says 'busy' for a moment after the last file was closed.
    zfs("unmount", "-f", one.name)
    zfs("rename", one.name, new)
    assert [row["dataset"] for row in listed_holds(bench) if row["task"] == "prod"] == [new]
    push(bench, "--task", "stays")
    assert (held(new), held(stays.name)) == (set(), {"s0"})
    assert [row["dataset"] for row in listed_holds(bench)] == [stays.name]
    zfs_pool.destroy(new)


def test_a_dry_run_and_a_stream_on_stdin_hold_nothing(bench: Workbench, dataset: DatasetFactory) -> None:
    one = dataset("none")
    bench.configure([bench.task(one.name)])
    grow(one, "s0")
    push(bench, "--dry-run")
    assert held(one.name) == set()
    stream = subprocess.run([str(REAL_ZFS), "send", f"{one.name}@s0"], check=True, capture_output=True).stdout
    done = bench.run("--host", "backup1", "--stdin", f"{one.name}@s0", stdin=stream)
    assert done.code == 0, done.err
    assert TAG not in {f"zfs-push-backups:{row['host']}" for row in listed_holds(bench) if "run" in str(row["reason"])}


def test_holds_are_listed_and_released_by_name(bench: Workbench, dataset: DatasetFactory) -> None:
    one = dataset("listed")
    bench.configure([bench.task(one.name)])
    chain(bench, one, 0, 1, 2)
    row = listed_holds(bench)[0]
    assert (row["dataset"], row["snapshot"], row["task"], row["host"]) == (one.name, "s0", "prod", "backup1")
    assert (row["held"], row["noted"]) == (None, True)
    assert isinstance(row["age_seconds"], int)
    text = bench.run("holds")
    for word in (one.name, "@s1", "host backup1", "task prod", "newest of level 2", "for "):
        assert word in text.out
    done = bench.run("holds", "release", f"{one.name}@s1", "--host", "backup1", f"{one.name}@s2")
    assert done.code == 0, done.err
    assert held(one.name) == {"s0"}
    zfs("destroy", f"{one.name}@s1")
    push(bench)
    assert held(one.name) == {"s0", "s2"}
    assert bench.run("holds", "release", "--all").code == 0
    assert held(one.name) == set()
    assert bench.run("holds").out.strip() == "no holds"


def test_release_refuses_what_it_does_not_know(bench: Workbench, dataset: DatasetFactory) -> None:
    one = dataset("unknown")
    bench.configure([bench.task(one.name)])
    chain(bench, one, 0)
    one.snapshot("free")
    zfs("hold", "somebody", f"{one.name}@free")
    for words, text in (
        ((f"{one.name}@free",), f"no hold of this program on {one.name}@free"),
        ((f"{one.name}@s0", f"{one.name}@s00"), "did you mean"),
        (("not-a-name",), "POOL/DATASET@SNAPSHOT"),
        ((), "which holds"),
        (("--all", f"{one.name}@s0"), "contradict"),
    ):
        done = bench.run("holds", "release", *words)
        assert done.code == 2, done
        done.error_line()
        assert text in done.err
    assert references(one.name) == {"s0": 1, "free": 1}
    assert bench.run("holds", "freeze").code == 2
    zfs("release", "somebody", f"{one.name}@free")


def test_a_release_finds_what_a_lost_journal_knew(bench: Workbench, dataset: DatasetFactory) -> None:
    one = dataset("forgotten")
    bench.configure([bench.task(one.name)])
    chain(bench, one, 0, 1)
    shutil.rmtree(bench.state)
    assert bench.run("holds", "release", f"{one.name}@s0").code == 0
    assert held(one.name) == {"s1"}
    assert bench.run("holds", "release", "--all").code == 0
    assert held(one.name) == set()


def test_a_release_waits_for_no_running_push(bench: Workbench, dataset: DatasetFactory) -> None:
    one = dataset("locked")
    bench.configure([bench.task(one.name)])
    grow(one, "s0", kibibytes=4096)
    with slow_push(bench):
        deadline = time.monotonic() + 60
        while "s0" not in held(one.name):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        done = bench.run("holds", "release", f"{one.name}@s0")
        assert done.code == 4, done
        assert [row["snapshot"] for row in listed_holds(bench)] == ["s0"]
        assert held(one.name) == {"s0"}
