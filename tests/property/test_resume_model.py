"""Random lives of one dataset's runs: crashes, lost objects, changed pins, sweeps, a state that jumps back in time.

The model holds what is really in the store and who wrote it; the decision sees only the saved state and a look.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from unit.catalogue.saved_runs import part, run
from zfs_push_backups.catalogue.records import SavedRun
from zfs_push_backups.plan.resume import Asked, Done, GoOn, Look, Present, Recommit, StartAnew, resume

WHOLE = 4


@dataclass
class Folder:
    """What the store holds of one id: part number -> the session that wrote it; strays are sessions' as well."""

    parts: dict[int, str] = field(default_factory=dict)
    strays: set[str] = field(default_factory=set)
    manifest: str | None = None
    pins: Present | None = None


class Runs(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.pins = Present(
            recipients=frozenset({"age1a"}),
            compression="none",
            part_size_bytes=None,
            raw=False,
            flags=("-L",),
            zfs_kernel=None,
            snapshot="s0",
        )
        self.store: dict[str, Folder] = {}
        self.saved: SavedRun | None = None
        self.copies: list[SavedRun | None] = [None]
        self.committed: set[str] = set()
        self.sessions = self.ids = 0
        self.alive = False

    # What the run does, as long as it lives.

    @rule()
    @precondition(lambda self: not self.alive and self.saved is None)
    def begin(self) -> None:
        self.ids += 1
        chosen: dict[str, Any] = {
            "snapshot": self.pins.snapshot or "s-new",
            "recipients": tuple(sorted(self.pins.recipients)),
            "raw": self.pins.raw,
            "flags": self.pins.flags,
            "compression": self.pins.compression,
            "part_size_bytes": self.pins.part_size_bytes,
            "zfs_kernel": None,
            "sessions": (self.session(),),
        }
        if self.pins.snapshot is None:
            self.pins = replace(self.pins, snapshot="s-new")
        self.saved = run(self.ids, **chosen)
        self.store[self.saved.id] = Folder(pins=self.pins)
        self.alive = True

    def session(self) -> str:
        self.sessions += 1
        return f"{self.sessions:032x}"

    @rule(journaled=st.booleans())
    @precondition(lambda self: self.alive and not self.saved.committing)
    def upload(self, journaled: bool) -> None:
        assert self.saved is not None
        folder, number = self.store[self.saved.id], len(self.saved.parts)
        if number == WHOLE:
            return
        folder.parts[number] = self.saved.sessions[-1]
        if journaled:
            self.saved = replace(self.saved, parts=(*self.saved.parts, part(number, self.saved.sessions[-1])))

    @rule(sent=st.booleans())
    @precondition(lambda self: self.alive and len(self.saved.parts) == WHOLE)
    def commit(self, sent: bool) -> None:
        assert self.saved is not None
        self.saved = replace(self.saved, manifest_key=f"m/{self.saved.id}", manifest="{}")
        folder = self.store[self.saved.id]
        if sent and folder.manifest is None and self.is_whole(self.saved):
            folder.manifest = self.saved.manifest_key
            self.committed.add(self.saved.id)

    # What befalls it.

    @rule()
    def crash(self) -> None:
        self.alive = False

    @rule()
    def copy_state(self) -> None:
        self.copies.append(self.saved)

    @rule(data=st.data())
    def roll_back(self, data: st.DataObject) -> None:
        self.alive = False
        self.saved = data.draw(st.sampled_from(self.copies))

    @rule(data=st.data())
    @precondition(lambda self: any(folder.parts for folder in self.store.values()))
    def lose_a_part(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from([name for name, folder in self.store.items() if folder.parts]))
        if name not in self.committed:
            self.store[name].parts.pop(data.draw(st.sampled_from(sorted(self.store[name].parts))))

    @rule(
        change=st.sampled_from(
            [
                {"recipients": frozenset({"age1b"})},
                {"recipients": frozenset({"age1a"})},
                {"raw": True},
                {"raw": False},
                {"flags": ()},
                {"compression": "zstd"},
                {"part_size_bytes": 1 << 23},
                {"snapshot": None},
                {"snapshot": "s1"},
                {"base": False},
                {"parent": False},
                {"parent": True, "base": True},
                {"zfs_kernel": "2.3"},
            ]
        )
    )
    def change(self, change: dict[str, Any]) -> None:
        self.pins = replace(self.pins, **change)

    # What the next run makes of it.

    def look(self, saved: SavedRun) -> Look:
        folder = self.store.get(saved.id, Folder())
        stored = 0
        while stored < len(saved.parts) and folder.parts.get(stored) in {*saved.sessions}:
            if f"-{folder.parts[stored]}." not in saved.parts[stored]["key"]:
                break
            stored += 1
        writers = {*folder.parts.values(), *folder.strays}
        return Look(
            manifest_key=folder.manifest,
            tombstone=folder.manifest == "tombstone",
            stored=stored,
            foreign=tuple(sorted(writers - {*saved.sessions})),
        )

    def is_whole(self, saved: SavedRun) -> bool:
        return self.look(saved).stored == WHOLE

    @rule(level=st.sampled_from([None, 0, 1]), snapshot=st.sampled_from([None, None, "s0", "s1"]))
    @precondition(lambda self: not self.alive and self.saved is not None)
    def settle(self, level: int | None, snapshot: str | None) -> None:
        assert self.saved is not None
        saved, now = self.saved, self.pins
        folder, look = self.store.setdefault(saved.id, Folder()), self.look(self.saved)
        verdict = resume(saved, now, Asked(level=level, snapshot=snapshot), look)
        if isinstance(verdict, Done):
            assert saved.id in self.committed
            self.saved = None
            return
        assert saved.id not in self.committed, "a committed run was taken for unfinished"
        if isinstance(verdict, Recommit):
            assert folder.manifest is None
            assert not look.foreign
            assert now.parent
            if self.is_whole(saved):
                folder.manifest = saved.manifest_key
                self.committed.add(saved.id)
            else:
                self.sweep(saved)
            self.saved = None
        elif isinstance(verdict, GoOn):
            self.go_on(saved, verdict, now)
        else:
            assert isinstance(verdict, StartAnew)
            assert verdict.reason
            assert self.something_changed(saved, now, look, level, snapshot), verdict.reason
            self.sweep(saved)
            self.saved = None

    def go_on(self, saved: SavedRun, verdict: GoOn, now: Present) -> None:
        """The pins are those under which the parts were really made, and every part skipped is really there."""
        folder = self.store[saved.id]
        assert folder.manifest is None
        made = folder.pins
        assert made is not None
        for name in ("recipients", "raw", "flags", "compression", "part_size_bytes"):
            assert getattr(made, name) == getattr(now, name), name
        assert now.snapshot == saved.snapshot
        assert now.base
        assert now.parent
        kept = {number: folder.parts[number] for number in range(verdict.stored)}
        assert set(kept.values()) <= {*saved.sessions}
        folder.parts = kept
        self.saved = replace(
            saved, sessions=(*saved.sessions, self.session()), parts=saved.parts[: verdict.stored], error=None
        )
        self.alive = True

    def sweep(self, saved: SavedRun) -> None:
        assert self.store[saved.id].manifest in {None, "tombstone"}, "a sweep of something committed"
        self.store[saved.id] = Folder(
            manifest="tombstone" if saved.committing else None, pins=self.store[saved.id].pins
        )

    def something_changed(
        self, saved: SavedRun, now: Present, look: Look, level: int | None, snapshot: str | None
    ) -> bool:
        made = self.store[saved.id].pins or now
        names = ("recipients", "raw", "flags", "compression", "part_size_bytes")
        return (
            bool(look.foreign or look.tombstone)
            or any(getattr(made, name) != getattr(now, name) for name in names)
            or now.snapshot != saved.snapshot
            or not (now.base and now.parent)
            or (level is not None and level != saved.level)
            or (snapshot is not None and snapshot != saved.snapshot)
        )

    @invariant()
    def what_is_committed_stays_whole(self) -> None:
        for name in self.committed:
            folder = self.store[name]
            assert folder.manifest == f"m/{name}"
            assert len(folder.parts) == WHOLE


TestRuns = Runs.TestCase
