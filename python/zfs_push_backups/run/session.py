"""What one run shares: configuration, host, zfs, stop, reporter; and how it waits for the engine.

Invariants: zfs is looked for only when it is needed, so that list, check and restore to a file work without it; every
job is attached to the stop while it runs and drained before anything else happens.
"""

from __future__ import annotations

import functools
import logging
import os
from typing import TYPE_CHECKING

from zfs_push_backups import engine
from zfs_push_backups.config.choice import choose_host
from zfs_push_backups.config.load import DEFAULT_PATH, load
from zfs_push_backups.config.models import Config
from zfs_push_backups.errors import Cancelled
from zfs_push_backups.report.logs import active_handler, forward_engine_events
from zfs_push_backups.report.progress import Reporter
from zfs_push_backups.run.stop import Stop
from zfs_push_backups.zfs.capabilities import Capabilities, probe
from zfs_push_backups.zfs.command import ZfsCommand

if TYPE_CHECKING:
    from zfs_push_backups.config.models import Host
    from zfs_push_backups.run.options import HostOptions

log = logging.getLogger(__name__)


class Session:
    """The surroundings of one use case."""

    def __init__(self, *, stop: Stop | None = None, reporter: Reporter | None = None) -> None:
        self.stop = stop or Stop()
        self.reporter = reporter or Reporter()

    @functools.cached_property
    def zfs(self) -> ZfsCommand:
        """The zfs command; `ZfsError` where there is none."""
        return ZfsCommand(stopping=lambda: self.stop.requested)

    @functools.cached_property
    def capabilities(self) -> Capabilities:
        """What this zfs can do, probed once."""
        return probe(self.zfs)
