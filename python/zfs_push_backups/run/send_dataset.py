"""One stream of a dataset: sent whole, or gone on with in the cheapest way that is proven.

Invariant: what `zfs send -t` yields is joined only behind a part that came out as it is stored. Whatever else it
yields, the stream is read again from its start, with the reason in the log; parts that were joined before such a
refusal do not count then.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from zfs_push_backups.errors import ResumeImpossible, SourceFailed, StreamRefused
from zfs_push_backups.run.push_stream import StreamPush

if TYPE_CHECKING:
    from zfs_push_backups.catalogue.records import SavedRun
    from zfs_push_backups.errors import ZfsPushBackupsError
    from zfs_push_backups.run.push_stream import Shipment
    from zfs_push_backups.run.push_task import Destination
    from zfs_push_backups.run.results import PushResult
    from zfs_push_backups.run.session import Session

log = logging.getLogger(__name__)

FOR_GOOD: Final = frozenset({"engine.splice_refused", "engine.prefix_differs", ResumeImpossible.code})
NO_WORD_OF_IT: Final = frozenset({"engine.foreign_parts", "engine.source_stalled", "engine.source_read"})


def send_dataset(shipment: Shipment, session: Session, destination: Destination) -> PushResult:
    """Send one stream and commit it."""
    push = StreamPush(shipment, session, destination)
    resumption = shipment.resumption
    if resumption is None or resumption.reread is not None:
        return push.send()
    try:
        return push.splice()
    except (ResumeImpossible, SourceFailed, StreamRefused) as error:
        stuck = is_stuck(error, resumption.run, added=push.added_parts > 0)
        if not stuck and not is_refusal(error, proven=push.proven_parts > 0):
            raise
        log.warning(
            "%s can't be gone on with where it broke off, so it is read again from its start: %s", push.name, error
        )
        if stuck or error.code in FOR_GOOD:
            destination.saved.runs.splice_refused(push.run.id, error.message)
        again = replace(resumption, run=push.run, reread=error.message)
    return StreamPush(replace(shipment, resumption=again), session, destination).send()


def is_refusal(error: ZfsPushBackupsError, *, proven: bool) -> bool:
    """Whether a failed splice says that it can't be done, and not that the source or store has trouble of its own.

    Once a part was proven, a sender that fails is one that broke off: the next run goes on from there.
    """
    return error.code in FOR_GOOD or (not proven and error.code not in NO_WORD_OF_IT)


def is_stuck(error: ZfsPushBackupsError, run: SavedRun, *, added: bool) -> bool:
    """Whether the sender failed as it did the last time and not a part further on: so it would for ever."""
    return isinstance(error, SourceFailed) and not added and error.message == run.error
