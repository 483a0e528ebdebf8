from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from unit.catalogue.saved_runs import RUN, part
from zfs_push_backups.catalogue.records import SavedRun
from zfs_push_backups.plan.resume import Asked, Done, GoOn, Look, Present, Recommit, StartAnew, resume

INCREMENTAL = replace(RUN, level=1, parent_id="20261120T010203Z-0-1-0f1e2d3c4b5a", base="@old", base_guid=7)
STORED = replace(INCREMENTAL, begin_record="00" * 312, parts=(part(0), part(1), part(2)))
COMMITTING = replace(STORED, manifest_key="manifests/x.json", manifest="{}\n")
NOW = Present(
    recipients=frozenset(RUN.recipients),
    compression="none",
    part_size_bytes=None,
    raw=False,
    flags=RUN.flags,
    zfs_kernel="2.1.11",
    snapshot="daily",
    dataset_guid=RUN.dataset_guid,
    createtxg=RUN.createtxg,
    can_resume=True,
)
USUAL = Asked()
ALL = Look(stored=3)


def test_nothing_changed_goes_on_behind_what_is_stored() -> None:
    assert resume(STORED, NOW, USUAL, ALL) == GoOn(3, None)
    verdict = resume(RUN, NOW, USUAL, Look())
    assert isinstance(verdict, GoOn)
    assert verdict.stored == 0
    assert resume(STORED, NOW, Asked(level=1, snapshot="daily"), ALL) == GoOn(3, None)


def test_no_more_is_skipped_than_the_state_can_prove() -> None:
    assert resume(STORED, NOW, USUAL, Look(stored=9)) == GoOn(3, None)


def test_what_is_missing_in_the_store_is_sent_again_and_said() -> None:
    verdict = resume(STORED, NOW, USUAL, Look(stored=1, problem="part 1 has another length"))
    few = "1 parts are too few to go on with: one is to stand on, one to be made again"
    assert verdict == GoOn(1, few, ("2 parts are sent again: part 1 has another length",))


def unproven(number: int) -> dict[str, Any]:
    return {**part(number), "proof": {**part(number)["proof"], "border": None}}


@pytest.mark.parametrize(
    ("run", "now", "why"),
    [
        (STORED, replace(NOW, zfs_kernel=None), "the zfs module was 2.1.11 and is unknown now"),
        (STORED, replace(NOW, zfs_kernel="2.3.2"), "the zfs module was 2.1.11 and is 2.3.2 now"),
        (replace(STORED, zfs_kernel=None), replace(NOW, zfs_kernel=None), "was unknown and is unknown now"),
        (STORED, replace(NOW, dataset_guid="7"), "still the dataset it was"),
        (STORED, replace(NOW, dataset_guid=None), "still the dataset it was"),
        (STORED, replace(NOW, createtxg=4712), "still the snapshot it was"),
        (replace(STORED, createtxg=None), replace(NOW, createtxg=None), "still the snapshot it was"),
        (replace(STORED, dataset_guid=None), replace(NOW, dataset_guid=None), "still the dataset it was"),
        (STORED, replace(NOW, can_resume=False), "no zfs send -t"),
        (replace(STORED, splice_refused="another FREE"), NOW, "could not go on with it: another FREE"),
        (replace(STORED, begin_record=None), NOW, "does not say where"),
        (replace(STORED, parts=(part(0), unproven(1), part(2))), NOW, "does not say where"),
    ],
)
def test_what_zfs_send_can_t_be_trusted_to_go_on_with_is_read_again(run: SavedRun, now: Present, why: str) -> None:
    verdict = resume(run, now, USUAL, ALL)
    assert isinstance(verdict, GoOn)
    assert verdict.stored == 3
    assert why in str(verdict.reread)


def test_the_last_part_needs_no_border_the_one_before_it_does() -> None:
    assert resume(replace(STORED, parts=(part(0), part(1), unproven(2))), NOW, USUAL, ALL) == GoOn(3, None)


CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"recipients": frozenset({"age1aaaaaaaa", "age1b"})}, "recipients changed (1 added, 0 removed)"),
    ({"recipients": frozenset({"age1b"})}, "recipients changed (1 added, 1 removed)"),
    ({"raw": True}, "not raw"),
    ({"flags": ("-e",)}, "flags were -L -e and are -e now"),
    ({"flags": ()}, "are none now"),
    ({"compression": "zstd"}, "compression was none and is zstd"),
    ({"part_size_bytes": 8 << 20}, "part_size was auto and is 8388608"),
    ({"snapshot": None}, "tank/data@daily (guid 13378181242595492820) is gone"),
    ({"snapshot": "renamed"}, "called @renamed now"),
    ({"sent_since": "x"}, "its snapshot was sent since, as x"),
    ({"base": False}, "base tank/data@old (guid 7) is gone"),
    ({"parent": False}, "the backup 20261120T010203Z-0-1-0f1e2d3c4b5a that it stands on is gone"),
]


@pytest.mark.parametrize(("change", "reason"), CHANGES)
def test_whatever_is_pinned_and_changed_begins_anew_with_the_reason(change: dict[str, Any], reason: str) -> None:
    verdict = resume(STORED, replace(NOW, **change), USUAL, ALL)
    assert isinstance(verdict, StartAnew)
    assert reason in verdict.reason


@pytest.mark.parametrize(
    ("asked", "reason"), [(Asked(level=0), "level 0 was asked for"), (Asked(snapshot="x"), "@x was asked for")]
)
def test_what_the_operator_names_goes_before(asked: Asked, reason: str) -> None:
    verdict = resume(STORED, NOW, asked, ALL)
    assert isinstance(verdict, StartAnew)
    assert reason in verdict.reason


@pytest.mark.parametrize("run", [STORED, COMMITTING])
def test_a_manifest_that_stands_means_done_whatever_else_changed(run: Any) -> None:
    odd = Present(
        recipients=frozenset(),
        compression="zstd",
        part_size_bytes=1,
        raw=True,
        flags=(),
        zfs_kernel=None,
        snapshot=None,
        base=False,
        parent=False,
    )
    look = Look(manifest_key="manifests/y.json", stored=0, foreign=("data/x",))
    assert resume(run, odd, Asked(level=7), look) == Done("manifests/y.json")


@pytest.mark.parametrize(("change", "_reason"), CHANGES[:-1])
def test_what_was_about_to_commit_is_committed_even_if_pins_changed_since(change: dict[str, Any], _reason: str) -> None:
    assert resume(COMMITTING, replace(NOW, **change), Asked(level=5), ALL) == Recommit()
    assert resume(replace(COMMITTING, resumable=False), NOW, USUAL, ALL) == Recommit()


@pytest.mark.parametrize("run", [STORED, COMMITTING])
@pytest.mark.parametrize(
    ("look", "present", "reason"),
    [
        (Look(manifest_key="manifests/x.json", tombstone=True), NOW, "swept"),
        (Look(stored=3, foreign=("data/a", "data/b")), NOW, "2 objects of it that no session"),
        (ALL, replace(NOW, parent=False), "stands on is gone"),
    ],
)
def test_what_is_spoilt_is_neither_gone_on_with_nor_committed(
    run: Any, look: Look, present: Present, reason: str
) -> None:
    verdict = resume(run, present, USUAL, look)
    assert isinstance(verdict, StartAnew)
    assert reason in verdict.reason


def test_standard_input_cannot_be_read_again() -> None:
    verdict = resume(replace(STORED, resumable=False), NOW, USUAL, ALL)
    assert isinstance(verdict, StartAnew)
    assert "standard input" in verdict.reason


def test_the_engine_s_report_is_read() -> None:
    report = {"manifest": {"key": "k", "tombstone": True}, "stored": 2, "foreign": ["a"], "problem": "p"}
    expected = Look(manifest_key="k", tombstone=True, stored=2, foreign=("a",), problem="p")
    assert Look.from_report(report) == expected
    assert Look.from_report({"manifest": None, "stored": 0, "foreign": [], "problem": None}) == Look()
