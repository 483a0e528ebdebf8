from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from unit.catalogue.saved_runs import part, run
from zfs_push_backups.catalogue.catalogue import Catalogue
from zfs_push_backups.errors import UsageError
from zfs_push_backups.run import status as status_case
from zfs_push_backups.run.forget import choose
from zfs_push_backups.run.locks import locked
from zfs_push_backups.run.options import ForgetOptions, StatusOptions
from zfs_push_backups.run.session import Session
from zfs_push_backups.run.state import machine_key


@pytest.fixture
def config(tmp_path: Path) -> Path:
    names = ("one", "two", "off")
    tasks = [{"name": name, "pool": "tank", "dataset": name, "enabled": name != "off"} for name in names]
    content: dict[str, Any] = {
        "base_dir": str(tmp_path / "state"),
        "lock_dir": str(tmp_path),
        "hosts": {"a": {"url": "file:///a"}, "b": {"url": "file:///b"}},
        "tasks": [*tasks, {"name": "only-b", "pool": "tank", "dataset": "x", "hosts": ["b"]}],
    }
    file = tmp_path / "config.yaml"
    file.write_text(json.dumps(content))
    return file


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    with Catalogue.open(tmp_path / "state", machine=machine_key()) as opened:
        yield opened


def seen(config: Path, **options: Any) -> dict[str, Any]:
    found = status_case.status(StatusOptions(config=str(config), **options), Session()).as_dict()
    return {host["host"]: host for host in found["hosts"]}


def test_without_any_state_every_enabled_task_of_a_host_is_pending(config: Path) -> None:
    found = seen(config)
    assert [task["task"] for task in found["a"]["pending"]] == ["one", "two"]
    assert [task["task"] for task in found["b"]["pending"]] == ["one", "two", "only-b"]
    assert not (config.parent / "state").exists()


def test_runs_are_told_apart_by_host_and_by_what_can_become_of_them(config: Path, catalogue: Catalogue) -> None:
    runs = catalogue.runs
    runs.begin(run(0, host="a", task="one"))
    runs.begin(run(1, host="a", task=None, resumable=False))
    runs.begin(run(2, host="gone", task="one"))
    for number in range(3):
        runs.part(run(number).id, part(0))
    runs.begin(run(3, host="a", task="two"))
    runs.finish(run(3).id, "committed")
    found = seen(config)
    assert [one["id"] for one in found["a"]["resumable"]] == [run(0).id]
    assert [one["id"] for one in found["a"]["unfinished"]] == [run(1).id]
    (pending,) = found["a"]["pending"]
    assert pending["task"] == "two"
    assert pending["last_committed"]
    assert [one["outcome"] for one in found["a"]["recent"]] == ["committed"]
    assert [one["id"] for one in found["gone"]["resumable"]] == [run(2).id]
    assert seen(config, host="b").keys() == {"b"}
    assert seen(config, host="a", limit=0)["a"]["recent"] == ()
    text = status_case.as_text(status_case.status(StatusOptions(config=str(config)), Session()))
    assert "a: idle\n  resumable  tank/data@daily  level 0, 1 parts, 64.0 MiB, task one" in text
    assert "  pending    two (tank/two), last committed 20" in text


def test_a_run_is_running_while_its_process_holds_the_host_s_lock(config: Path, catalogue: Catalogue) -> None:
    catalogue.runs.begin(run(0, host="a", task="one"))
    catalogue.runs.begin(run(1, host="a", task="two"))
    catalogue.runs.interrupted(run(0).id, "it was stopped")
    session = Session()
    loaded = session.configuration(StatusOptions(config=str(config)))
    with locked(session, loaded, loaded.hosts[0], command="push"):
        found = seen(config)["a"]
        assert found["holder"]["pid"] == os.getpid()
        assert [one["id"] for one in found["running"]] == [run(1).id]
        assert [one["id"] for one in found["resumable"]] == [run(0).id]
        assert found["pending"] == ()
    assert seen(config)["a"]["running"] == ()


def test_what_to_forget_is_never_guessed(catalogue: Catalogue) -> None:
    runs = catalogue.runs
    for number, task in enumerate(("one", "two", "two")):
        runs.begin(run(number, task=task, dataset=f"tank/{task}"))
    opened = runs.open_runs()
    with pytest.raises(UsageError, match="which run"):
        choose(opened, ForgetOptions())
    with pytest.raises(UsageError, match="no unfinished run 'x'"):
        choose(opened, ForgetOptions(run_id="x"))
    assert [one.id for one in choose(opened, ForgetOptions(run_id=run(1).id))] == [run(1).id]
    assert [one.id for one in choose(opened, ForgetOptions(task="two"))] == [run(1).id, run(2).id]
    assert [one.id for one in choose(opened, ForgetOptions(dataset="tank/one"))] == [run(0).id]
    assert choose(opened, ForgetOptions(task="three")) == ()
    assert choose(opened[:1], ForgetOptions()) == opened[:1]
    assert choose((), ForgetOptions()) == ()
