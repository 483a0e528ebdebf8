"""Levels against a model: any history of snapshots, losses, pushes and prunings.

Whatever happened before, a decision's base is here and there, the same by guid, strictly older than the target, pinned
alike; what it makes can be restored; and a run of pushes never sends what the chain already holds.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from property.plan_builders import DATASET, NOON, PINS, Snap, backup
from zfs_push_backups.errors import NoBase, ZfsError
from zfs_push_backups.plan.history import History
from zfs_push_backups.plan.levels import Decision, Kind, Pins, Wish, decide, floor
from zfs_push_backups.plan.listing import Backup, Chains
from zfs_push_backups.plan.snapshots import Point, Rule, choose

CLASSES = ("hourly", "daily", "weekly", "monthly", "manual")


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.clock = NOON
        self.made = 0
        self.snapshots: list[Snap] = []
        self.bookmarks: list[Snap] = []
        self.store: list[Backup] = []
        self.pins = PINS
        self.pins_of: dict[str, Pins] = {}

    @rule(kind=st.sampled_from(CLASSES), hours=st.integers(0, 40))
    def take_snapshot(self, kind: str, hours: int) -> None:
        self.clock += timedelta(hours=hours)
        self.made += 1
        name = f"s{self.made % 4}_{kind}" if kind != "manual" else "again"
        if all(snap.name != name for snap in self.snapshots):
            self.snapshots.append(Snap(name, 1000 + self.made, self.made, int(self.clock.timestamp())))

    @precondition(lambda self: self.snapshots)
    @rule(data=st.data(), keep_bookmark=st.booleans())
    def destroy_snapshot(self, data: st.DataObject, keep_bookmark: bool) -> None:
        gone = data.draw(st.sampled_from(self.snapshots))
        self.snapshots.remove(gone)
        if keep_bookmark:
            self.bookmarks.append(gone)

    @precondition(lambda self: self.snapshots)
    @rule(data=st.data())
    def roll_back(self, data: st.DataObject) -> None:
        index = self.snapshots.index(data.draw(st.sampled_from(self.snapshots)))
        last = self.snapshots[index].createtxg or 0
        self.snapshots = self.snapshots[: index + 1]
        self.bookmarks = [mark for mark in self.bookmarks if (mark.createtxg or 0) <= last]

    @precondition(lambda self: self.store)
    @rule(data=st.data())
    def lose_a_backup(self, data: st.DataObject) -> None:
        self.store.remove(data.draw(st.sampled_from(self.store)))

    @rule(raw=st.booleans(), recipients=st.sampled_from(["age1one", "age1two"]))
    def change_pins(self, raw: bool, recipients: str) -> None:
        self.pins = Pins(raw, large_blocks=True, recipients=frozenset({recipients}))

    @precondition(lambda self: self.snapshots)
    @rule(
        data=st.data(),
        level=st.none() | st.integers(0, 3),
        named=st.booleans(),
        max_chain=st.none() | st.integers(1, 4),
        full_every=st.none() | st.integers(1, 100),
    )
    def push(
        self, data: st.DataObject, level: int | None, named: bool, max_chain: int | None, full_every: int | None
    ) -> None:
        history = History(DATASET, self.snapshots, self.bookmarks, self.store)
        chain_pins = self.pins_of[history.tip.id] if history.tip else None
        every = timedelta(hours=full_every) if full_every else None
        wish = Wish(level, self.clock, self.pins, chain_pins, every, max_chain)
        bottom = floor(history, level)
        target = (
            data.draw(st.sampled_from(self.snapshots))
            if named
            else choose(DATASET, self.snapshots, Rule(("*",), self.clock), floor=bottom).snapshot
        )
        try:
            decision = decide(history, target, wish)
        except NoBase as refusal:
            self.check_the_advice(history, target, wish, refusal.hint)
            return
        except ZfsError:
            assert target in self.bookmarks
            return
        self.check(decision, history, wish)
        if decision.kind is not Kind.UP_TO_DATE:
            self.commit(decision)
            self.check_a_second_push_is_up_to_date(decision)

    def check_the_advice(self, history: History, target: Point, wish: Wish, hint: str) -> None:
        assert " --level " in hint
        advised = int(hint.rpartition(" ")[2])
        assert wish.level is not None
        assert advised < wish.level
        decide(history, target, replace(wish, level=advised))

    def check(self, decision: Decision, history: History, wish: Wish) -> None:
        chains = Chains(self.store)
        if decision.kind is Kind.UP_TO_DATE:
            assert decision.existing in self.store
            assert decision.existing is not None
            assert decision.existing.snapshot_guid == decision.target.guid
            assert chains.whole(decision.existing)
            return
        if decision.kind is Kind.FULL:
            assert (decision.level, decision.base, decision.parent) == (0, None, None)
            if wish.level:
                assert decision.loud
            return
        assert decision.base is not None
        assert decision.parent in self.store
        assert decision.parent is not None
        here = self.bookmarks if decision.base.is_bookmark else self.snapshots
        assert decision.base.point in here
        assert decision.base.point.guid == decision.parent.snapshot_guid
        assert (decision.base.point.createtxg or 0) < (decision.target.createtxg or 0)
        path = chains.path(decision.parent)
        assert path[0] is history.newest_full
        assert self.pins_of[decision.parent.id] == self.pins
        assert decision.level == len(path)
        if wish.level is not None:
            assert decision.level == wish.level
        else:
            assert wish.max_chain is None or len(path) < wish.max_chain
            assert wish.full_every is None or wish.now - path[0].created < wish.full_every

    def commit(self, decision: Decision) -> None:
        self.made += 1
        self.clock += timedelta(seconds=1)
        target = next(snap for snap in self.snapshots if snap.guid == decision.target.guid)
        made = backup(target, f"{self.made:012x}", decision.parent, pushed=self.clock)
        self.store.append(made)
        self.pins_of[made.id] = self.pins
        assert Chains(self.store).path(made)[-1] is made

    def check_a_second_push_is_up_to_date(self, decision: Decision) -> None:
        history = History(DATASET, self.snapshots, self.bookmarks, self.store)
        assert history.tip is not None
        if self.pins_of[history.tip.id] == self.pins:
            again = decide(history, decision.target, Wish(None, self.clock, self.pins, self.pins))
            assert again.kind is Kind.UP_TO_DATE

    @invariant()
    def the_pins_of_a_chain_are_one(self) -> None:
        chains = Chains(self.store)
        for member in self.store:
            path = chains.whole(member)
            assert path is None or len({self.pins_of[step.id] for step in path}) == 1


TestLevels = Machine.TestCase
