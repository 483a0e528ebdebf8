"""Pushes that are stopped in their middle, and what they left: for the tests of going on."""

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

from harness.pool import Dataset
from integration.workbench import Done, Workbench
from zfs_push_backups.catalogue.catalogue import FILE_NAME, Catalogue
from zfs_push_backups.catalogue.records import RunSummary
from zfs_push_backups.run.state import machine_key

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


def gave_up(done: Done, run: RunSummary, reason: str) -> None:
    warnings = [line for line in done.err.splitlines() if "is begun anew: " in line or "is given up, " in line]
    assert len(warnings) == 1, done.err
    assert run.id in warnings[0]
    assert reason in warnings[0]


def status(bench: Workbench) -> dict[str, Any]:
    done = bench.run("status", "--host", "backup1", "--json")
    assert done.code == 0, done.err
    (host,) = json.loads(done.out)["hosts"]
    return dict(host)


def copied(bench: Workbench, name: str) -> Path:
    """A copy of the run state as a backup of the machine would have it."""
    target = bench.folder / name
    shutil.copytree(bench.state, target)
    return target


def put_back(bench: Workbench, copy: Path) -> None:
    shutil.rmtree(bench.state)
    shutil.copytree(copy, bench.state)
