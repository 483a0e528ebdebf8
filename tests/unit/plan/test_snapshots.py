"""The choice of a snapshot."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from property.plan_builders import DATASET, NOON, Snap, snap
from zfs_push_backups.errors import UsageError, ZfsError
from zfs_push_backups.plan.snapshots import Rule, by_name, choose, created_name, kept_rank, oldest_first

ANY = Rule(("*",), NOON)


@pytest.mark.parametrize(
    ("name", "pattern", "rank"),
    [
        ("autosnap_2026-11-20_00:00:01_daily", "autosnap_*_daily", 3),
        ("autosnap_2026-11-01_00:00:01_monthly", "autosnap_*", 5),
        ("autosnap_2026-11-20_00:15:01_frequently", "autosnap_*_frequently", 1),
        ("zfs-auto-snap_daily-2026-11-20-0025", "zfs-auto-snap_daily-*", 3),
        ("zfs-auto-snap_hourly-2026-11-20-0017", "zfs-auto-snap_*", 2),
        ("auto-2026-11-20_00-00", "auto-*", 0),
        ("zrb_level0_2026-01-01_00-00", "zrb_level0_*", 0),
        ("2026-11-20T00:00:00_yearly", "*_yearly", 6),
    ],
)
def test_the_usual_makers_of_snapshots_are_understood(name: str, pattern: str, rank: int) -> None:
    wanted = snap(name, 2)
    others = [snap("before-upgrade", 1), snap("manual", 3)]
    assert choose(DATASET, [*others, wanted], Rule((pattern,), NOON, None)).snapshot is wanted
    assert kept_rank(name) == rank


def test_of_one_night_the_class_kept_longest_wins() -> None:
    night = [
        snap(f"autosnap_{kind}", number, hours_ago=12 - number / 100)
        for number, kind in enumerate(["yearly", "monthly", "weekly", "daily", "hourly"])
    ]
    later = snap("autosnap_later_hourly", 9, hours_ago=1)
    choice = choose(DATASET, [*night, later], ANY)
    assert choice.snapshot is night[0]
    assert "kept longer" in choice.reasons[0]


def test_a_day_later_the_monthly_no_longer_displaces_the_daily() -> None:
    monthly = snap("autosnap_monthly", 1, hours_ago=36)
    daily = snap("autosnap_daily", 2, hours_ago=12)
    assert choose(DATASET, [monthly, daily], ANY).snapshot is daily


def test_several_patterns_may_match() -> None:
    wanted = snap("b_daily", 2)
    assert (
        choose(DATASET, [snap("a_daily", 1), wanted, snap("c_daily", 3)], Rule(("a_*", "b_*"), NOON)).snapshot is wanted
    )


def test_order_is_the_transaction_group_not_the_clock() -> None:
    early_clock = snap("new", 5, hours_ago=50)
    late_clock = snap("old", 4, hours_ago=2)
    assert oldest_first([early_clock, late_clock]) == [late_clock, early_clock]
    assert choose(DATASET, [early_clock, late_clock], ANY).snapshot is early_clock


def test_without_transaction_groups_creation_and_place_decide() -> None:
    same = [replace(snap(name, number, hours_ago=1), createtxg=None) for number, name in enumerate("ab")]
    assert oldest_first(same) == same
    older = replace(snap("c", 9, hours_ago=5), createtxg=None)
    assert oldest_first([*same, older])[0] is older


def test_nothing_behind_the_floor_is_chosen() -> None:
    monthly = snap("autosnap_monthly", 1, hours_ago=12)
    committed = snap("manual", 2, hours_ago=11)
    hourly = snap("autosnap_hourly", 3, hours_ago=1)
    rule = Rule(("autosnap_*",), NOON)
    assert choose(DATASET, [monthly, committed, hourly], rule, floor=committed).snapshot is hourly
    assert choose(DATASET, [monthly, committed], rule, floor=committed).snapshot is committed
    assert choose(DATASET, [monthly, hourly], rule, floor=committed).snapshot is hourly


def test_of_one_second_the_place_in_the_listing_decides_about_the_floor() -> None:
    first, second = (replace(snap("x_hourly", number, hours_ago=1), createtxg=None) for number in (1, 2))
    assert choose(DATASET, [first, second], ANY, floor=first).snapshot is second


def test_a_child_follows_its_parents_choice() -> None:
    weekly, daily = snap("x_weekly", 1, hours_ago=3), snap("x_daily", 2, hours_ago=2)
    assert choose(DATASET, [weekly, daily], ANY, same_as="x_daily").snapshot is daily
    assert choose(DATASET, [weekly, daily], ANY, same_as="gone").snapshot is weekly


def test_an_old_newest_snapshot_is_a_warning() -> None:
    old = snap("x_daily", 1, hours_ago=49)
    assert "49 hours old" in choose(DATASET, [old], ANY).warnings[0]
    assert not choose(DATASET, [old], Rule(("*",), NOON, None)).warnings
    assert not choose(DATASET, [snap("x_daily", 1, hours_ago=47)], ANY).warnings


def test_no_match_says_what_there_is() -> None:
    with pytest.raises(ZfsError, match="matches 'autosnap_\\*'; its newest snapshots are: manual"):
        choose(DATASET, [snap("manual", 1)], Rule(("autosnap_*",), NOON))
    with pytest.raises(ZfsError, match="none at all"):
        choose(DATASET, [], ANY)


@pytest.mark.parametrize("wanted", ["s2", "@s2", f"{DATASET}@s2"])
def test_a_named_snapshot_is_exactly_that(wanted: str) -> None:
    snapshots = [snap(f"s{number}", number) for number in range(4)]
    assert by_name(DATASET, snapshots, wanted) is snapshots[2]


def test_an_unknown_name_shows_the_nearest_and_the_newest() -> None:
    snapshots: list[Snap] = [snap("autosnap_daily", 1), snap("manual", 2)]
    with pytest.raises(UsageError) as caught:
        by_name(DATASET, snapshots, "autosnap_dialy")
    assert caught.value.hint == "did you mean 'autosnap_daily'? its newest snapshots are: manual, autosnap_daily"
    with pytest.raises(UsageError, match="not one of tank/data"):
        by_name(DATASET, snapshots, "tank/other@manual")


def test_a_created_name_is_in_utc() -> None:
    local = datetime(2026, 11, 21, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    assert created_name("x_%Y-%m-%d_%H:%M:%S", local) == "x_2026-11-20_23:30:00"


def test_a_parent_that_nobody_snapshots_any_more_holds_no_child_back() -> None:
    old, new = snap("before-upgrade", 1, hours_ago=240), snap("autosnap_daily", 2, hours_ago=2)
    assert choose(DATASET, [old, new], ANY, same_as="before-upgrade").snapshot is new


def test_a_parents_choice_that_is_committed_already_holds_no_child_back() -> None:
    committed, new = snap("manual", 1, hours_ago=3), snap("manual-2", 2, hours_ago=2)
    assert choose(DATASET, [committed, new], ANY, floor=committed, same_as="manual").snapshot is new


def test_a_snapshot_of_a_clock_that_was_ahead_displaces_nothing() -> None:
    ahead, new = snap("autosnap_monthly", 1, hours_ago=-24 * 3650), snap("autosnap_daily", 2, hours_ago=2)
    assert choose(DATASET, [ahead, new], ANY).snapshot is new
