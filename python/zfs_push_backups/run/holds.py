"""Holds of a push: target and base before the send, and exactly what is wanted at its start and end.

Invariant: only this host's tag is ever touched, and of that only what no other repository has noted.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from zfs_push_backups.errors import ZfsError
from zfs_push_backups.plan.history import Base
from zfs_push_backups.plan.holds import Need, Place, hold_tag, wanted
from zfs_push_backups.run.keeper import Keeper
from zfs_push_backups.run.reconciling import Reconciled, Reconciliation
from zfs_push_backups.run.survey import Survey
from zfs_push_backups.zfs import holds as zfs_holds

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from zfs_push_backups.catalogue.catalogue import Catalogue
    from zfs_push_backups.config.models import Config, Host, Task
    from zfs_push_backups.plan.holds import Unfinished
    from zfs_push_backups.plan.listing import Backup
    from zfs_push_backups.plan.snapshots import Point
    from zfs_push_backups.run.session import Session

log = logging.getLogger(__name__)


def take(  # noqa: PLR0913  # a hold needs all of it said
    session: Session,
    config: Config,  # noqa: ARG001  # both calls begin alike
    host: Host,
    repository: str,
    catalogue: Catalogue,
    *,
    dataset: str,
    points: Iterable[Point | Base],
    task: str | None,
    reason: str,
) -> None:
    """Hold what a send needs: its target and base. A bookmark as base needs nothing.

    Raises `ZfsError` where one can't be held: then nothing may be sent.
    """
    keeper = Keeper(session, catalogue, repository, hold_tag(host.name, repository))
    for given in points:
        session.stop.check()
        point = given.point if isinstance(given, Base) else given
        if isinstance(given, Base) and given.is_bookmark:
            continue
        try:
            keeper.hold(Place(dataset, point.guid), point.name, Need(task, reason))
        except ZfsError:
            # What is sent must be held; a base that is gone by now may have left its bookmark.
            is_bookmark = (
                isinstance(given, Base)
                and session.capabilities.bookmarks
                and (zfs_holds.guid_of(session.zfs, f"{dataset}#{point.name}") == point.guid)
            )
            if not is_bookmark:
                raise


def reconcile(  # noqa: PLR0913, PLR0917  # all that decides what is wanted
    session: Session,
    config: Config,
    host: Host,
    repository: str,
    catalogue: Catalogue,
    backups: Sequence[Backup],
    saved_runs: Sequence[Unfinished],
    *,
    tasks: Iterable[Task] = (),
    source: str | None = None,
) -> Reconciled:
    """Make this host's holds exactly those that are wanted for this repository.

    `backups` is what the store lists now, `saved_runs` what can be resumed; `tasks` are those of this run, so that an
    ad hoc one counts; `source` is the name it pushes under. What fails is a warning, and tried again by the next run.
    """
    keeper = Keeper(session, catalogue, repository, hold_tag(host.name, repository))
    seen = Survey(session, config, host, tasks)
    seen.look(saved_runs, keeper.own_notes())
    covered = seen.covered(backups, source)
    found = wanted(covered, saved_runs, seen.machine, can_bookmark=session.capabilities.bookmarks)
    work = Reconciliation(session, keeper, seen, found)
    work.make_bookmarks()
    work.change_holds()
    work.tidy_notes()
    work.destroy_bookmarks()
    if work.done.taken or work.done.released:
        log.info("holds: %d taken, %d released", len(work.done.taken), len(work.done.released))
    return work.done
