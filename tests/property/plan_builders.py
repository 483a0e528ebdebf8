"""Snapshots, backups and pins as the planner sees them, short enough to read in a test."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from zfs_push_backups.plan.levels import Pins
from zfs_push_backups.plan.listing import NO_PARENT, Backup

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
PINS = Pins(raw=False, large_blocks=True, recipients=frozenset({"age1aaaaaaaa"}))
DATASET = "tank/data"
SOURCE = "nas-1a2b3c4d"


@dataclass(frozen=True)
class Snap:
    """A snapshot or bookmark; made one hour after the other by transaction group unless told otherwise."""

    name: str
    guid: int
    createtxg: int | None
    creation: int


def snap(name: str, number: int, *, hours_ago: float | None = None, txg: bool = True) -> Snap:
    """The snapshot of that number: its guid is 1000 + number, its order the number's."""
    creation = NOON - timedelta(hours=hours_ago if hours_ago is not None else 100 - number)
    return Snap(name, 1000 + number, number if txg else None, int(creation.timestamp()))


def backup(
    of: Snap, nonce: str, parent: Backup | None = None, *, pushed: datetime | None = None, dataset: str = DATASET
) -> Backup:
    """A committed backup of a snapshot, pushed when the snapshot was made unless told otherwise."""
    level = parent.level + 1 if parent else 0
    created = pushed or datetime.fromtimestamp(of.creation, UTC)
    identity = f"{created:%Y%m%dT%H%M%SZ}-{level}-{of.guid:016x}-{nonce}"
    parent_nonce = parent.nonce if parent else NO_PARENT
    key = f"manifests/{SOURCE}/{dataset}/@/{identity}~{parent_nonce}.json"
    return Backup(key, SOURCE, dataset, identity, level, created, of.guid, nonce, parent_nonce)


def of_source(original: Backup, source: str) -> Backup:
    """The same backup as another source would have made it."""
    return replace(original, source=source, key=original.key.replace(SOURCE, source))
