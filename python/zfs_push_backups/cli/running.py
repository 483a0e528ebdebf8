"""What every working subcommand stands in: stopping signals, the reporter, the session."""

from __future__ import annotations

import contextlib
import logging
import os
from typing import TYPE_CHECKING

from zfs_push_backups import engine
from zfs_push_backups.cli.signals import stopping_signals
from zfs_push_backups.config.quantities import parse_duration, parse_size
from zfs_push_backups.errors import Cancelled, UsageError, ZfsPushBackupsError
from zfs_push_backups.report.progress import choose_reporter
from zfs_push_backups.run.session import Session
from zfs_push_backups.run.shutdown import Shutdown
from zfs_push_backups.run.timeouts import DEFAULT_SECONDS, timeouts

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

LOWEST_RATE = 1024

log = logging.getLogger(__name__)


@contextlib.contextmanager
def running(options: argparse.Namespace) -> Iterator[Session]:
    """Give the session of one command; signals stop it while the block runs, and its cleanups run behind it."""
    stop = Shutdown()
    stop.timeouts = timeouts(DEFAULT_SECONDS, os.environ)
    with stopping_signals(stop, to_the_end=options.as_program) as numbers:
        engine.cancel_jobs_on_signals(sorted(numbers))
        try:
            yield Session(stop=stop, reporter=choose_reporter(as_json=options.json, quiet=options.quiet))
        except ZfsPushBackupsError as error:
            # What waits for a child knows that it has to stop, not which signal decides the exit code.
            if stop.requested:
                error.exit_code = 128 + stop.signal_number
                if isinstance(error, Cancelled):
                    error.signal_number = stop.signal_number
                _sum_up(stop)
            raise
        finally:
            stop.finish()


def _sum_up(stop: Shutdown) -> None:
    """Say in one line what the stop left done, resumable and pending, and how long it took."""
    summary = stop.finish()
    log.warning("%s", summary.line(), extra={"fields": summary.as_fields()})


def parse_wait(text: str | None) -> float | None:
    """`60` or `10m` as seconds."""
    if text is None:
        return None
    try:
        return parse_duration(f"{text}s" if text.isascii() and text.isdigit() else text).total_seconds()
    except ValueError:
        raise UsageError(f"--wait: found {text!r}; allowed: seconds such as 60, or a duration such as 10m") from None


def parse_rate(text: str | None) -> int | None:
    """`5MiB` as bytes a second."""
    if text is None:
        return None
    try:
        found = parse_size(text)
    except ValueError as error:
        raise UsageError(f"--limit-upload: {error}") from None
    if found < LOWEST_RATE:
        raise UsageError(f"--limit-upload: found {text!r}; allowed: at least 1KiB", hint="leave it out for no limit")
    return found
