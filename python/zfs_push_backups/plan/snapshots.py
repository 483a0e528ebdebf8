"""Which snapshot to send: the one named, else the best of those that match.

Invariants: identity is the guid, order is createtxg (creation time and place in the listing where it is unknown). The
choice is always a snapshot that exists, matches (unless it is the floor) and is not older than the floor.
Rationale: see `choose` for the window.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Final, Generic, Protocol, TypeVar

from zfs_push_backups.errors import UsageError, ZfsError
from zfs_push_backups.names import check_component, nearest
from zfs_push_backups.record import Record

CLASS_WINDOW: Final = timedelta(hours=24)
_CLASSES: Final[dict[str, int]] = {
    word: rank
    for rank, words in enumerate(
        (
            ("frequent", "frequently", "minutely", "15min"),
            ("hourly",),
            ("daily",),
            ("weekly",),
            ("monthly",),
            ("yearly", "annually"),
        ),
        start=1,
    )
    for word in words
}
_WORDS: Final = re.compile(r"[0-9]*[a-z]+")
_MOST_SHOWN: Final = 3


class Point(Protocol):
    """A snapshot or bookmark of one dataset."""

    @property
    def name(self) -> str:
        """What follows `@` or `#`."""

    @property
    def guid(self) -> int:
        """ZFS's identity of the snapshot; a bookmark has that of the snapshot it was made of."""

    @property
    def createtxg(self) -> int | None:
        """The transaction group of its making: the order of a pool's events. None where zfs doesn't tell."""

    @property
    def creation(self) -> int:
        """When it was made, in Unix seconds."""


AnyPoint = TypeVar("AnyPoint", bound=Point)


class Choice(Record, Generic[AnyPoint]):
    """The snapshot chosen and what to tell the operator about it (`warnings` are loud)."""

    snapshot: AnyPoint
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class Rule(Record):
    """What a task says about its snapshots, and the moment of the run. `now` carries its time zone."""

    match: tuple[str, ...]
    now: datetime
    max_age: timedelta | None = timedelta(hours=48)


def oldest_first(points: Iterable[AnyPoint]) -> list[AnyPoint]:
    """The points in the order of their making: by createtxg, or by creation time where one has none."""
    listed = list(points)
    if all(point.createtxg is not None for point in listed):
        return sorted(listed, key=lambda point: (point.createtxg or 0, point.creation))
    return sorted(listed, key=lambda point: point.creation)


def kept_rank(name: str) -> int:
    """How long a snapshot of this name is usually kept: 6 yearly, 5 monthly ... 1 every few minutes, 0 unknown.

    The word is found anywhere, as sanoid (`autosnap_2026-11-20_00:00:01_daily`) has it last and zfs-auto-snapshot
    (`zfs-auto-snap_daily-2026-11-20-0025`) in the middle; the last one counts.
    """
    ranks = [_CLASSES[word] for word in _WORDS.findall(name.lower()) if word in _CLASSES]
    return ranks[-1] if ranks else 0


def by_name(dataset: str, snapshots: Sequence[AnyPoint], wanted: str) -> AnyPoint:
    """The snapshot `wanted`: `name`, `@name` or `dataset@name`. Raises UsageError."""
    owner, _, name = wanted.rpartition("@")
    if owner and owner != dataset:
        raise UsageError(f"the snapshot {wanted!r} is not one of {dataset}", hint=f"name it {dataset}@{name}")
    for snapshot in snapshots:
        if snapshot.name == name:
            return snapshot
    names = [snapshot.name for snapshot in oldest_first(snapshots)]
    near = nearest(name, names)
    newest = ", ".join(reversed(names[-_MOST_SHOWN:])) or "none"
    guess = f"did you mean {near!r}? " if near else ""
    raise UsageError(f"{dataset} has no snapshot {name!r}", hint=f"{guess}its newest snapshots are: {newest}")


def choose(
    dataset: str, snapshots: Sequence[AnyPoint], rule: Rule, *, floor: Point | None = None, same_as: str | None = None
) -> Choice[AnyPoint | Point]:
    """The newest match, preferring within the last 24 hours of matches the class that is kept longest.

    A snapshot that lives longer serves longer as a base, so of those taken at about the same time the monthly is a
    better choice than the hourly. The window bounds what that costs: 24 hours is one round of the daily class, the one
    that is sent at night, so the choice always holds last night's state, and the monthly of the 1st doesn't displace
    the daily of the 2nd. Whoever wants every hour sent writes a pattern that matches only the hourly ones.

    `floor` is the newest snapshot that is committed already (see levels.floor): older matches are left out, as sending
    them would branch the chain; if nothing newer matches, the floor itself is the choice ('up to date'; it may be
    a bookmark).
    `same_as` names the snapshot chosen for the parent dataset: it is taken if this dataset has it within the window and
    not yet committed, so that a tree is of one moment, and a parent that nobody snapshots any more holds no child back.
    Raises ZfsError if nothing matches.
    """
    matches = [point for point in oldest_first(snapshots) if any(fnmatchcase(point.name, p) for p in rule.match)]
    if not matches:
        raise _no_match(dataset, snapshots, rule.match)
    late_enough = matches if floor is None else _not_older(snapshots, matches, floor)
    if not late_enough and floor is not None:
        reason = f"nothing newer than the committed {floor.name!r} matches {_shown(rule.match)}"
        return Choice(floor, (reason,), _age_warnings(dataset, matches[-1], rule))
    newest = late_enough[-1]
    near = _near(late_enough)
    twins = [point for point in near if point.name == same_as and (floor is None or point.guid != floor.guid)]
    chosen = twins[-1] if twins else _longest_kept(near)
    reasons = (f"{chosen.name!r} is kept longer than the newest match, {newest.name!r}",)
    return Choice(chosen, () if chosen is newest or twins else reasons, _age_warnings(dataset, newest, rule))


def created_name(template: str, now: datetime) -> str:
    """The name of a snapshot taken at `now`, in UTC. Raises ValueError if it is no snapshot's name."""
    return check_component(now.astimezone(UTC).strftime(template), "snapshot")


def _not_older(snapshots: Sequence[AnyPoint], matches: list[AnyPoint], floor: Point) -> list[AnyPoint]:
    # A floor that is listed keeps its place there, which decides between snapshots of one second.
    listed = any(point.guid == floor.guid for point in snapshots)
    order: list[Point] = oldest_first(snapshots if listed else [*snapshots, floor])
    place = {point.guid: index for index, point in enumerate(order)}
    return [point for point in matches if place[point.guid] >= place[floor.guid]]


def _near(matches: Sequence[AnyPoint]) -> list[AnyPoint]:
    """Those made within the window of the newest; one of a clock that stood in the future is not near."""
    newest, seconds = matches[-1], CLASS_WINDOW.total_seconds()
    return [point for point in matches if abs(newest.creation - point.creation) < seconds]


def _longest_kept(near: Sequence[AnyPoint]) -> AnyPoint:
    """The one kept longest, the newest of equals."""
    return max(reversed(near), key=lambda point: kept_rank(point.name))


def _age_warnings(dataset: str, newest: Point, rule: Rule) -> tuple[str, ...]:
    age = timedelta(seconds=int(rule.now.timestamp()) - newest.creation)
    if rule.max_age is None or age <= rule.max_age:
        return ()
    hours = int(age.total_seconds() // 3600)
    return (
        f"the newest matching snapshot of {dataset}, {newest.name!r}, is {hours} hours old: is something taking them?",
    )


def _no_match(dataset: str, snapshots: Sequence[Point], patterns: tuple[str, ...]) -> ZfsError:
    names = [point.name for point in oldest_first(snapshots)]
    have = f"its newest snapshots are: {', '.join(reversed(names[-_MOST_SHOWN:]))}" if names else "it has none at all"
    return ZfsError(
        f"no snapshot of {dataset} matches {_shown(patterns)}; {have}",
        hint="correct snapshot.match, or let the task take its own with `snapshot: {create: true}`",
        code="zfs.no_snapshot",
    )


def _shown(patterns: tuple[str, ...]) -> str:
    return " or ".join(repr(pattern) for pattern in patterns)
