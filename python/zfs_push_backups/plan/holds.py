"""Which snapshots must stay on this machine, and what to do so that exactly those are held.

Invariants: a snapshot is known by its dataset and guid, never by its name (a name can be taken again; a copy received
elsewhere has the same guid). Wanted are the target and base of each resumable run, and for each dataset of an enabled
task, level by level, the newest committed snapshot that is still here: what the next push may stand on. Only the chain
of the newest full counts, as nothing else is ever a base; so a level that no chain reaches any more holds nothing.
Where ZFS has bookmarks one stands in for a committed snapshot, which is then free to go.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, Protocol

from zfs_push_backups.plan.history import Base, History
from zfs_push_backups.plan.listing import Backup
from zfs_push_backups.plan.snapshots import Point
from zfs_push_backups.record import Record

TAG_PREFIX: Final = "zfs-push-backups:"
_MARK_PREFIX: Final = "zfs-push-backups-"
_MARK_OWNER_DIGITS: Final = 12
_MARK: Final = re.compile(rf"{_MARK_PREFIX}(?P<owner>[0-9a-f]{{12}})-(?P<guid>[0-9a-f]{{16}})(?:-[0-9]+)?")


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A snapshot, or a bookmark of it, on this machine."""

    dataset: str
    guid: int


class Here(Record):
    """One dataset as it is now. `references` are the numbers of holds by guid; `guid` is the dataset's own."""

    name: str
    guid: str | None
    snapshots: tuple[Point, ...]
    bookmarks: tuple[Point, ...] = ()
    references: Mapping[int, int] = field(default_factory=dict)

    def snapshot(self, guid: int) -> Point | None:
        """The snapshot with this guid."""
        return next((point for point in self.snapshots if point.guid == guid), None)


Machine = Mapping[str, Here]


class Covered(Record):
    """A dataset that an enabled task covers, and what one source has committed of it."""

    task: str | None
    dataset: str
    backups: tuple[Backup, ...]


class Unfinished(Protocol):
    """A run that can be gone on with."""

    @property
    def id(self) -> str:
        """The backup's id."""

    @property
    def task(self) -> str | None:
        """The task's name, None for one without."""

    @property
    def dataset(self) -> str:
        """The dataset's name when the run began."""

    @property
    def dataset_guid(self) -> str | None:
        """The dataset's guid, as far as zfs told it."""

    @property
    def snapshot_guid(self) -> int:
        """What is being sent."""

    @property
    def base_guid(self) -> int | None:
        """What it stands on; None for a full."""


class Need(Record):
    """Why something must stay, and for which task."""

    task: str | None
    reason: str

    def joined(self, other: Need) -> Need:
        """Both reasons, each said once."""
        reasons = dict.fromkeys((*self.reason.split("; "), *other.reason.split("; ")))
        return Need(self.task or other.task, "; ".join(reasons))


@dataclass(slots=True)
class Wanted:
    """What must stay: snapshots to hold, and guids of which a bookmark must be there."""

    holds: dict[Place, Need] = field(default_factory=dict)
    bookmarks: dict[Place, Need] = field(default_factory=dict)

    def hold(self, place: Place, need: Need) -> None:
        """Want a hold, for one more reason."""
        self.holds[place] = self.holds[place].joined(need) if place in self.holds else need

    def mark(self, place: Place, need: Need) -> None:
        """Want a bookmark, for one more reason."""
        self.bookmarks[place] = self.bookmarks[place].joined(need) if place in self.bookmarks else need


class Changes(Record):
    """What to do, holds first: nothing is free before what must stay is safe."""

    take: tuple[Place, ...]
    release: tuple[Place, ...]


def hold_tag(host_name: str, repository: str | None) -> str:
    """The tag of this host's holds. A host that stands on the command line only has its repository's id as name."""
    if "://" not in host_name:
        return TAG_PREFIX + host_name
    if repository is None:
        raise ValueError("a host that is only a URL has no tag before its repository is known")
    return TAG_PREFIX + repository


def bookmark_name(repository: str, guid: int) -> str:
    """The name of our bookmark of a snapshot: the guid tells snapshots apart that had the same name."""
    return f"{_MARK_PREFIX}{_owner(repository)}-{guid:016x}"


def is_own_bookmark(point: Point, repository: str) -> bool:
    """Whether this bookmark was made for this repository: its name says so, and of the guid that it really has."""
    found = _MARK.fullmatch(point.name)
    return found is not None and found["owner"] == _owner(repository) and int(found["guid"], 16) == point.guid


def _owner(repository: str) -> str:
    return sha256(repository.encode()).hexdigest()[:_MARK_OWNER_DIGITS]


def wanted(
    covered: Iterable[Covered], runs: Iterable[Unfinished], machine: Machine, *, can_bookmark: bool = False
) -> Wanted:
    """What must stay of what is here."""
    found = Wanted()
    for one in covered:
        for backup, base in next_bases(one, machine):
            place, need = Place(one.dataset, base.point.guid), Need(one.task, f"newest of level {backup.level}")
            if can_bookmark:
                found.mark(place, need)
            elif not base.is_bookmark:
                found.hold(place, need)
    for run in runs:
        for guid, reason in ((run.snapshot_guid, f"sent by {run.id}"), (run.base_guid, f"base of {run.id}")):
            for place in () if guid is None else places_of_run(run, guid, machine):
                need = Need(run.task, reason)
                here = machine[place.dataset]
                if here.snapshot(place.guid) is not None:
                    found.hold(place, need)
                elif can_bookmark:
                    found.mark(place, need)
    return found


def next_bases(covered: Covered, machine: Machine) -> Iterator[tuple[Backup, Base]]:
    """For each level the backup that a push of the next level would stand on, with its snapshot or bookmark."""
    here = machine.get(covered.dataset)
    if here is None:
        return
    history = History(here.name, here.snapshots, here.bookmarks, covered.backups)
    for level in sorted({backup.level for backup in history.members}):
        newest = history.newest(backup for backup in history.members if backup.level == level)
        base = history.base(newest) if newest else None
        if newest is not None and base is not None:
            yield newest, base


def places_of_run(run: Unfinished, guid: int, machine: Machine) -> tuple[Place, ...]:
    """Where a run's snapshot is: in the dataset of its guid, whatever its name is now, else as `places` finds it."""
    renamed = [here.name for here in machine.values() if run.dataset_guid is not None and here.guid == run.dataset_guid]
    return places(renamed[0] if renamed else run.dataset, guid, machine)


def places(dataset: str, guid: int, machine: Machine) -> tuple[Place, ...]:
    """Where the snapshot of this guid is: in its dataset, else (renamed) wherever one with this guid is held."""
    here = machine.get(dataset)
    if here is not None and any(point.guid == guid for point in (*here.snapshots, *here.bookmarks)):
        return (Place(dataset, guid),)
    return tuple(Place(other.name, guid) for other in machine.values() if other.references.get(guid, 0) > 0)


def changes(
    wanted_places: AbstractSet[Place],
    *,
    sure: AbstractSet[Place],
    possible: AbstractSet[Place],
    foreign: AbstractSet[Place],
) -> Changes:
    """What makes exactly the wanted places held.

    `sure` are held under our tag for certain, `possible` may be (noted, or held by somebody where zfs doesn't tell by
    whom: taking or releasing such a one shows). `foreign` are held under our tag for another repository: not ours.
    """
    take = wanted_places - sure
    release = (sure | possible) - wanted_places - foreign
    return Changes(tuple(sorted(take)), tuple(sorted(release)))


def obsolete_bookmarks(machine: Machine, found: Wanted, datasets: Iterable[str], repository: str) -> list[Point]:
    """Our bookmarks of these datasets that nothing needs any more, as `Point`s of their dataset."""
    return [
        point
        for name in sorted(set(datasets))
        if name in machine
        for point in machine[name].bookmarks
        if is_own_bookmark(point, repository) and Place(name, point.guid) not in found.bookmarks
    ]
