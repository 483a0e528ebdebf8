"""Holds against a model: any history of pushes, stops, crashes, prunings, renames and other holders.

After each reconciliation exactly that is held under our tag which the planner would stand on, level by level, or which
a resumable run needs; nobody else's hold has changed; and no crash leaves a hold that the journal doesn't name.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from property.model_zfs import BASELINE, MODERN, CrashError, Filesystem, ModelZfs, Snap
from property.plan_builders import NOON, PINS, SOURCE
from zfs_push_backups.catalogue import holds as journal
from zfs_push_backups.config.models import Config, Host, Task
from zfs_push_backups.errors import NoBase
from zfs_push_backups.plan.history import Base, History
from zfs_push_backups.plan.holds import hold_tag, is_own_bookmark
from zfs_push_backups.plan.levels import Decision, Kind, Wish, decide
from zfs_push_backups.plan.listing import NO_PARENT, Backup
from zfs_push_backups.plan.snapshots import Point
from zfs_push_backups.run.holds import reconcile, take
from zfs_push_backups.run.shutdown import Shutdown

REPOSITORY = "00112233445566778899aabbccddeeff"
ANOTHER = "ffeeddccbbaa99887766554433221100"
HOST = Host(name="backup1", url="file:///backup")
TAG = hold_tag("backup1", REPOSITORY)
STRANGE_TAGS = ("zfs-push-backups:backup2", "zfs-push-backups:", "keep", "zrepl_x")
DATASETS = ("tank/a", "tank/b", "tank/b/child")


class Memory:
    """The catalogue's database, in memory."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        journal.create(self.connection)

    def rows(self, statement: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        return self.connection.execute(statement, values).fetchall()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        yield


@dataclass(frozen=True)
class Run:
    """A run that was stopped."""

    id: str
    task: str | None
    dataset: str
    dataset_guid: str | None
    snapshot_guid: int
    base_guid: int | None
    decision: Decision


class Machine(RuleBasedStateMachine):
    capabilities = BASELINE

    def __init__(self) -> None:
        super().__init__()
        self.zfs = ModelZfs()
        self.made = 10
        for name in DATASETS:
            self.zfs.datasets[name] = Filesystem(self.number())
        self.tasks = {
            "one": Task(name="one", pool="tank", dataset="a"),
            "tree": Task(name="tree", pool="tank", dataset="b", recursive=True),
        }
        self.store: list[Backup] = []
        self.runs: list[Run] = []
        self.forget_everything()
        self.session: Any = SimpleNamespace(
            zfs=self.zfs,
            capabilities=self.capabilities,
            stop=Shutdown(),
            now=lambda: NOON,
        )

    def number(self) -> int:
        self.made += 1
        return self.made

    def forget_everything(self) -> None:
        self.catalogue: Any = SimpleNamespace(holds=journal.Holds(cast("Any", Memory())))

    def teardown(self) -> None:
        self.zfs.crash_after = None
        self.settle()

    # What happens on a machine

    @rule(dataset=st.sampled_from(DATASETS), again=st.booleans())
    def take_snapshot(self, dataset: str, again: bool) -> None:
        if dataset not in self.zfs.datasets:
            return
        snapshots = self.zfs.datasets[dataset].snapshots
        number = self.number()
        name = f"s{number % 3}" if again else f"n{number}"
        if all(snap.name != name for snap in snapshots):
            snapshots.append(Snap(name, 1000 + number, number, int(NOON.timestamp()) + number))

    @rule(data=st.data())
    def destroy_snapshots_that_nobody_holds(self, data: st.DataObject) -> None:
        for one in self.zfs.datasets.values():
            free = [snap for snap in one.snapshots if not snap.tags]
            if free:
                gone = data.draw(st.lists(st.sampled_from(free), unique_by=lambda snap: snap.guid))
                one.snapshots = [snap for snap in one.snapshots if snap not in gone]

    @rule(data=st.data(), tag=st.sampled_from(STRANGE_TAGS), there=st.booleans())
    def somebody_else_holds(self, data: st.DataObject, tag: str, there: bool) -> None:
        snapshots = [snap for one in self.zfs.datasets.values() for snap in one.snapshots]
        if snapshots:
            tags = data.draw(st.sampled_from(snapshots)).tags
            (tags.add if there else tags.discard)(tag)

    @rule(data=st.data())
    def the_operator_releases_ours(self, data: st.DataObject) -> None:
        held = [snap for one in self.zfs.datasets.values() for snap in one.snapshots if TAG in snap.tags]
        if held:
            data.draw(st.sampled_from(held)).tags.discard(TAG)

    @rule(data=st.data())
    def rename_a_snapshot(self, data: st.DataObject) -> None:
        snapshots = [snap for one in self.zfs.datasets.values() for snap in one.snapshots]
        if snapshots:
            data.draw(st.sampled_from(snapshots)).name = f"r{self.number()}"

    @rule(dataset=st.sampled_from(["tank/a", "tank/b/child"]), back=st.booleans())
    def rename_a_dataset(self, dataset: str, back: bool) -> None:
        names = (dataset, f"{dataset}-renamed")
        old, new = reversed(names) if back else names
        if old in self.zfs.datasets and new not in self.zfs.datasets:
            self.zfs.datasets[new] = self.zfs.datasets.pop(old)

    @rule(dataset=st.sampled_from(["tank/a", "tank/b/child"]))
    def make_a_dataset_where_one_was(self, dataset: str) -> None:
        self.zfs.datasets.setdefault(dataset, Filesystem(self.number()))

    @precondition(lambda self: self.capabilities.bookmarks)
    @rule(data=st.data())
    def somebody_else_bookmarks(self, data: st.DataObject) -> None:
        for one in self.zfs.datasets.values():
            if one.snapshots:
                snap = data.draw(st.sampled_from(one.snapshots))
                one.bookmarks.append(Snap(f"theirs{self.number()}", snap.guid, snap.createtxg, snap.creation))

    # What happens to the configuration, the journal and the store

    @rule(name=st.sampled_from(["one", "tree"]), enabled=st.booleans())
    def switch_a_task(self, name: str, enabled: bool) -> None:
        self.tasks[name] = self.tasks[name].model_copy(update={"enabled": enabled})

    @rule(name=st.sampled_from(["one", "tree"]))
    def rename_a_task(self, name: str) -> None:
        self.tasks[name] = self.tasks[name].model_copy(update={"name": f"{name}{self.number()}"})

    @precondition(lambda self: self.zfs.datasets.keys() == {"tank", *DATASETS})
    @rule()
    def lose_the_journal(self) -> None:
        # What lies in no task's dataset can't be found without it.
        self.forget_everything()
        self.settle()

    @precondition(lambda self: self.store)
    @rule(data=st.data())
    def prune_the_store(self, data: st.DataObject) -> None:
        self.store.remove(data.draw(st.sampled_from(self.store)))

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def forget_a_run(self, data: st.DataObject) -> None:
        self.runs.remove(data.draw(st.sampled_from(self.runs)))

    # What the program does

    @rule(
        dataset=st.sampled_from(DATASETS),
        levels=st.lists(st.sampled_from([None, None, 0, 1, 1, 2, 3]), min_size=1, max_size=5),
    )
    def push_several_times(self, dataset: str, levels: list[int | None]) -> None:
        for level in levels:
            self.take_snapshot(dataset, again=False)
            self.settle()
            if dataset in self.covered(()):
                self.push_one(dataset, level, "commit", None)
                self.settle()

    @rule(
        data=st.data(),
        level=st.none() | st.integers(0, 3),
        ending=st.sampled_from(["commit", "commit", "stop", "fail"]),
        crash=st.none() | st.integers(0, 12),
    )
    def push(self, data: st.DataObject, level: int | None, ending: str, crash: int | None) -> None:
        self.settle()
        names = sorted(name for name in self.covered(()) if name in self.zfs.datasets)
        if names:
            dataset = data.draw(st.sampled_from(names))
            self.take_snapshot(dataset, again=True)
            self.push_one(dataset, level, ending, crash)
        self.settle()

    @rule(dataset=st.sampled_from(DATASETS), ending=st.sampled_from(["commit", "stop"]))
    def push_ad_hoc(self, dataset: str, ending: str) -> None:
        if dataset not in self.zfs.datasets:
            return
        self.take_snapshot(dataset, again=True)
        pool, _, rest = dataset.partition("/")
        extra = (Task(name=dataset, pool=pool, dataset=rest),)
        self.settle(extra)
        self.push_one(dataset, None, ending, None)
        self.settle(extra)

    @rule(crash=st.integers(0, 12))
    def crash_in_a_reconciliation(self, crash: int) -> None:
        self.settle()
        self.tasks = {key: task.model_copy(update={"enabled": not task.enabled}) for key, task in self.tasks.items()}
        self.zfs.crash_after = crash
        with contextlib.suppress(CrashError):
            self.reconcile()
        self.zfs.crash_after = None
        self.check_nothing_is_unnamed()
        self.settle()

    def push_one(self, dataset: str, level: int | None, ending: str, crash: int | None) -> None:
        snapshots = self.zfs.datasets[dataset].snapshots
        if not snapshots:
            return
        history = self.history(dataset)
        try:
            decision = decide(history, snapshots[-1], Wish(level, NOON, PINS, PINS))
        except NoBase:
            return
        if decision.kind is Kind.UP_TO_DATE:
            return
        identity = f"{NOON:%Y%m%dT%H%M%SZ}-{decision.level}-{decision.target.guid:016x}-{self.number():012x}"
        base = decision.base.point.guid if decision.base else None
        own = str(self.zfs.datasets[dataset].guid)
        run = Run(identity, "one", dataset, own, decision.target.guid, base, decision)
        self.zfs.crash_after = crash
        try:
            points: list[Point | Base] = [decision.target, *([decision.base] if decision.base else [])]
            take(
                self.session, self.config(), HOST, REPOSITORY, self.catalogue,
                dataset=dataset, points=points, task="one", reason=identity,
            )  # fmt: skip
        except CrashError:
            self.zfs.crash_after = None
            self.check_nothing_is_unnamed()
            return
        self.zfs.crash_after = None
        assert TAG in snapshots[-1].tags
        assert base is None or decision.base is None or decision.base.is_bookmark or self.is_held(dataset, base)
        self.runs = [one for one in self.runs if one.dataset != dataset]
        if ending == "commit":
            self.commit(dataset, run)
        elif ending == "stop":
            self.runs.append(run)

    def commit(self, dataset: str, run: Run) -> None:
        parent = run.decision.parent.nonce if run.decision.parent else NO_PARENT
        nonce = run.id.rpartition("-")[2]
        key = f"manifests/{SOURCE}/{dataset}/@/{run.id}~{parent}.json"
        created = NOON + timedelta(seconds=self.number())
        level = run.decision.level
        self.store.append(Backup(key, SOURCE, dataset, run.id, level, created, run.snapshot_guid, nonce, parent))

    def config(self) -> Config:
        return Config(source=SOURCE, hosts=(HOST,), tasks=tuple(self.tasks.values()))

    def reconcile(self, extra: tuple[Task, ...] = ()) -> None:
        reconcile(
            self.session, self.config(), HOST, REPOSITORY, self.catalogue,
            self.store, self.runs, tasks=extra, source=SOURCE,
        )  # fmt: skip

    def settle(self, extra: tuple[Task, ...] = ()) -> None:
        """Reconcile and check what came of it."""
        others = self.strange_holds()
        self.reconcile(extra)
        assert self.strange_holds() == others
        assert self.held() == self.expected_holds(extra)
        assert {(note.dataset, note.snapshot_guid) for note in self.catalogue.holds.noted(REPOSITORY)} == self.held()
        if self.capabilities.bookmarks:
            self.check_bookmarks(extra)

    # What must be so

    def covered(self, extra: tuple[Task, ...]) -> set[str]:
        names = {task.root for task in (*self.tasks.values(), *extra) if task.enabled and not task.recursive}
        for task in self.tasks.values():
            if task.enabled and task.recursive:
                names |= {name for name in self.zfs.datasets if f"{name}/".startswith(f"{task.root}/")}
        return names & self.zfs.datasets.keys()

    def history(self, dataset: str) -> History:
        one = self.zfs.datasets[dataset]
        mine = [backup for backup in self.store if backup.dataset == dataset]
        return History(dataset, one.snapshots, one.bookmarks, mine)

    def bases(self, dataset: str) -> set[int]:
        """What the planner would stand on, at any level, if it had a new snapshot to send."""
        history, found = self.history(dataset), set()
        target = Snap("future", 1, 10**9, 10**12)
        for level in range(1, 2 + max((backup.level for backup in history.members), default=0)):
            with contextlib.suppress(NoBase):
                decision = decide(history, target, Wish(level, NOON, PINS, PINS))
                assert decision.base is not None
                found.add(decision.base.point.guid)
        return found

    def expected_holds(self, extra: tuple[Task, ...]) -> set[tuple[str, int]]:
        found: set[tuple[str, int]] = set()
        if not self.capabilities.bookmarks:
            found = {(name, guid) for name in self.covered(extra) for guid in self.bases(name)}
        for run in self.runs:
            for name, one in self.zfs.datasets.items():
                if str(one.guid) == run.dataset_guid:
                    here = {snap.guid for snap in one.snapshots}
                    found |= {(name, guid) for guid in here & {run.snapshot_guid, run.base_guid}}
        return found

    def held(self) -> set[tuple[str, int]]:
        return {
            (name, snap.guid) for name, one in self.zfs.datasets.items() for snap in one.snapshots if TAG in snap.tags
        }

    def is_held(self, dataset: str, guid: int) -> bool:
        return (dataset, guid) in self.held()

    def strange_holds(self) -> set[tuple[str, int, str]]:
        return {
            (name, snap.guid, tag)
            for name, one in self.zfs.datasets.items()
            for snap in one.snapshots
            for tag in snap.tags - {TAG}
        }

    def check_nothing_is_unnamed(self) -> None:
        noted = {note.snapshot_guid for note in self.catalogue.holds.noted(REPOSITORY)}
        assert {guid for _, guid in self.held()} <= noted

    def check_bookmarks(self, extra: tuple[Task, ...]) -> None:
        for name in self.covered(extra):
            one = self.zfs.datasets[name]
            ours = {snap.guid for snap in one.bookmarks if is_own_bookmark(snap, REPOSITORY)}
            everybodys = {snap.guid for snap in one.bookmarks}
            of_runs = {guid for run in self.runs for guid in (run.snapshot_guid, run.base_guid)}
            assert self.bases(name) <= everybodys
            assert ours <= self.bases(name) | of_runs


class ModernMachine(Machine):
    capabilities = MODERN


TestHoldsOfTheBaseline = Machine.TestCase
TestHoldsWithBookmarks = ModernMachine.TestCase
