"""Full or incremental, at which level, on which base.

Invariants: a base exists here and is committed there, the same by guid, and is strictly older than the target; it
belongs to the chain of the newest full. What is pinned for a chain (raw or not, `-L`, recipients) never changes within
it: a change makes a new full, loudly. A snapshot that the chain already holds is never sent again.
Rationale: `auto` numbers a backup its parent's level plus one, so a level is always the length of the chain below it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from zfs_push_backups.errors import InternalError, NoBase, ZfsError
from zfs_push_backups.plan.history import Base, History
from zfs_push_backups.plan.listing import Backup
from zfs_push_backups.plan.snapshots import Point
from zfs_push_backups.record import Record


class Kind(StrEnum):
    """What to do."""

    FULL = "full"
    INCREMENTAL = "incremental"
    UP_TO_DATE = "up_to_date"


class Pins(Record):
    """What stays the same within a chain. `large_blocks` is `zfs send -L`."""

    raw: bool
    large_blocks: bool
    recipients: frozenset[str]


class Wish(Record):
    """What is wanted: `level` None is `auto`; `now` carries its time zone; `pins` are those of this run.

    `chain_pins` are those in the manifest of `History.tip`, None only without one, or where `chain_damage` says why it
    can't be read. `command` is what the operator types up to `--level`; `other_sources` are the names under which this
    dataset lies in the store besides this source's.
    """

    level: int | None
    now: datetime
    pins: Pins
    chain_pins: Pins | None = None
    full_every: timedelta | None = None
    max_chain: int | None = None
    command: str = "zfs-push-backups"
    other_sources: tuple[str, ...] = ()
    chain_damage: str | None = None


class Decision(Record):
    """What to send. `base` and `parent` belong to an incremental, `existing` to `up_to_date`.

    `loud`: this differs from what was asked for or is usual, so the reasons are warnings.
    """

    kind: Kind
    level: int
    target: Point
    base: Base | None = None
    parent: Backup | None = None
    existing: Backup | None = None
    reasons: tuple[str, ...] = ()
    loud: bool = False

    @property
    def parent_id(self) -> str | None:
        """The id of the backup that this one stands on."""
        return self.parent.id if self.parent else None


def decide(history: History, target: Point, wish: Wish) -> Decision:
    """What to send of `target`.

    Raises NoBase when an explicit level has nothing to stand on, ZfsError when `target` is a bookmark (a floor, see
    `floor`) that would have to be sent again.
    """
    if wish.level is None:
        decision = _auto(history, target, wish)
    elif wish.level == 0:
        decision = _explicit_full(history, target, wish)
    else:
        decision = _explicit(history, target, wish.level, wish)
    if decision.kind is not Kind.UP_TO_DATE and history.is_bookmark(target):
        raise ZfsError(
            f"nothing to send of {history.dataset}: {target.name!r} is only a bookmark, and nothing newer matches"
            f" ({'; '.join(decision.reasons)})",
            hint="take a new snapshot, or name an older one with --snapshot",
            code="zfs.no_snapshot",
        )
    return decision


def floor(history: History, level: int | None) -> Point | None:
    """The newest committed snapshot or bookmark that a choice for `level` (None: auto) must not fall behind, if any."""
    if level == 0:
        return None
    members = history.members
    if level is not None:
        same = [backup for backup in members if backup.level == level]
        members = tuple(same) if history.newest(same) else tuple(b for b in members if b.level == level - 1)
    newest = history.newest(members)
    base = history.base(newest) if newest else None
    return base.point if base else None


def pin_changes(then: Pins, now: Pins) -> tuple[str, ...]:
    """What differs between two pins, in words."""
    changes = []
    if then.raw != now.raw:
        changes.append(f"the chain is {'raw' if then.raw else 'not raw'}, this run is {'raw' if now.raw else 'not'}")
    if then.large_blocks != now.large_blocks:
        changes.append(f"large blocks (-L) were {_on(then.large_blocks)} and are {_on(now.large_blocks)} now")
    if then.recipients != now.recipients:
        added, gone = len(now.recipients - then.recipients), len(then.recipients - now.recipients)
        changes.append(f"the recipients changed ({added} added, {gone} removed)")
    return tuple(changes)


def _on(flag: bool) -> str:
    return "on" if flag else "off"


def _changes(history: History, wish: Wish) -> tuple[str, ...]:
    if history.tip is None:
        return ()
    if wish.chain_damage is not None:
        return (f"the backup that this would stand on is lost: {wish.chain_damage}",)
    if wish.chain_pins is None:
        raise InternalError(f"the manifest of {history.tip.id} was not read before planning")
    return pin_changes(wish.chain_pins, wish.pins)


def _auto(history: History, target: Point, wish: Wish) -> Decision:
    if history.newest_full is None:
        others = _others(wish)
        reason = f"{history.dataset} has no full backup yet{others}"
        return Decision(Kind.FULL, 0, target, reasons=(reason,), loud=bool(others or history.chains.backups))
    changes = _changes(history, wish)
    if not changes and (existing := _committed(history, target, None)):
        return _up_to_date(target, existing)
    older = [backup for backup in history.members if history.is_older(backup, target)]
    parent = history.newest(older)
    base = history.base(parent) if parent else None
    why_full = changes or _full_is_due(history, wish) or _no_base(history, parent) or _too_long(history, parent, wish)
    if why_full or parent is None or base is None:
        return Decision(Kind.FULL, 0, target, reasons=(*why_full, "so this is a new full backup"), loud=True)
    gone = [backup for backup in history.members if history.base(backup) is None and backup.created > parent.created]
    reasons = (f"the snapshot of {gone[-1].id} is gone here, so this stands on {parent.id}",) if gone else ()
    return _incremental(target, parent, base, reasons)


def _full_is_due(history: History, wish: Wish) -> tuple[str, ...]:
    full = history.newest_full
    if full is None or wish.full_every is None or wish.now - full.created < wish.full_every:
        return ()
    return (f"the newest full is {(wish.now - full.created).days} days old (full_every)",)


def _no_base(history: History, parent: Backup | None) -> tuple[str, ...]:
    if parent is not None:
        return ()
    if any(history.base(backup) for backup in history.members):
        return ("the snapshot is older than every committed one of the chain",)
    return ("none of the chain's snapshots exists here any more, nor a bookmark of one",)


def _too_long(history: History, parent: Backup | None, wish: Wish) -> tuple[str, ...]:
    if parent is None or wish.max_chain is None:
        return ()
    length = len(history.chains.path(parent))
    return (f"the chain has {length} backups already (max_chain)",) if length + 1 > wish.max_chain else ()


def _explicit_full(history: History, target: Point, wish: Wish) -> Decision:
    same = [backup for backup in history.chains.backups if backup.is_full and backup.snapshot_guid == target.guid]
    if not same:
        return Decision(Kind.FULL, 0, target)
    existing = max(same, key=lambda backup: (backup.created, backup.id))
    changes = _changes(history, wish) if existing in history.members else ()
    if changes:
        return Decision(Kind.FULL, 0, target, reasons=(*changes, "so this snapshot is sent again"), loud=True)
    return _up_to_date(target, existing)


def _explicit(history: History, target: Point, level: int, wish: Wish) -> Decision:
    if history.newest_full is None:
        raise NoBase(
            f"level {level} of {history.dataset} has nothing to stand on: there is no full backup{_others(wish)}",
            hint=f"run: {wish.command} --level 0",
        )
    if changes := _changes(history, wish):
        reasons = (*changes, f"so this is a new full backup instead of level {level}")
        return Decision(Kind.FULL, 0, target, reasons=reasons, loud=True)
    if existing := _committed(history, target, level):
        return _up_to_date(target, existing)
    parent = _parent_for(history, target, level)
    base = history.base(parent) if parent else None
    if parent is None or base is None:
        raise _nothing_to_stand_on(history, target, level, wish)
    return _incremental(target, parent, base, ())


def _parent_for(history: History, target: Point, level: int) -> Backup | None:
    below = [b for b in history.members if b.level == level - 1 and history.is_older(b, target)]
    return history.newest(below)


def _nothing_to_stand_on(history: History, target: Point, level: int, wish: Wish) -> NoBase:
    """Says which of the three it is: never committed, gone here, or newer than the target; and what can be done."""
    below = [backup for backup in history.members if backup.level == level - 1]
    what = f"level {level} of {history.dataset} has nothing to stand on"
    if not below:
        why = f"the chain of {history.members[0].id} has no level {level - 1}"
    elif not any(history.base(backup) for backup in below):
        why = f"the snapshot of {below[-1].id} (guid {below[-1].snapshot_guid}) is gone here, nor is there a bookmark"
    else:
        why = f"{target.name!r} is not newer than what level {level - 1} holds"
    possible = next((n for n in range(level - 1, 0, -1) if _parent_for(history, target, n)), 0)
    return NoBase(f"{what}: {why}", hint=f"run: {wish.command} --level {possible}")


def _committed(history: History, target: Point, level: int | None) -> Backup | None:
    """The backup of `target` that makes sending it pointless: at this level or below, or anywhere for `auto`."""
    among = history.chains.backups if level is None else history.members
    same = [
        backup
        for backup in among
        if backup.snapshot_guid == target.guid
        and (level is None or backup.level <= level)
        and history.chains.whole(backup)
    ]
    return max(same, key=lambda backup: (backup.created, backup.id), default=None)


def _up_to_date(target: Point, existing: Backup) -> Decision:
    reason = f"{target.name!r} is already committed at level {existing.level} ({existing.id}), up to date"
    return Decision(Kind.UP_TO_DATE, existing.level, target, existing=existing, reasons=(reason,))


def _incremental(target: Point, parent: Backup, base: Base, reasons: tuple[str, ...]) -> Decision:
    return Decision(
        Kind.INCREMENTAL, parent.level + 1, target, base=base, parent=parent, reasons=reasons, loud=bool(reasons)
    )


def _others(wish: Wish) -> str:
    if not wish.other_sources:
        return ""
    return f" under this source (the store has it under {', '.join(wish.other_sources)}: was this machine renamed?)"
