from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from unit.catalogue.saved_runs import MACHINE, REPOSITORY, RUN, run
from zfs_push_backups.catalogue.catalogue import Catalogue
from zfs_push_backups.catalogue.runs import Runs
from zfs_push_backups.run.sweep import Swept, note_swept, sweep

NOTHING: dict[str, Any] = {"removed": [], "committed": [], "waiting": [], "keys": [], "uploads": []}


class Store:
    """Answers sweeps, and keeps what it was asked."""

    def __init__(self, **report: Any) -> None:
        self.report = {**NOTHING, **report}
        self.asked: list[dict[str, Any]] = []

    def call(self, operation: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(operation["sweep"])
        return self.report


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    with Catalogue.open(tmp_path, machine=MACHINE) as catalogue:
        yield catalogue.runs


def swept(runs: Runs, store: Store) -> None:
    saved = runs.unswept(REPOSITORY)
    note_swept(runs, saved, sweep(store, saved, REPOSITORY, RUN.source))  # type: ignore[arg-type]


def test_what_can_be_gone_on_with_or_committed_is_kept_and_all_else_is_our_own_to_remove(runs: Runs) -> None:
    resumable, committing, from_stdin, abandoned, done = (
        run(0),
        run(1, resumable=False),
        run(2, resumable=False),
        run(3),
        run(4),
    )
    for one in (resumable, committing, from_stdin, abandoned, done):
        runs.begin(one)
    runs.committing(committing.id, "manifests/1.json", "{}")
    runs.committing(abandoned.id, "manifests/3.json", "{}")
    runs.finish(abandoned.id, "abandoned")
    runs.finish(done.id, "committed")
    store = Store()
    swept(runs, store)
    assert store.asked == [
        {
            "repository_id": REPOSITORY,
            "source": RUN.source,
            "keep": [resumable.id, committing.id],
            "own": {
                from_stdin.id: {"sessions": list(RUN.sessions), "may_be_committed": False, "manifest_key": None},
                abandoned.id: {
                    "sessions": list(RUN.sessions),
                    "may_be_committed": True,
                    "manifest_key": "manifests/3.json",
                },
            },
            "dry_run": False,
            "grace_seconds": 86_400,
        }
    ]
    assert [one.id for one in runs.unswept(REPOSITORY)] == [resumable.id, committing.id]
    assert runs.find(from_stdin.id).outcome == "failed"  # type: ignore[union-attr]


def test_what_waits_is_swept_again_the_next_time(runs: Runs) -> None:
    runs.begin(run(0))
    runs.finish(run(0).id, "abandoned")
    swept(runs, Store(waiting=[{"id": run(0).id, "reason": "not yet"}]))
    assert [one.id for one in runs.unswept(REPOSITORY)] == [run(0).id]
    swept(runs, Store())
    assert runs.unswept(REPOSITORY) == ()


def test_a_manifest_that_the_sweep_met_is_noted(runs: Runs) -> None:
    runs.begin(run(0))
    runs.finish(run(0).id, "abandoned")
    swept(runs, Store(committed=[run(0).id]))
    assert runs.find(run(0).id).outcome == "committed"  # type: ignore[union-attr]


def test_each_source_of_saved_runs_is_swept_with_its_own_runs_only(runs: Runs) -> None:
    runs.begin(run(0))
    runs.begin(run(1, source="renamed"))
    store = Store(removed=[{"id": "x", "keys": 2, "bytes": 3, "uploads": 1}])
    saved = runs.unswept(REPOSITORY)
    report = sweep(store, saved, REPOSITORY, RUN.source, dry_run=True)  # type: ignore[arg-type]
    assert [(one["source"], one["keep"], one["dry_run"]) for one in store.asked] == [
        (RUN.source, [run(0).id], True),
        ("renamed", [run(1).id], True),
    ]
    assert report.removed == (Swept(id="x", keys=2, bytes=3, uploads=1),) * 2
