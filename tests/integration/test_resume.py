"""Runs that were stopped, killed, forgotten, or whose state was lost, old or a clone's: on real pools and folders."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.pool import Dataset, DatasetFactory, zfs
from integration.workbench import SOURCE, Done, Workbench
from zfs_push_backups import engine
from zfs_push_backups.catalogue.catalogue import FILE_NAME, Catalogue
from zfs_push_backups.catalogue.records import RunSummary
from zfs_push_backups.run.state import machine_key

pytestmark = pytest.mark.pool

TAG = "zfs-push-backups:backup1"
MIB = 1 << 20
SLOW = ("--limit-upload", "3MiB")
SECONDS = 60.0


def grow(one: Dataset, label: str, mebibytes: int = 6) -> None:
    (one.path / label).write_bytes(os.urandom(mebibytes * MIB))
    one.snapshot(label)


def configure(bench: Workbench, *tasks: dict[str, Any], **host: Any) -> None:
    settings = {"url": bench.url, "part_size": "1MiB", **host}
    bench.configure(tasks, hosts={"backup1": settings})


@pytest.fixture
def src(bench: Workbench, dataset: DatasetFactory) -> Dataset:
    one = dataset("resume")
    grow(one, "s1")
    configure(bench, bench.task(one.name))
    return one


def open_runs(bench: Workbench) -> tuple[RunSummary, ...]:
    found = Catalogue.look(bench.state, machine=machine_key())
    if found is None:
        return ()
    with found:
        return found.runs.open_runs()


@contextlib.contextmanager
def under_way(bench: Workbench, *words: str, parts: int = 2) -> Iterator[subprocess.Popen[bytes]]:
    """A push that has that many new parts in its run state, and more to do."""
    before = {run.id: run.parts for run in open_runs(bench)}
    process = bench.start(*(words or ("--host", "backup1")), *SLOW)
    try:
        deadline = time.monotonic() + SECONDS
        while not any(
            run.pid == process.pid and run.parts >= before.get(run.id, 0) + parts for run in open_runs(bench)
        ):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield process
    finally:
        process.kill()
        process.communicate()


def stop(bench: Workbench, *words: str, number: signal.Signals = signal.SIGTERM, parts: int = 2) -> RunSummary:
    """Stop a push in its middle; what it left is one run that can be gone on with."""
    with under_way(bench, *words, parts=parts) as process:
        process.send_signal(number)
        _, err = process.communicate(timeout=SECONDS)
        assert process.returncode == (-9 if number == signal.SIGKILL else 128 + number), err
    (run,) = open_runs(bench)
    assert bench.listed() == []
    return run


def push(bench: Workbench, *words: str) -> Done:
    done = bench.run("--host", "backup1", *words)
    assert done.code == 0, done.err
    return done


def parts(bench: Workbench) -> dict[str, tuple[int, int]]:
    """Every part in the store with what changes when it is written again."""
    found = {}
    for path in bench.store.rglob("part-*.age"):
        state = path.stat()
        found[str(path.relative_to(bench.store))] = (state.st_ino, state.st_mtime_ns)
    return found


def committed_whole(bench: Workbench, one: Dataset, tmp_path: Path, ids: int = 1) -> list[dict[str, Any]]:
    """Exactly these backups, nothing beside them, and the very bytes that `zfs send` gives."""
    listed = bench.listed()
    assert len(listed) == ids
    counted = {part["key"] for manifest in manifests(bench) for part in manifest["parts"]}
    assert set(parts(bench)) == counted
    assert not list((bench.store / "runs").rglob("*.json"))
    newest = max(listed, key=lambda entry: str(entry["id"]))
    file = tmp_path / f"restored-{len(list(tmp_path.iterdir()))}"
    words = ("restore", "--dataset", one.name, "--backup", newest["id"], "--identity", bench.key, "--output", file)
    done = bench.run(*words)
    assert done.code == 0, done.err
    if newest["level"] == 0:
        sent = subprocess.run(["zfs", "send", f"{one.name}@{newest['snapshot']}"], check=True, capture_output=True)
        assert file.read_bytes() == sent.stdout
    assert open_runs(bench) == ()
    return listed


def manifests(bench: Workbench) -> list[dict[str, Any]]:
    paths = (bench.store / "manifests").rglob("*.json")
    return [json.loads(path.read_text()) for path in paths if path.stat().st_size > 19]


def change_state(bench: Workbench, statement: str, *values: object) -> None:
    with contextlib.closing(sqlite3.connect(bench.state / FILE_NAME)) as connection, connection:
        connection.execute(statement, values)


# Stopped and gone on with.


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


# Something that is pinned changed.


def gave_up(done: Done, run: RunSummary, reason: str) -> None:
    warnings = [line for line in done.err.splitlines() if "is begun anew: " in line or "is given up, " in line]
    assert len(warnings) == 1, done.err
    assert run.id in warnings[0]
    assert reason in warnings[0]


def test_other_recipients_begin_anew_and_say_so(bench: Workbench, src: Dataset, tmp_path: Path) -> None:
    run = stop(bench)
    secret, recipient = engine.generate_identity()
    bench.key.write_text(secret + "\n")
    bench.recipient = recipient
    configure(bench, bench.task(src.name))
    gave_up(push(bench), run, "the recipients changed (1 added, 1 removed)")
    (entry,) = committed_whole(bench, src, tmp_path)
    assert entry["id"] != run.id


def test_another_part_size_begins_anew(bench: Workbench, src: Dataset, tmp_path: Path) -> None:
    run = stop(bench)
    configure(bench, bench.task(src.name), part_size="2MiB")
    gave_up(push(bench), run, "part_size was 1048576 and is 2097152 now")
    committed_whole(bench, src, tmp_path)


def test_a_destroyed_snapshot_begins_anew(bench: Workbench, src: Dataset, tmp_path: Path) -> None:
    run = stop(bench)
    zfs("release", TAG, f"{src.name}@s1")
    zfs("destroy", f"{src.name}@s1")
    grow(src, "s2", 1)
    gave_up(push(bench), run, "is gone")
    (entry,) = committed_whole(bench, src, tmp_path)
    assert entry["snapshot"] == "s2"


def test_a_level_that_was_asked_for_goes_before(bench: Workbench, src: Dataset, tmp_path: Path) -> None:
    push(bench)
    grow(src, "s2")
    with under_way(bench) as process:
        process.kill()
        process.wait()
    (run,) = open_runs(bench)
    gave_up(push(bench, "--level", "0"), run, "level 0 was asked for, and it is of level 1")
    assert [entry["level"] for entry in committed_whole(bench, src, tmp_path, ids=2)] == [0, 0]


def test_a_prefix_that_differs_begins_anew_in_the_same_run(bench: Workbench, src: Dataset, tmp_path: Path) -> None:
    run = stop(bench)
    with contextlib.closing(sqlite3.connect(bench.state / FILE_NAME)) as connection, connection:
        (text,) = connection.execute("SELECT entry FROM parts WHERE number = 1").fetchone()
        entry = json.loads(text)
        entry["proof"]["blake3"] = "0" * 64
        connection.execute("UPDATE parts SET entry = ? WHERE number = 1", (json.dumps(entry),))
    gave_up(push(bench), run, "")
    (listed,) = committed_whole(bench, src, tmp_path)
    assert listed["id"] != run.id


def test_a_part_without_its_proof_sends_more_and_blocks_nothing(bench: Workbench, src: Dataset, tmp_path: Path) -> None:
    run = stop(bench)
    with contextlib.closing(sqlite3.connect(bench.state / FILE_NAME)) as connection, connection:
        (text,) = connection.execute("SELECT entry FROM parts WHERE number = 1").fetchone()
        entry = json.loads(text)
        del entry["proof"]
        connection.execute("UPDATE parts SET entry = ? WHERE number = 1", (json.dumps(entry),))
    done = push(bench)
    assert "can't be read from the run state" in done.err
    (listed,) = committed_whole(bench, src, tmp_path)
    assert listed["id"] == run.id


def test_parts_that_are_gone_from_the_store_are_sent_again(bench: Workbench, src: Dataset, tmp_path: Path) -> None:
    run = stop(bench, parts=3)
    next(bench.store.rglob("part-000001-*.age")).unlink()
    done = push(bench)
    assert "are sent again" in done.err
    assert "going on at part 1" in done.err
    (entry,) = committed_whole(bench, src, tmp_path)
    assert entry["id"] == run.id


# The run state is not what happened.


def copied(bench: Workbench, name: str) -> Path:
    """A copy of the run state as a backup of the machine would have it."""
    target = bench.folder / name
    shutil.copytree(bench.state, target)
    return target


def put_back(bench: Workbench, copy: Path) -> None:
    shutil.rmtree(bench.state)
    shutil.copytree(copy, bench.state)


def test_a_lost_state_begins_anew_and_leaves_nothing_behind(bench: Workbench, src: Dataset, tmp_path: Path) -> None:
    run = stop(bench)
    shutil.rmtree(bench.state)
    push(bench)
    (entry,) = committed_whole(bench, src, tmp_path)
    assert entry["id"] != run.id


def test_a_state_that_does_not_know_of_the_commit_finds_it(bench: Workbench, src: Dataset, tmp_path: Path) -> None:
    run = stop(bench)
    copy = copied(bench, "old")
    push(bench)
    put_back(bench, copy)
    assert [one.id for one in open_runs(bench)] == [run.id]
    done = push(bench)
    assert f"already committed as {run.id}" in done.err
    assert "up to date" in done.err
    (entry,) = committed_whole(bench, src, tmp_path)
    assert entry["id"] == run.id


def test_a_state_that_misses_a_later_session_begins_anew_loudly(bench: Workbench, src: Dataset) -> None:
    run = stop(bench)
    copy = copied(bench, "old")
    later = stop(bench)
    assert later.id == run.id
    put_back(bench, copy)
    gave_up(push(bench), run, "no session known here wrote")
    (entry,) = bench.listed()
    assert entry["id"] != run.id
    assert open_runs(bench) == ()


def test_a_state_that_misses_a_later_run_sends_nothing_twice(bench: Workbench, src: Dataset, tmp_path: Path) -> None:
    run = stop(bench)
    copy = copied(bench, "old")
    assert bench.run("forget-run", "--host", "backup1").code == 0
    time.sleep(1.1)
    push(bench)
    put_back(bench, copy)
    done = push(bench)
    gave_up(done, run, "its snapshot was sent since, as ")
    assert "up to date" in done.err
    (entry,) = committed_whole(bench, src, tmp_path)
    assert entry["id"] != run.id


def test_the_state_of_a_clone_is_set_aside(bench: Workbench, src: Dataset, tmp_path: Path) -> None:
    run = stop(bench)
    change_state(bench, "UPDATE about SET value = 'the machine that was cloned'")
    done = push(bench)
    assert "was made on another machine" in done.err
    assert len(list(bench.state.glob(f"{FILE_NAME}.other-machine-*"))) == 1
    assert [entry["id"] == run.id for entry in bench.listed()] == [False]


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


# Standard input.


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


# The commands.


def status(bench: Workbench) -> dict[str, Any]:
    done = bench.run("status", "--host", "backup1", "--json")
    assert done.code == 0, done.err
    (host,) = json.loads(done.out)["hosts"]
    return dict(host)


def test_status_works_beside_a_running_push(bench: Workbench, src: Dataset) -> None:
    assert [task["task"] for task in status(bench)["pending"]] == ["prod"]
    with under_way(bench) as process:
        found = status(bench)
        assert found["holder"]["pid"] == process.pid
        assert [run["dataset"] for run in found["running"]] == [src.name]
        assert found["resumable"] == found["pending"] == []
        text = bench.run("status")
        assert f"process {process.pid} (push) since" in text.out
        assert f"running    {src.name}@s1" in text.out
        process.kill()
        process.wait()
    found = status(bench)
    assert (found["holder"], found["running"]) == (None, [])
    assert [run["dataset"] for run in found["resumable"]] == [src.name]
    push(bench)
    (recent,) = status(bench)["recent"]
    assert (recent["outcome"], recent["error"]) == ("committed", None)
    assert recent["parts"] >= 6
    assert recent["sealed_bytes"] > 6 * MIB


def test_status_tells_why_a_run_stopped(bench: Workbench, src: Dataset) -> None:
    stop(bench)
    assert status(bench)["resumable"][0]["error"] == "stopped by SIGTERM"
    assert "resumable" in bench.run("status").out


@pytest.mark.parametrize("which", ["id", "--task", "--dataset", "only"])
def test_a_forgotten_run_is_swept_freed_and_begun_anew(
    bench: Workbench, src: Dataset, tmp_path: Path, which: str
) -> None:
    run = stop(bench)
    words = {"id": [run.id], "--task": ["--task", "prod"], "--dataset": ["--dataset", src.name], "only": []}[which]
    done = bench.run("forget-run", "--host", "backup1", *words)
    assert done.code == 0, done.err
    assert f"forgot {run.id}" in done.err
    assert bench.objects() == []
    assert zfs("get", "-Hp", "-o", "value", "userrefs", f"{src.name}@s1").strip() == "0"
    assert open_runs(bench) == ()
    assert status(bench)["recent"][0]["outcome"] == "abandoned"
    push(bench)
    (entry,) = committed_whole(bench, src, tmp_path)
    assert entry["id"] != run.id


def test_forgetting_needs_a_run_that_is_there_and_not_committed(bench: Workbench, src: Dataset) -> None:
    assert "no unfinished run" in bench.run("forget-run", "--host", "backup1").err
    run = stop(bench)
    for words in (["--dataset", "tank/other"], ["--source", "other"]):
        done = bench.run("forget-run", "--host", "backup1", *words)
        assert (done.code, "no unfinished run to forget" in done.err) == (0, True), done.err
    done = bench.run("forget-run", "--host", "backup1", "--task", "prdo")
    assert (done.code, "did you mean 'prod'" in done.err) == (2, True), done.err
    assert [one.id for one in open_runs(bench)] == [run.id]
    done = bench.run("forget-run", "--host", "backup1", run.id[:-1] + "x")
    assert done.code == 2
    assert run.id in done.err
    copy = copied(bench, "old")
    push(bench)
    put_back(bench, copy)
    done = bench.run("forget-run", "--host", "backup1", "--json")
    assert done.code == 0
    assert done.results()[0]["committed"] == [run.id]
    assert len(bench.listed()) == 1


def test_forgetting_waits_for_no_lock(bench: Workbench, src: Dataset) -> None:
    with under_way(bench) as process:
        done = bench.run("forget-run", "--host", "backup1")
        assert done.code == 4
        assert str(process.pid) in done.err
        assert bench.run("cleanup", "--host", "backup1").code == 4
        assert process.poll() is None


def test_cleanup_removes_a_forgotten_run_s_leftovers_and_nothing_like_them(bench: Workbench, src: Dataset) -> None:
    stop(bench)
    away = bench.folder / "away"
    bench.store.rename(away)
    bench.store.touch()
    assert bench.run("forget-run", "--host", "backup1").code == 0
    bench.store.unlink()
    away.rename(bench.store)
    leftovers = bench.objects()
    neighbours = look_alikes(bench, leftovers)
    before = bench.objects()

    shown = bench.run("cleanup", "--host", "backup1", "--dry-run", "--json")
    assert shown.code == 0, shown.err
    report = json.loads(shown.out)
    assert sorted(report["keys"]) == leftovers
    assert bench.objects() == before
    done = bench.run("cleanup", "--host", "backup1")
    assert done.code == 0, done.err
    (line,) = [line for line in done.out.splitlines() if line.startswith("removed")]
    assert f"{len(leftovers) - 1} objects" in line
    assert bench.objects() == neighbours
    assert "nothing to clean up" in bench.run("cleanup", "--host", "backup1").out


def look_alikes(bench: Workbench, leftovers: list[str]) -> list[str]:
    """Files in the neighbourhood that only look like leftovers."""
    part = next(key for key in leftovers if "/part-000000-" in key)
    folder, _, name = part.rpartition("/")
    base, _, run_id = folder.rpartition("/")
    other_id = run_id[:-12] + "0123456789ab"
    made = [
        f"{folder}/{name}.bak",
        f"{folder}/notes.txt",
        f"{base}/{other_id}/{name}",
        f"{base}/{run_id}x/{name}",
        f"{folder.replace(SOURCE, SOURCE + '2')}/{name}",
        f"runs/{SOURCE}/notes.json",
        f"runs/{SOURCE}2/{run_id}.json",
    ]
    for key in made:
        path = bench.store / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    return sorted(made)


def test_cleanup_keeps_what_can_be_gone_on_with(bench: Workbench, src: Dataset, tmp_path: Path) -> None:
    run = stop(bench)
    before = bench.objects()
    done = bench.run("cleanup", "--host", "backup1")
    assert done.code == 0, done.err
    assert f"kept: {run.id}" in done.out
    assert bench.objects() == before
    push(bench)
    (entry,) = committed_whole(bench, src, tmp_path)
    assert entry["id"] == run.id


def test_cleanup_makes_no_repository(bench: Workbench) -> None:
    configure(bench)
    for words in ((), ("--dry-run",)):
        done = bench.run("cleanup", "--host", "backup1", *words)
        assert (done.code, done.out) == (0, "backup1: nothing to clean up\n")
    assert list(bench.store.iterdir()) == []
