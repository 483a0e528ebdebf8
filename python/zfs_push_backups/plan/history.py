"""What is known of one dataset before a push: its snapshots and bookmarks here, its committed backups there.

Invariants: both sides are matched by guid only (a name can be taken again, a guid cannot); a backup whose chain is
broken doesn't count; 'newest' follows the order of this dataset's own snapshots wherever they still exist.
"""

from __future__ import annotations

from collections.abc import Iterable

from zfs_push_backups.plan.listing import Backup, Chains
from zfs_push_backups.plan.snapshots import Point, oldest_first
from zfs_push_backups.record import Record


class Base(Record):
    """What an incremental stands on: a snapshot, or a bookmark of one that is gone."""

    point: Point
    is_bookmark: bool

    @property
    def argument(self) -> str:
        """As `zfs send -i` takes it: `@name` or `#name`."""
        return f"{'#' if self.is_bookmark else '@'}{self.point.name}"


class History:
    """One dataset of one source. `backups` are those of exactly this dataset and source."""

    def __init__(
        self, dataset: str, snapshots: Iterable[Point], bookmarks: Iterable[Point], backups: Iterable[Backup]
    ) -> None:
        self.dataset = dataset
        self.chains = Chains(backups)
        self._bases = {point.guid: Base(point, is_bookmark=True) for point in bookmarks}
        self._bases |= {point.guid: Base(point, is_bookmark=False) for point in snapshots}
        order = oldest_first(base.point for base in self._bases.values())
        self._place = {point.guid: index for index, point in enumerate(order)}
        full = self._newest_full()
        self.newest_full: Backup | None = full
        self.members: tuple[Backup, ...] = self.chains.on(full) if full else ()

    @property
    def tip(self) -> Backup | None:
        """The newest push of the chain of the newest full: its manifest holds what is pinned for that chain."""
        return self.members[-1] if self.members else None

    def base(self, backup: Backup) -> Base | None:
        """The snapshot or bookmark of `backup` that is still here, if any."""
        return self._bases.get(backup.snapshot_guid)

    def is_bookmark(self, point: Point) -> bool:
        """Whether only a bookmark of this snapshot is left here."""
        base = self._bases.get(point.guid)
        return base is not None and base.is_bookmark

    def is_older(self, backup: Backup, target: Point) -> bool:
        """Whether the snapshot of `backup` is here and strictly older than `target`."""
        base = self.base(backup)
        if base is None:
            return False
        if base.point.createtxg is not None and base.point.createtxg == target.createtxg:
            return False
        if target.guid in self._place:
            return self._place[base.point.guid] < self._place[target.guid]
        return oldest_first([target, base.point])[0] is base.point

    def newest(self, backups: Iterable[Backup]) -> Backup | None:
        """The one whose snapshot is newest, of those whose snapshot is still here; the later push of equals."""
        here = [backup for backup in backups if backup.snapshot_guid in self._place]
        return max(here, key=lambda b: (self._place[b.snapshot_guid], b.created, b.id), default=None)

    def _newest_full(self) -> Backup | None:
        """By the order of the snapshots; one whose snapshot is gone counts as newer if it was pushed later."""
        fulls = [backup for backup in self.chains.backups if backup.is_full and self.chains.whole(backup)]
        known = self.newest(fulls)
        gone = [backup for backup in fulls if backup.snapshot_guid not in self._place]
        latest_gone = max(gone, key=lambda b: (b.created, b.id), default=None)
        if known is None or latest_gone is None:
            return known or latest_gone
        return latest_gone if latest_gone.created > known.created else known
