from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from unit.catalogue.saved_runs import MACHINE, REPOSITORY, RUN, part, run
from zfs_push_backups.catalogue import runs as runs_module
from zfs_push_backups.catalogue.catalogue import FILE_NAME, Catalogue
from zfs_push_backups.catalogue.runs import Runs
from zfs_push_backups.errors import StateError


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    with Catalogue.open(tmp_path, machine=MACHINE) as opened:
        yield opened


@pytest.fixture
def runs(catalogue: Catalogue) -> Runs:
    return catalogue.runs


def test_what_was_saved_comes_back_exactly(runs: Runs) -> None:
    one = run(1, base="#mark", base_guid=2**64 - 1, parent_id="p", level=3, raw=True, tree_group="0123456789abcdef")
    runs.begin(RUN)
    runs.begin(one)
    assert runs.unfinished(REPOSITORY) == (RUN, one)
    assert runs.find(one.id) == one
    assert runs.find("nothing") is None
    assert runs.unfinished("another repository") == ()


def test_parts_records_and_the_manifest_are_kept(runs: Runs) -> None:
    runs.begin(RUN)
    for number in (1, 0, 2):
        runs.part(RUN.id, part(number))
    runs.begin_record(RUN.id, "00ff")
    runs.committing(RUN.id, "manifests/x.json", "{}\n")
    (found,) = runs.unfinished(REPOSITORY)
    assert found.parts == (part(0), part(1), part(2))
    assert (found.begin_record, found.manifest_key, found.manifest) == ("00ff", "manifests/x.json", "{}\n")
    assert found.committing


def test_parts_behind_a_gap_are_left_out(runs: Runs) -> None:
    runs.begin(RUN)
    for number in (0, 1, 3):
        runs.part(RUN.id, part(number))
    assert runs.unfinished(REPOSITORY)[0].parts == (part(0), part(1))


def test_a_later_attempt_at_a_part_replaces_the_earlier_and_is_counted_once(runs: Runs) -> None:
    runs.begin(RUN)
    runs.part(RUN.id, part(0, "00000000"))
    runs.part(RUN.id, part(0, "11111111"))
    assert "11111111" in runs.unfinished(REPOSITORY)[0].parts[0]["key"]
    (summary,) = runs.open_runs()
    assert (summary.parts, summary.stream_bytes) == (1, 64 << 20)


def test_going_on_adds_a_session_and_drops_the_parts_that_do_not_stand(runs: Runs) -> None:
    runs.begin(RUN)
    runs.begin(run(1))
    for number in range(4):
        runs.part(RUN.id, part(number))
    runs.interrupted(RUN.id, "stopped by SIGTERM")
    assert runs.open_runs()[0].error == "stopped by SIGTERM"
    runs.new_session(RUN.id, "b" * 32, keep=3)
    first, second = runs.unfinished(REPOSITORY)
    assert first.sessions == (*RUN.sessions, "b" * 32)
    assert first.parts == (part(0), part(1), part(2))
    assert second.sessions == RUN.sessions
    summary = runs.open_runs()[0]
    assert (summary.parts, summary.stream_bytes, summary.error) == (3, 3 * (64 << 20), None)


def test_what_another_process_ended_is_not_gone_on_with(runs: Runs) -> None:
    runs.begin(RUN)
    runs.finish(RUN.id, "committed")
    with pytest.raises(StateError, match="another process has ended"):
        runs.new_session(RUN.id, "b" * 32, keep=0)
    (ended,) = runs.recent(limit=1)
    assert ended.outcome == "committed"
    assert runs.open_runs() == ()


def test_an_ended_run_keeps_its_sessions_until_it_is_swept_and_a_committed_one_has_nothing_to_sweep(runs: Runs) -> None:
    for number, outcome in enumerate(("committed", "abandoned", "failed")):
        runs.begin(run(number))
        runs.part(run(number).id, part(0))
        runs.committing(run(number).id, "key", "text")
        runs.finish(run(number).id, outcome, error="why")  # type: ignore[arg-type]
    assert runs.unfinished(REPOSITORY) == ()
    left = runs.unswept(REPOSITORY)
    assert [(one.outcome, one.sessions, one.parts, one.manifest) for one in left] == [
        ("abandoned", RUN.sessions, (), None),
        ("failed", RUN.sessions, (), None),
    ]
    assert all(one.committing for one in left)
    runs.swept([run(1).id])
    assert [one.id for one in runs.unswept(REPOSITORY)] == [run(2).id]
    assert [(one.outcome, one.parts) for one in runs.recent()] == [("failed", 1), ("abandoned", 1), ("committed", 1)]


def test_an_unfinished_run_cannot_be_marked_swept(runs: Runs) -> None:
    runs.begin(RUN)
    runs.swept([RUN.id])
    assert [one.id for one in runs.unswept(REPOSITORY)] == [RUN.id]


def test_only_resumable_runs_are_offered_for_going_on(runs: Runs) -> None:
    runs.begin(RUN)
    runs.begin(run(1, resumable=False))
    assert [one.id for one in runs.resumable(REPOSITORY)] == [RUN.id]
    assert [one.id for one in runs.unfinished(REPOSITORY)] == [RUN.id, run(1).id]


def test_history_is_of_one_host_newest_first_and_short(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs_module, "HISTORY_LENGTH", 5)
    for number in range(12):
        runs.begin(run(number, host="even" if number % 2 == 0 else "odd"))
        runs.finish(run(number).id, "abandoned" if number == 0 else "committed")
    found = [one.id for one in runs.recent(limit=100)]
    assert found == [run(number).id for number in (11, 10, 9, 8, 7, 0)]
    assert {one.host for one in runs.recent("odd")} == {"odd"}
    assert len(runs.recent("odd", limit=1)) == 1
    assert runs.database.rows("SELECT count(*) FROM sessions") == [(6,)]


def test_a_transaction_is_all_or_nothing(runs: Runs) -> None:
    runs.begin(RUN)

    def break_off() -> None:
        with runs.transaction():
            runs.part(RUN.id, part(0))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        break_off()
    assert runs.unfinished(REPOSITORY)[0].parts == ()
    runs.part(RUN.id, part(0))
    assert runs.unfinished(REPOSITORY)[0].parts == (part(0),)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE runs SET facts = substr(facts, 1, 20) WHERE rowid = 1",
        "UPDATE runs SET facts = '[]' WHERE rowid = 1",
        "UPDATE runs SET facts = '{}' WHERE rowid = 1",
    ],
)
def test_a_run_with_damaged_facts_is_left_out_with_a_warning(
    runs: Runs, tmp_path: Path, statement: str, caplog: pytest.LogCaptureFixture
) -> None:
    runs.begin(RUN)
    runs.begin(run(1))
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        connection.execute(statement)
    connection.close()
    assert [one.id for one in runs.unfinished(REPOSITORY)] == [run(1).id]
    assert RUN.id in caplog.text


@pytest.mark.parametrize("entry", ["", "{", "[1]", '{"number": 7}'])
def test_parts_end_before_a_damaged_row(runs: Runs, tmp_path: Path, entry: str) -> None:
    runs.begin(RUN)
    for number in range(4):
        runs.part(RUN.id, part(number))
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        connection.execute("UPDATE parts SET entry = ? WHERE number = 2", (entry,))
    connection.close()
    assert runs.unfinished(REPOSITORY)[0].parts == (part(0), part(1))


def test_forty_thousand_parts_cost_forty_times_a_thousand(runs: Runs) -> None:
    """The work a part costs must not grow with the parts before it: counted in SQLite's own steps, not in time."""
    runs.begin(RUN)
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    def add(first: int, last: int) -> int:
        nonlocal steps
        steps = 0
        with runs.transaction():
            for number in range(first, last):
                runs.part(RUN.id, part(number))
        return steps

    runs.database.connection.set_progress_handler(count, 1)
    early = add(0, 1000)
    runs.database.connection.set_progress_handler(None, 0)
    add(1000, 39_000)
    runs.database.connection.set_progress_handler(count, 1)
    late = add(39_000, 40_000)
    runs.database.connection.set_progress_handler(None, 0)
    assert late < 1.2 * early
    begun = time.perf_counter()
    assert len(runs.unfinished(REPOSITORY)[0].parts) == 40_000
    print(f"loading 40,000 parts took {time.perf_counter() - begun:.2f} s")
