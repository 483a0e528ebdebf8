"""What to restore, and the chain that leads there."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from property.plan_builders import DATASET, NOON, SOURCE, backup, of_source, snap
from zfs_push_backups.errors import InternalError, StoreDamaged, UsageError
from zfs_push_backups.plan.chain import Facts, Wanted, choose, of_dataset, resolve, resolve_tree, tips
from zfs_push_backups.plan.freshness import freshness
from zfs_push_backups.plan.listing import Backup

S = [snap(f"s{number}", number) for number in range(6)]
FULL = backup(S[0], "f0")
ONE = backup(S[1], "a1", FULL)
TWO = backup(S[2], "b2", ONE)
ALL = [TWO, FULL, ONE]
FACTS = {b.id: Facts(DATASET, s.name, s.creation) for b, s in zip([FULL, ONE, TWO], S, strict=False)}


def test_the_newest_is_the_default() -> None:
    assert choose(ALL, Wanted()) is TWO
    assert resolve(TWO, ALL) == (FULL, ONE, TWO)


def test_the_newest_state_beats_the_latest_push() -> None:
    late = backup(S[0], "zz", pushed=NOON)
    facts = {**FACTS, late.id: Facts(DATASET, "s0", S[0].creation)}
    assert choose([*ALL, late], Wanted(), facts) is TWO
    assert choose([*ALL, late], Wanted()) is late


def test_a_snapshot_by_name_or_guid() -> None:
    assert choose(ALL, Wanted("s1"), FACTS) is ONE
    assert choose(ALL, Wanted(f"{DATASET}@s1"), FACTS) is ONE
    assert choose(ALL, Wanted(str(S[1].guid))) is ONE
    with pytest.raises(UsageError, match="no backup holds the snapshot 's9'"):
        choose(ALL, Wanted("s9"), FACTS)


def test_the_shortest_whole_chain_of_one_state_is_taken() -> None:
    again = backup(S[2], "ff")
    facts = {**FACTS, again.id: Facts(DATASET, "s2", S[2].creation)}
    assert choose([*ALL, again], Wanted("s2"), facts) is again
    assert choose([FULL, TWO, replace(again, level=9)], Wanted("s2"), facts).nonce == "ff"


def test_the_state_at_a_time() -> None:
    at = datetime.fromtimestamp(S[1].creation, UTC)
    assert choose(ALL, Wanted(at=at), FACTS) is ONE
    assert choose(ALL, Wanted(at=at + timedelta(minutes=1))) is ONE
    with pytest.raises(UsageError, match="no backup is as old as"):
        choose(ALL, Wanted(at=at - timedelta(days=9)), FACTS)


def test_what_stands_on_a_backup_is_newer_even_in_one_second_and_unread() -> None:
    moment = datetime.fromtimestamp(S[1].creation, UTC)
    full = backup(S[1], "f1", pushed=moment)
    unread = backup(S[2], "a2", full, pushed=moment)
    facts = {full.id: Facts(DATASET, "s1", S[1].creation)}
    for wanted in (Wanted(), Wanted(at=moment), Wanted(at=NOON + timedelta(days=9999))):
        assert choose([unread, full], wanted, facts) is unread
        both = {**facts, unread.id: Facts(DATASET, "s2", S[1].creation)}
        assert choose([full, unread], wanted, both) is unread
    assert choose([unread, full], Wanted("s1"), facts) is full


def test_a_missing_parent_is_named() -> None:
    with pytest.raises(StoreDamaged, match="its id ends with a1"):
        resolve(TWO, [FULL, TWO])


def test_a_loop_and_a_double_are_damage() -> None:
    loop = replace(FULL, parent_nonce=TWO.nonce)
    with pytest.raises(StoreDamaged, match="own ancestor"):
        resolve(TWO, [loop, ONE, TWO])
    with pytest.raises(StoreDamaged, match="2 backups claim"):
        resolve(TWO, [FULL, ONE, TWO, replace(ONE, id="other")])


@pytest.mark.parametrize("wanted", [Wanted(), Wanted(at=NOON)])
def test_a_store_that_holds_only_a_loop_is_damaged_not_empty(wanted: Wanted) -> None:
    loop = [replace(FULL, parent_nonce=ONE.nonce), ONE]
    with pytest.raises(StoreDamaged, match="own ancestor"):
        resolve(choose(loop, wanted), loop)


def test_a_parent_is_never_taken_from_another_source() -> None:
    with pytest.raises(StoreDamaged):
        resolve(ONE, [of_source(FULL, "other"), ONE])


def test_several_sources_must_be_told_apart() -> None:
    both = [*ALL, of_source(FULL, "nas2")]
    with pytest.raises(UsageError) as caught:
        of_dataset(both, DATASET)
    assert caught.value.hint == f"say --source {SOURCE} or --source nas2"
    assert of_dataset(both, DATASET, "nas2") == (both[-1],)
    with pytest.raises(UsageError, match="no source 'nas3'"):
        of_dataset(both, DATASET, "nas3")


def test_an_unknown_dataset_shows_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        of_dataset(ALL, "tank/dta")
    assert "did you mean 'tank/data'?" in caught.value.hint


def tree(*specs: tuple[str, Backup, str, str | None]) -> tuple[list[Backup], dict[str, Facts]]:
    backups = [made for _, made, _, _ in specs]
    return backups, {
        made.id: Facts(name, snapshot, int(made.created.timestamp()), group) for name, made, snapshot, group in specs
    }


def test_a_tree_is_rebuilt_as_it_was_parents_first() -> None:
    root = backup(S[1], "r1")
    child = backup(S[1], "c1", dataset=f"{DATASET}/z/deep")
    still = backup(S[0], "d0", dataset=f"{DATASET}/z")
    later = backup(S[3], "c3", child, dataset=f"{DATASET}/z/deep")
    unborn = backup(S[3], "e3", dataset=f"{DATASET}/new")
    aside = backup(S[0], "x0", dataset=f"{DATASET}2")
    backups, facts = tree(
        (DATASET, root, "s1", "g1"),
        (f"{DATASET}/z/deep", child, "s1", "g1"),
        (f"{DATASET}/z", still, "s0", "g0"),
        (f"{DATASET}/z/deep", later, "s3", "g3"),
        (f"{DATASET}/new", unborn, "s3", "g3"),
        (f"{DATASET}2", aside, "s0", "g1"),
    )
    members = resolve_tree(root, backups, facts)
    assert [(m.dataset, m.chain[-1], m.in_group) for m in members] == [
        (DATASET, root, True),
        (f"{DATASET}/z", still, False),
        (f"{DATASET}/z/deep", child, True),
    ]


def test_a_tree_takes_what_is_in_its_group_even_if_made_a_moment_later() -> None:
    root = backup(S[1], "r1")
    before = backup(S[0], "c0", dataset=f"{DATASET}/a")
    moment = backup(S[2], "c2", before, dataset=f"{DATASET}/a")
    foreign = of_source(backup(S[1], "e1", dataset=f"{DATASET}/b"), "other")
    backups, facts = tree(
        (DATASET, root, "s1", "g1"),
        (f"{DATASET}/a", before, "s0", "g0"),
        (f"{DATASET}/a", moment, "s1", "g1"),
        (f"{DATASET}/b", foreign, "s1", "g1"),
    )
    assert [(m.dataset, m.chain) for m in resolve_tree(root, backups, facts)] == [
        (DATASET, (root,)),
        (f"{DATASET}/a", (before, moment)),
    ]


def test_freshness_counts_only_what_can_be_restored() -> None:
    orphan = backup(S[5], "o5", replace(FULL, nonce="none"))
    age = NOON - ONE.created
    [missing, state] = freshness([FULL, ONE, orphan], [DATASET, "tank/a"], age, NOON)
    assert (state.newest, state.fresh, state.broken) == (ONE, True, 1)
    assert (missing.dataset, missing.newest, missing.fresh) == ("tank/a", None, False)
    [state] = freshness([FULL, ONE, orphan], [DATASET], age - timedelta(seconds=1), NOON)
    assert not state.fresh


def test_a_listing_entry_becomes_a_backup() -> None:
    entry = {
        "key": FULL.key, "source": SOURCE, "dataset": DATASET, "id": FULL.id, "level": 0,
        "created": f"{FULL.created:%Y%m%dT%H%M%SZ}", "snapshot_guid": str(FULL.snapshot_guid), "nonce": "f0",
        "parent_nonce": "0",
    }  # fmt: skip
    assert Backup.from_report(entry) == FULL
    assert Backup.from_report({**entry, "created": FULL.created.isoformat()}) == FULL
    with pytest.raises(InternalError):
        Backup.from_report({**entry, "created": "yesterday"})


def test_an_older_snapshot_pushed_later_is_not_the_newest_even_unread() -> None:
    older = backup(S[0], "zz", pushed=NOON)
    facts = {TWO.id: FACTS[TWO.id], older.id: Facts(DATASET, "s0", S[0].creation)}
    assert tips([*ALL, older]) == (TWO, older)
    assert choose([*ALL, older], Wanted(), facts) is TWO


def test_what_stands_on_a_backup_is_newer_whatever_the_clock_said() -> None:
    set_back = backup(S[3], "d3", TWO, pushed=FULL.created - timedelta(days=1))
    assert choose([*ALL, set_back], Wanted()) is set_back


def test_of_a_group_whose_snapshot_name_was_used_again_the_same_moment_is_taken() -> None:
    roots = [backup(S[0], "r0"), backup(S[3], "r3")]
    children = [backup(S[0], "c0", dataset=f"{DATASET}/c"), backup(S[3], "c3", dataset=f"{DATASET}/c")]
    facts = {
        one.id: Facts(one.dataset or "", "backup", S[number].creation, "group")
        for pair in (roots, children)
        for one, number in zip(pair, (0, 3), strict=True)
    }
    for root, child in zip(roots, children, strict=True):
        members = resolve_tree(root, [*roots, *children], facts)
        assert [member.chain for member in members] == [(root,), (child,)]


def test_a_backup_dated_in_the_future_proves_nothing_about_now() -> None:
    ahead = backup(S[5], "f9", pushed=NOON + timedelta(days=3650))
    (state,) = freshness([ahead], [DATASET], timedelta(hours=26), NOON)
    assert not state.fresh
    fine = backup(S[4], "f8", pushed=NOON - timedelta(hours=2))
    (state,) = freshness([ahead, fine], [DATASET], timedelta(hours=26), NOON)
    assert (state.fresh, state.newest) == (True, fine)
