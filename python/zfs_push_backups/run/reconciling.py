"""The steps that make exactly the wanted holds and bookmarks.

Invariants: what must stay is safe before anything is freed; where something couldn't be looked at, nothing is freed;
one hold that fails is a warning and is tried again by the next run.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from zfs_push_backups.errors import ZfsError
from zfs_push_backups.plan.holds import (
    Machine,
    Place,
    Wanted,
    bookmark_name,
    changes,
    is_own_bookmark,
    obsolete_bookmarks,
    places,
)
from zfs_push_backups.run.keeper import Keeper, place_of
from zfs_push_backups.zfs import holds as zfs_holds

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from zfs_push_backups.plan.snapshots import Point
    from zfs_push_backups.run.session import Session
    from zfs_push_backups.run.survey import Survey

log = logging.getLogger(__name__)


@dataclass
class Reconciled:
    """What was changed, by full snapshot or bookmark name, and what couldn't be."""

    taken: list[str] = field(default_factory=list)
    released: list[str] = field(default_factory=list)
    bookmarked: list[str] = field(default_factory=list)
    unmarked: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def problem(self, text: str, *values: object) -> None:
        """Note and log one thing that didn't work; the run goes on."""
        self.problems.append(text % values)
        log.warning(text, *values)


class Reconciliation:
    """The steps of one reconciliation."""

    def __init__(self, session: Session, keeper: Keeper, seen: Survey, found: Wanted) -> None:
        self.session = session
        self.zfs = session.zfs
        self.keeper = keeper
        self.seen = seen
        self.machine: Machine = seen.machine
        self.wanted = found
        self.notes = {place_of(held): held for held in keeper.own_notes()}
        self.foreign = keeper.foreign_places()
        self.kept: set[Place] = set()
        self.free: set[Place] = set()
        self.done = Reconciled(problems=list(seen.problems))

    def make_bookmarks(self) -> None:
        """Bookmark what the next push may stand on; what can't be bookmarked is held instead."""
        for place, need in self.wanted.bookmarks.items():
            here = self.machine[place.dataset]
            if any(point.guid == place.guid and self.is_own(point) for point in here.bookmarks):
                continue
            if (snapshot := here.snapshot(place.guid)) is None:
                continue
            self.session.stop.check()
            name = self.unused_bookmark(place)
            try:
                self.bookmark(place, snapshot.name, name)
            except ZfsError as error:
                log.info("%s@%s is held, as it can't be bookmarked: %s", place.dataset, snapshot.name, error)
                self.wanted.hold(place, need)
            else:
                self.done.bookmarked.append(f"{place.dataset}#{name}")

    def bookmark(self, place: Place, snapshot: str, name: str) -> None:
        """Make one bookmark, and make sure of what it marks."""
        zfs_holds.bookmark(self.zfs, f"{place.dataset}@{snapshot}", name)
        if zfs_holds.guid_of(self.zfs, f"{place.dataset}#{name}") not in (place.guid, None):
            zfs_holds.destroy_bookmark(self.zfs, place.dataset, name)
            raise ZfsError(f"{place.dataset}@{snapshot} was destroyed and made again", code="zfs.snapshot_replaced")

    def unused_bookmark(self, place: Place) -> str:
        """Our name for it, or with a number where a bookmark of something else has that name."""
        taken = {point.name for point in self.machine[place.dataset].bookmarks}
        name = bookmark_name(self.keeper.repository, place.guid)
        numbered = (f"{name}-{number}" for number in range(1, len(taken) + 2))
        return next(one for one in (name, *numbered) if one not in taken)

    def is_own(self, point: Point) -> bool:
        """Whether a bookmark is ours."""
        return is_own_bookmark(point, self.keeper.repository)

    def change_holds(self) -> None:
        """Take what is wanted and not held, then release what is held and not wanted."""
        sure, possible = self.held()
        if self.foreign:
            advice = "if that store is gone for good: zfs-push-backups holds release --all"
            log.info("%d holds under %s are another repository's; %s", len(self.foreign), self.keeper.tag, advice)
        plan = changes(self.wanted.holds.keys(), sure=sure, possible=possible, foreign=self.foreign)
        self.free = self.notes.keys() - sure - possible - self.wanted.holds.keys()
        for place in sorted(self.wanted.holds.keys() & sure):
            self.renote(place)
        for place in plan.take:
            self.take(place)
        if self.seen.incomplete:
            self.kept.update(plan.release)
            log.warning("no hold is released this time, since not everything could be looked at")
            return
        for place in plan.release:
            self.release(place)

    def held(self) -> tuple[AbstractSet[Place], AbstractSet[Place]]:
        """What our tag holds for certain, and what it may hold."""
        noted = {found for place in self.notes for found in places(place.dataset, place.guid, self.machine)}
        suspects = noted | {
            Place(name, guid)
            for name in self.seen.asked
            if name in self.machine
            for guid, count in self.machine[name].references.items()
            if count > 0
        }
        suspects = {place for place in suspects if self.machine[place.dataset].snapshot(place.guid) is not None}
        if not self.session.capabilities.holds_list:
            return set(), suspects
        names = {self.name(place): place for place in suspects if self.references(place) > 0}
        try:
            tags = zfs_holds.holders(self.zfs, sorted(names))
        except ZfsError as error:
            log.debug("zfs holds: %s", error)
            return set(), suspects
        return {place for name, place in names.items() if self.keeper.tag in tags.get(name, {})}, set()

    def references(self, place: Place) -> int:
        """How many holds a snapshot has."""
        return self.machine[place.dataset].references.get(place.guid, 0)

    def name(self, place: Place) -> str:
        """The full name of a snapshot that is here."""
        snapshot = self.machine[place.dataset].snapshot(place.guid)
        return f"{place.dataset}@{snapshot.name if snapshot else place.guid}"

    def renote(self, place: Place) -> None:
        """Bring the note of a hold that stays up to date, where the journal was lost as well."""
        need, name = self.wanted.holds[place], self.name(place).partition("@")[2]
        old = self.notes.get(place)
        if old is None or (old.snapshot, old.task, old.reason) != (name, need.task, need.reason):
            self.keeper.note(place, name, need)

    def take(self, place: Place) -> None:
        """Take one hold."""
        self.session.stop.check()
        name = self.name(place)
        try:
            if self.keeper.hold(place, name.partition("@")[2], self.wanted.holds[place]):
                self.done.taken.append(name)
        except ZfsError as error:
            self.done.problem("%s can't be held: %s", name, error)

    def release(self, place: Place) -> None:
        """Release one hold."""
        self.session.stop.check()
        name = self.name(place)
        try:
            if self.keeper.release(place, name.partition("@")[2]):
                self.done.released.append(name)
        except ZfsError as error:
            self.kept.add(place)
            self.done.problem("%s can't be released: %s", name, error)

    def tidy_notes(self) -> None:
        """Forget what is gone, free, or known by another name now; a pool that isn't here keeps its notes."""
        for place in self.notes:
            now = places(place.dataset, place.guid, self.machine)
            if self.kept.intersection((place, *now)):
                continue
            gone = not now and place.dataset.partition("/")[0] in self.seen.whole_pools
            free = place in now and (place in self.free or place in self.foreign - self.wanted.holds.keys())
            if gone or free or (now and place not in now):
                self.keeper.forget(place)

    def destroy_bookmarks(self) -> None:
        """Destroy our bookmarks that nothing needs any more."""
        if self.seen.incomplete:
            return
        for dataset in sorted(self.seen.covered_names):
            for point in obsolete_bookmarks(self.machine, self.wanted, (dataset,), self.keeper.repository):
                self.session.stop.check()
                name = f"{dataset}#{point.name}"
                try:
                    zfs_holds.destroy_bookmark(self.zfs, dataset, point.name)
                except ZfsError as error:
                    self.done.problem("%s can't be destroyed: %s", name, error)
                else:
                    self.done.unmarked.append(name)
