"""Snapshot choice, trees and chains: what holds for every input."""

from __future__ import annotations

from datetime import timedelta
from fnmatch import fnmatchcase
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from property.plan_builders import DATASET, NOON, Snap, backup, snap
from zfs_push_backups.errors import ConfigurationError, StoreDamaged, UsageError, ZfsError
from zfs_push_backups.plan.chain import Facts, Wanted, resolve, resolve_tree
from zfs_push_backups.plan.chain import choose as choose_backup
from zfs_push_backups.plan.freshness import freshness
from zfs_push_backups.plan.listing import Backup, Chains
from zfs_push_backups.plan.snapshots import CLASS_WINDOW, Rule, choose, kept_rank, oldest_first
from zfs_push_backups.plan.tree import expand, matches

NAMES = st.builds(
    "{}_{}".format, st.sampled_from(["autosnap", "manual"]), st.sampled_from(["hourly", "daily", "monthly", "x"])
)
PATTERNS = st.sampled_from(["*", "autosnap_*", "*_daily", "*_hourly", "nothing"])


@st.composite
def snapshot_lists(draw: st.DrawFn) -> list[Snap]:
    ages = draw(st.lists(st.floats(0, 200), max_size=12))
    txg = draw(st.booleans())
    ordered = [snap(draw(NAMES), n, hours_ago=age, txg=txg) for n, age in enumerate(sorted(ages, reverse=True))]
    return draw(st.permutations(ordered))


@given(snapshot_lists(), st.lists(PATTERNS, min_size=1, max_size=2), st.data())
def test_the_choice_matches_and_is_never_behind_the_floor(
    snapshots: list[Snap], patterns: list[str], data: st.DataObject
) -> None:
    floor = data.draw(st.none() | st.sampled_from(snapshots)) if snapshots else None
    rule = Rule(tuple(patterns), NOON)
    matching = [s for s in oldest_first(snapshots) if any(fnmatchcase(s.name, p) for p in patterns)]
    try:
        choice = choose(DATASET, snapshots, rule, floor=floor)
    except ZfsError:
        assert not matching
        return
    chosen, order = choice.snapshot, oldest_first(snapshots)
    assert chosen in matching or chosen is floor
    place = {point.guid: index for index, point in enumerate(order)}
    assert floor is None or place[chosen.guid] >= place[floor.guid]
    late = [s for s in matching if floor is None or place[s.guid] >= place[floor.guid]]
    if not late:
        return
    assert late[-1].creation - chosen.creation < CLASS_WINDOW.total_seconds()
    for other in late:
        if late[-1].creation - other.creation < CLASS_WINDOW.total_seconds():
            better = kept_rank(other.name) > kept_rank(chosen.name)
            newer_equal = kept_rank(other.name) == kept_rank(chosen.name) and place[other.guid] > place[chosen.guid]
            assert not better
            assert not newer_equal
    assert bool(choice.warnings) == (int(NOON.timestamp()) - late[-1].creation > 48 * 3600)


PARTS = st.sampled_from(["a", "b", "scratch", "vm-1"])
DATASETS = st.lists(PARTS, max_size=3).map(lambda parts: "/".join(["tank", "root", *parts]))
GLOBS = st.lists(st.sampled_from(["*", "**", "a", "scratch", "vm-*", "[ab]"]), min_size=1, max_size=3).map("/".join)


@given(st.sets(DATASETS), st.lists(GLOBS, max_size=3), st.lists(GLOBS, max_size=3))
def test_a_tree_is_split_without_rest_parents_first(existing: set[str], include: list[str], exclude: list[str]) -> None:
    names = {"tank", "tank/root", "tank/rootless", *existing}
    below = {name for name in names if name == "tank/root" or name.startswith("tank/root/")}
    try:
        tree = expand("tank/root", names, include, exclude)
    except ConfigurationError:
        assert include or exclude
        return
    assert sorted([*tree.datasets, *tree.left_out]) == sorted(below)
    for index, name in enumerate(tree.datasets):
        relative = name.removeprefix("tank/root").lstrip("/")
        assert not any(matches(relative, pattern) for pattern in exclude)
        assert not any(later == name.rpartition("/")[0] for later in tree.datasets[index:])
        assert not any(name.startswith(f"{gone}/") for gone in tree.left_out if gone != "tank/root" and not include)
    if not include and not exclude:
        assert tree.left_out == ()


@st.composite
def stores(draw: st.DrawFn) -> tuple[list[Backup], list[Backup]]:
    """A forest of backups, and what is left of it after some were lost."""
    made: list[Backup] = []
    for number in range(draw(st.integers(1, 10))):
        parent = draw(st.none() | st.sampled_from(made)) if made else None
        made.append(backup(snap(f"s{number}", number), f"{number:012x}", parent))
    lost = draw(st.sets(st.integers(0, len(made) - 1), max_size=3))
    return made, draw(st.permutations([b for n, b in enumerate(made) if n not in lost]))


@given(stores())
def test_a_chain_is_whole_or_says_what_is_missing(store: tuple[list[Backup], list[Backup]]) -> None:
    made, left = store
    complete = Chains(made)
    for wanted in left:
        truth = complete.path(wanted)
        try:
            path = resolve(wanted, left)
        except StoreDamaged:
            assert not set(truth) <= set(left)
            continue
        assert path == truth
        assert path[0].is_full
        assert path[-1] is wanted
        assert all(later.parent_nonce == earlier.nonce for earlier, later in pairwise(path))


@given(stores(), st.integers(-5, 200))
def test_the_state_chosen_is_the_newest_not_after_the_time(
    store: tuple[list[Backup], list[Backup]], hours: int
) -> None:
    _, left = store
    at = NOON - timedelta(hours=hours)
    before = [b for b in left if b.created <= at]
    try:
        chosen = choose_backup(left, Wanted(at=at))
    except UsageError:
        assert not before
        return
    assert chosen.created == max(b.created for b in before)


@given(stores(), st.integers(0, 200))
def test_fresh_means_a_whole_young_backup(store: tuple[list[Backup], list[Backup]], hours: int) -> None:
    _, left = store
    limit = timedelta(hours=hours)
    [state] = freshness(left, [DATASET], limit, NOON)
    chains = Chains(left)
    assert state.fresh == any(NOON - b.created <= limit for b in left if chains.whole(b))
    assert state.broken == sum(chains.whole(b) is None for b in left)


@given(st.lists(st.tuples(st.sampled_from(["", "/a", "/a/b", "/c"]), st.integers(0, 5)), max_size=12, unique=True))
def test_a_restored_tree_holds_the_group_and_nothing_later(runs: list[tuple[str, int]]) -> None:
    backups = [
        backup(snap(f"s{number}", number), f"{place:012x}", dataset=f"{DATASET}{name}")
        for place, (name, number) in enumerate([("", 3), *(run for run in runs if run != ("", 3))])
    ]
    facts = {b.id: Facts(b.dataset or "", "s", int(b.created.timestamp()), f"g{b.snapshot_guid}") for b in backups}
    root = backups[0]
    members = resolve_tree(root, backups, facts)
    assert members[0].chain == (root,)
    assert [member.dataset for member in members] == sorted(member.dataset for member in members)
    for member in members:
        of_it = [b for b in backups if b.dataset == member.dataset]
        assert member.chain[-1].created <= root.created
        assert member.in_group == any(b.snapshot_guid == root.snapshot_guid for b in of_it)
