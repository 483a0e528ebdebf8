from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from unit.catalogue.saved_runs import MACHINE, REPOSITORY, RUN, part
from zfs_push_backups.catalogue.catalogue import Catalogue
from zfs_push_backups.catalogue.runs import Runs
from zfs_push_backups.errors import InternalError, SourceFailed, StateError
from zfs_push_backups.report.logs import ROOT_LOGGER
from zfs_push_backups.run.jobs import run_job
from zfs_push_backups.run.journal import RunJournal
from zfs_push_backups.run.session import Session


class Job:
    """A job that ends as told; each tick brings the next entries, and the last ones come after its end."""

    def __init__(self, *ticks: list[dict[str, Any]], last: list[dict[str, Any]] | None = None) -> None:
        self.ticks = list(ticks)
        self.last = last or []
        self.waiting: list[dict[str, Any]] = []
        self.written: list[int] = []
        self.cancelled = ""
        self.failure: Exception | None = None

    def wait(self, on_tick: Any) -> dict[str, Any]:
        try:
            for entries in self.ticks:
                self.waiting += entries
                on_tick()
        finally:
            self.waiting += self.last
        if self.failure is not None:
            raise self.failure
        return {"id": RUN.id}

    def drain_journal(self) -> list[dict[str, Any]]:
        drained, self.waiting = self.waiting, []
        return drained

    def journal_written(self, count: int) -> None:
        self.written.append(count)

    def drain_events(self) -> list[Any]:
        return []

    def cancel(self, reason: str, within_seconds: float | None = None) -> None:
        del within_seconds
        self.cancelled = reason


def stored(number: int) -> dict[str, Any]:
    return {"kind": "part", **part(number)}


COMMITTING = {"kind": "committing", "manifest_key": "manifests/x.json", "manifest": "{}\n"}
COMMITTED = {"kind": "committed", "manifest_key": "manifests/x.json"}


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    with Catalogue.open(tmp_path, machine=MACHINE) as catalogue:
        catalogue.runs.begin(RUN)
        yield catalogue.runs


def run(job: Job, runs: Runs) -> dict[str, Any]:
    return run_job(Session(), job, journal=RunJournal(runs, RUN.id, job))  # type: ignore[arg-type]


def test_what_a_tick_brings_is_written_and_then_told_by_the_whole_count(runs: Runs) -> None:
    job = Job([{"kind": "begin", "record": "00ff"}, stored(0)], [], [stored(1), COMMITTING], last=[COMMITTED])
    run(job, runs)
    assert job.written == [2, 4, 5]
    found = runs.find(RUN.id)
    assert found is not None
    assert (found.outcome, found.begin_record, found.manifest_key) == ("committed", "00ff", "manifests/x.json")


def test_parts_are_kept_as_the_engine_told_them(runs: Runs) -> None:
    run(Job([stored(0)], [stored(1), {"kind": "skipped", "number": 1}]), runs)
    assert runs.unfinished(REPOSITORY)[0].parts == (part(0), part(1))


def refuse(runs: Runs, times: int) -> None:
    """Have that many parts not be written."""
    real, left = runs.part, [1] * times

    def failing(run_id: str, part: Any) -> None:
        if left:
            left.pop()
            raise StateError("the disk is full")
        real(run_id, part)

    runs.part = failing  # type: ignore[method-assign]


def test_a_failing_write_ends_the_job_and_nothing_is_told_to_be_durable(runs: Runs) -> None:
    refuse(runs, 1000)
    job = Job([{"kind": "begin", "record": "00ff"}], [stored(0)], [COMMITTING])
    with pytest.raises(StateError, match="full"):
        run(job, runs)
    assert job.written == [1]
    assert runs.find(RUN.id).manifest_key is None  # type: ignore[union-attr]


def test_what_could_not_be_written_is_tried_again_in_its_order_at_the_end(runs: Runs) -> None:
    refuse(runs, 1)
    job = Job([stored(0)], last=[stored(1)])
    with pytest.raises(StateError):
        run(job, runs)
    assert runs.unfinished(REPOSITORY)[0].parts == (part(0), part(1))
    assert job.written == [2]


def test_a_failure_behind_the_end_is_a_warning_as_the_store_knows_the_truth(
    runs: Runs, caplog: pytest.LogCaptureFixture
) -> None:
    refuse(runs, 1000)
    assert run(Job([COMMITTING], last=[stored(0)]), runs) == {"id": RUN.id}
    assert "could not be noted: the disk is full" in caplog.text


def test_the_job_s_own_failure_stands_and_its_last_entries_are_kept(runs: Runs) -> None:
    job = Job([stored(0)], last=[stored(1)])
    job.failure = SourceFailed("zfs send died")
    with pytest.raises(SourceFailed):
        run(job, runs)
    assert runs.unfinished(REPOSITORY)[0].parts == (part(0), part(1))


def test_an_unknown_entry_is_a_defect_and_not_passed_over(runs: Runs) -> None:
    job = Job([{"kind": "surprise"}])
    with pytest.raises(InternalError, match="surprise"):
        run(job, runs)
    assert job.written == []


def test_skipped_parts_are_one_line_in_sum_and_stored_ones_a_line_each(
    runs: Runs, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, ROOT_LOGGER)
    skipped = [{"kind": "skipped", "number": number} for number in range(5)]
    run(Job(skipped, [stored(5)], [stored(6)]), runs)
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "5 parts skipped: they are stored, and proven to be the same",
        "part processed",
        "part processed",
    ]
    caplog.set_level(logging.DEBUG, ROOT_LOGGER)
    caplog.clear()
    run(Job(skipped), runs)
    assert [record.getMessage() for record in caplog.records] == ["part skipped"] * 5
