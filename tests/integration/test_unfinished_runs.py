"""The commands that look at unfinished runs, forget them and remove what they left."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.pool import Dataset, zfs
from integration.stopped_push import (
    MIB,
    committed_whole,
    configure,
    copied,
    open_runs,
    push,
    put_back,
    status,
    stop,
    under_way,
)
from integration.workbench import SOURCE, Workbench

pytestmark = pytest.mark.pool


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


@pytest.mark.parametrize("which", [min, max])
def test_runs_of_two_stores_that_lay_at_one_place_are_forgotten_together(
    bench: Workbench, src: Dataset, which: Callable[[list[str]], str]
) -> None:
    stores: dict[str, Path] = {}
    for name in ("one", "other"):
        with under_way(bench):
            pass
        found = {run.repository for run in open_runs(bench)} - stores.keys()
        stores[found.pop()] = bench.store.rename(bench.folder / name)
        bench.store.mkdir()
    bench.store.rmdir()
    stores[which([*stores])].rename(bench.store)
    done = bench.run("forget-run", "--host", "backup1", "--task", "prod")
    assert done.code == 0, done.err
    assert done.err.count("forgot ") == 2
    assert open_runs(bench) == ()
    assert bench.objects() == []


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
