"""Where a stream from standard input belongs: its level and parent, from the guids in its BEGIN record.

Invariants: the guids decide, never the name given; an incremental is taken only onto a backup that is committed in a
whole chain and has the same pins. No full can be made of an incremental stream, so whatever doesn't fit is refused.
"""

from __future__ import annotations

from collections.abc import Iterable

from zfs_push_backups.errors import NoBase, StreamRefused, UsageError
from zfs_push_backups.plan.levels import Decision, Kind, Wish, pin_changes
from zfs_push_backups.plan.listing import Backup, Chains
from zfs_push_backups.plan.snapshots import Point


def stdin_parent(backups: Iterable[Backup], from_guid: int) -> Backup | None:
    """The newest whole backup that an incremental from `from_guid` can stand on (its manifest has the pins)."""
    chains = Chains(backups)
    fitting = [b for b in chains.backups if b.snapshot_guid == from_guid and chains.whole(b)]
    return max(fitting, key=lambda backup: (backup.created, backup.id), default=None)


def decide_stdin(dataset: str, target: Point, from_guid: int, parent: Backup | None, wish: Wish) -> Decision:
    """What the stream to `target` becomes. `parent` is from `stdin_parent`, `wish.chain_pins` are its manifest's.

    `from_guid` 0 is a full. Raises NoBase (parent missing or pinned otherwise), UsageError (another level asked for).
    """
    if from_guid == 0:
        return _checked(Decision(Kind.FULL, 0, target), wish)
    if parent is None:
        raise NoBase(
            f"the stream stands on the snapshot with guid {from_guid}, of which {dataset} has no whole backup here",
            hint="push that snapshot first, or send a full: zfs send POOL/DATASET@SNAPSHOT",
        )
    changes = pin_changes(wish.chain_pins, wish.pins) if wish.chain_pins else ("its pins are unknown",)
    if changes:
        raise StreamRefused(
            f"the stream does not fit onto {parent.id}: {'; '.join(changes)}",
            hint="send a full: zfs send POOL/DATASET@SNAPSHOT",
        )
    return _checked(Decision(Kind.INCREMENTAL, parent.level + 1, target, parent=parent), wish)


def _checked(decision: Decision, wish: Wish) -> Decision:
    if wish.level not in {None, decision.level}:
        raise UsageError(
            f"--level {wish.level} was asked for, but the stream is of level {decision.level}",
            hint="leave --level out: the stream itself decides",
        )
    return decision
