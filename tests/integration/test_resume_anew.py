"""Runs that are begun anew: what is pinned changed, the run state is lost, old or a clone's."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import time
from pathlib import Path

import pytest

from harness.pool import Dataset, zfs
from integration.stopped_push import (
    TAG,
    change_state,
    committed_whole,
    configure,
    copied,
    gave_up,
    grow,
    open_runs,
    push,
    put_back,
    stop,
    under_way,
)
from integration.workbench import Workbench
from zfs_push_backups import engine
from zfs_push_backups.catalogue.catalogue import FILE_NAME

pytestmark = pytest.mark.pool


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
