"""Whether the newest backup of each dataset is young enough (`check --max-age`).

Invariants: only backups in whole chains count, since others cannot be restored; a dataset that should be there and
isn't is never fresh. Ages are of pushes: a backup proves that a run ended well at that time. One that is dated in the
future (a clock was wrong) proves nothing about now.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from zfs_push_backups.plan.listing import Backup, Chains
from zfs_push_backups.plan.tree import parents_first
from zfs_push_backups.record import Record

CLOCKS_DIFFER = timedelta(hours=1)


class Freshness(Record):
    """The state of one dataset. `newest` None: nothing can be restored; `broken` counts backups without a chain."""

    dataset: str
    newest: Backup | None
    age: timedelta | None
    fresh: bool
    broken: int = 0


def freshness(
    backups: Iterable[Backup], datasets: Iterable[str], max_age: timedelta, now: datetime
) -> tuple[Freshness, ...]:
    """One entry for each of `datasets` (parents first). `backups` are those of one source; `now` has its time zone."""
    chains = Chains(backups)
    return tuple(_of(name, chains, max_age, now) for name in parents_first(set(datasets)))


def _of(dataset: str, chains: Chains, max_age: timedelta, now: datetime) -> Freshness:
    mine = [backup for backup in chains.backups if backup.dataset == dataset]
    whole = [backup for backup in mine if chains.whole(backup)]
    dated = [backup for backup in whole if backup.created <= now + CLOCKS_DIFFER]
    newest = max(dated or whole, key=lambda backup: (backup.created, backup.id), default=None)
    age = now - newest.created if newest else None
    return Freshness(dataset, newest, age, bool(dated) and age is not None and age <= max_age, len(mine) - len(whole))
