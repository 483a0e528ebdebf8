"""What one run shares: configuration, zfs, stop, reporter.

Invariant: zfs is looked for only when it is needed, so that list, check and restore to a file work without it.
"""

from __future__ import annotations

import functools
import logging
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from zfs_push_backups.config.choice import choose_host
from zfs_push_backups.config.load import DEFAULT_PATH, load
from zfs_push_backups.config.models import Config
from zfs_push_backups.plan.names import source_name
from zfs_push_backups.report.progress import Reporter
from zfs_push_backups.run.shutdown import Shutdown
from zfs_push_backups.run.timeouts import timeouts
from zfs_push_backups.zfs.capabilities import Capabilities, probe
from zfs_push_backups.zfs.command import ZfsCommand

if TYPE_CHECKING:
    from zfs_push_backups.config.models import Host
    from zfs_push_backups.run.options import HostOptions

MACHINE_ID_FILES = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))

log = logging.getLogger(__name__)


class Session:
    """The surroundings of one use case."""

    def __init__(self, *, stop: Shutdown | None = None, reporter: Reporter | None = None) -> None:
        self.stop = stop or Shutdown()
        self.reporter = reporter or Reporter()

    @functools.cached_property
    def zfs(self) -> ZfsCommand:
        """The zfs command; `ZfsError` where there is none."""
        return ZfsCommand(stopping=lambda: self.stop.requested)

    @functools.cached_property
    def capabilities(self) -> Capabilities:
        """What this zfs can do, probed once."""
        found = probe(self.zfs)
        log.debug("zfs capabilities", extra={"fields": found.as_dict()})
        return found

    def now(self) -> datetime:
        """The present moment, with its time zone."""
        return datetime.now(UTC)

    def configuration(self, options: HostOptions) -> Config:
        """Load the file named, else the default one if there is one; its warnings go to the log."""
        if options.config is not None:
            config = load(options.config)
        elif _default_counts(options):
            config = load(DEFAULT_PATH)
        else:
            config = Config()
        self.stop.timeouts = timeouts(config.shutdown_timeout.total_seconds(), os.environ)
        for warning in config.warnings:
            log.warning("%s", warning)
        return config

    def host(self, config: Config, options: HostOptions) -> Host:
        """Choose the host that the options mean."""
        return choose_host(config, options.host, endpoint=options.endpoint, region=options.region)


def own_source(said: str | None, config: Config, files: tuple[Path, ...] = MACHINE_ID_FILES) -> str:
    """Name this machine: as said, as configured, or by its host name and machine id."""
    if said or config.source:
        return said or config.source or ""
    return source_name(socket.gethostname(), machine_id(files))


def machine_id(files: tuple[Path, ...] = MACHINE_ID_FILES) -> str:
    """What stands in the first of these files that has something; empty where none has."""
    for path in files:
        try:
            text = path.read_text(encoding="ascii", errors="replace").strip()
        except OSError:
            continue
        if text:
            return text
    return ""


def _default_counts(options: HostOptions) -> bool:
    """Whether to load the default file: not where a URL makes it unnecessary and it isn't readable."""
    try:
        DEFAULT_PATH.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return "://" not in (options.host or "")
    return os.access(DEFAULT_PATH, os.R_OK) or "://" not in (options.host or "")
