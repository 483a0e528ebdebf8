"""Levels and `auto`: what stands on what, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from property.plan_builders import DATASET, NOON, PINS, Snap, backup, snap
from zfs_push_backups.errors import InternalError, NoBase, ZfsError
from zfs_push_backups.plan.history import History
from zfs_push_backups.plan.levels import Decision, Kind, Wish, decide, floor
from zfs_push_backups.plan.listing import Backup

S = [snap(f"s{number}", number) for number in range(6)]
FULL = backup(S[0], "f0")
ONE = backup(S[1], "a1", FULL)
TWO = backup(S[2], "b2", ONE)


def history(backups: list[Backup], snapshots: list[Snap] | None = None, bookmarks: list[Snap] | None = None) -> History:
    return History(DATASET, S if snapshots is None else snapshots, bookmarks or [], backups)


def wish(level: int | None = None, **changes: Any) -> Wish:
    return replace(Wish(level, NOON, PINS, PINS, command="zfs-push-backups --task prod"), **changes)


def plan(backups: list[Backup], target: Snap, level: int | None = None, **changes: Any) -> Decision:
    return decide(history(backups), target, wish(level, **changes))


def test_the_first_backup_is_a_full_and_no_alarm() -> None:
    decision = plan([], S[0], chain_pins=None)
    assert (decision.kind, decision.level, decision.loud) == (Kind.FULL, 0, False)


def test_auto_stands_on_the_newest_backup_one_level_up() -> None:
    decision = plan([FULL, ONE, TWO], S[3])
    assert (decision.kind, decision.level, decision.parent_id, decision.loud) == (Kind.INCREMENTAL, 3, TWO.id, False)
    assert decision.base is not None
    assert decision.base.argument == "@s2"


def test_auto_stands_on_a_bookmark_when_the_snapshot_is_gone() -> None:
    decision = decide(history([FULL, ONE], [S[0], S[3]], [S[1]]), S[3], wish())
    assert decision.base is not None
    assert (decision.base.argument, decision.parent_id, decision.loud) == ("#s1", ONE.id, False)


def test_auto_falls_back_to_an_older_base_loudly() -> None:
    decision = decide(history([FULL, ONE, TWO], [S[0], S[1], S[3]]), S[3], wish())
    assert (decision.parent_id, decision.level, decision.loud) == (ONE.id, 2, True)
    assert TWO.id in decision.reasons[0]


def test_a_lost_snapshot_below_the_base_is_no_alarm() -> None:
    decision = decide(history([FULL, ONE], [S[1], S[3]]), S[3], wish())
    assert (decision.parent_id, decision.loud) == (ONE.id, False)


def test_auto_takes_a_full_loudly_when_no_base_is_left() -> None:
    decision = decide(history([FULL, ONE], [S[3]]), S[3], wish())
    assert (decision.kind, decision.loud) == (Kind.FULL, True)
    assert "none of the chain's snapshots exists here any more" in decision.reasons[0]


def test_a_recreated_snapshot_of_the_same_name_is_no_base() -> None:
    recreated = replace(S[0], guid=77, createtxg=2)
    decision = decide(history([FULL], [recreated, S[3]]), S[3], wish())
    assert decision.kind is Kind.FULL


def test_auto_takes_a_full_when_the_newest_is_too_old() -> None:
    age = NOON - FULL.created
    assert plan([FULL, ONE], S[3], full_every=age).kind is Kind.FULL
    assert plan([FULL, ONE], S[3], full_every=age + timedelta(seconds=1)).kind is Kind.INCREMENTAL


def test_auto_takes_a_full_when_the_chain_is_long_enough() -> None:
    assert plan([FULL, ONE, TWO], S[3], max_chain=3).kind is Kind.FULL
    assert plan([FULL, ONE, TWO], S[3], max_chain=4).kind is Kind.INCREMENTAL
    assert plan([FULL], S[3], max_chain=1).kind is Kind.FULL


@pytest.mark.parametrize("level", [None, 1, 2])
@pytest.mark.parametrize(
    ("pins", "word"),
    [
        (replace(PINS, raw=True), "raw"),
        (replace(PINS, large_blocks=False), "large blocks"),
        (replace(PINS, recipients=frozenset({"age1bbbbbbbb"})), "recipients"),
    ],
)
def test_a_changed_pin_makes_a_new_full_loudly(level: int | None, pins: Any, word: str) -> None:
    decision = plan([FULL, ONE], S[3], level, pins=pins)
    assert (decision.kind, decision.level, decision.loud) == (Kind.FULL, 0, True)
    assert word in decision.reasons[0]


def test_a_changed_pin_sends_a_committed_snapshot_again() -> None:
    changed = replace(PINS, recipients=frozenset({"age1bbbbbbbb"}))
    assert plan([FULL], S[0], None, pins=changed).kind is Kind.FULL
    assert plan([FULL], S[0], 0, pins=changed).kind is Kind.FULL


def test_planning_without_the_pins_is_a_defect() -> None:
    with pytest.raises(InternalError, match=FULL.id):
        plan([FULL], S[3], chain_pins=None)


@pytest.mark.parametrize(("level", "target"), [(None, 1), (1, 1), (2, 1), (0, 0), (1, 0)])
def test_what_is_committed_is_up_to_date(level: int | None, target: int) -> None:
    decision = plan([FULL, ONE], S[target], level)
    assert decision.kind is Kind.UP_TO_DATE
    assert decision.existing in {FULL, ONE}
    assert "up to date" in decision.reasons[0]


def test_full_every_does_not_resend_what_is_committed() -> None:
    assert plan([FULL], S[0], full_every=timedelta(seconds=1)).kind is Kind.UP_TO_DATE


def test_an_explicit_level_stands_on_the_level_below_in_the_newest_chain() -> None:
    newer_full = backup(S[3], "f3")
    decision = plan([FULL, ONE, TWO, newer_full], S[5], 1)
    assert (decision.parent_id, decision.level) == (newer_full.id, 1)
    with pytest.raises(NoBase, match="has no level 1") as caught:
        plan([FULL, ONE, TWO, newer_full], S[5], 2)
    assert caught.value.hint == "run: zfs-push-backups --task prod --level 1"


def test_the_newest_full_is_the_one_of_the_newest_snapshot_not_the_latest_push() -> None:
    pushed_late = backup(S[0], "zz", pushed=NOON)
    newest = backup(S[2], "f2")
    assert plan([newest, pushed_late], S[3], 1).parent_id == newest.id


def test_a_later_full_whose_snapshot_is_gone_still_counts_as_newest() -> None:
    later = backup(S[2], "f2")
    with pytest.raises(NoBase, match="is gone here"):
        decide(history([FULL, later], [S[0], S[3]]), S[3], wish(1))


def test_the_newest_of_several_at_the_level_below_is_the_base() -> None:
    other = backup(S[3], "a3", FULL)
    assert plan([FULL, ONE, other], S[5], 2).parent_id == other.id
    assert plan([FULL, ONE, other], S[2], 2).parent_id == ONE.id


def test_no_full_at_all_says_what_to_type() -> None:
    with pytest.raises(NoBase) as caught:
        plan([], S[3], 2, chain_pins=None, other_sources=("nas-old",))
    assert "nas-old" in caught.value.message
    assert caught.value.hint == "run: zfs-push-backups --task prod --level 0"
    assert caught.value.exit_code == 1


def test_a_target_older_than_the_base_is_refused() -> None:
    with pytest.raises(NoBase, match="is not newer than"):
        plan([backup(S[3], "f3")], S[1], 1)


def test_a_broken_chain_is_no_base() -> None:
    decision = plan([TWO, FULL], S[3])
    assert decision.parent_id == FULL.id


def test_the_floor_is_what_a_choice_must_not_fall_behind() -> None:
    assert floor(history([FULL, ONE, TWO]), None) is S[2]
    assert floor(history([FULL, ONE, TWO]), 0) is None
    assert floor(history([FULL, ONE, TWO]), 1) is S[1]
    assert floor(history([FULL, ONE]), 2) is S[1]
    assert floor(history([]), None) is None


def test_a_bookmark_is_up_to_date_but_cannot_be_sent_again() -> None:
    marked = history([FULL], [], [S[0]])
    bottom = floor(marked, None)
    assert bottom is S[0]
    assert decide(marked, bottom, wish()).kind is Kind.UP_TO_DATE
    with pytest.raises(ZfsError, match="only a bookmark"):
        decide(marked, bottom, wish(pins=replace(PINS, raw=True)))
