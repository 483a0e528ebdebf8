"""What every working subcommand stands in: stopping signals, the reporter, the session."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from zfs_push_backups.config.quantities import parse_size
from zfs_push_backups.errors import Cancelled, UsageError
from zfs_push_backups.report.progress import choose_reporter
from zfs_push_backups.run.session import Session
from zfs_push_backups.run.signals import stopping_signals
from zfs_push_backups.run.stop import Stop

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

LOWEST_RATE = 1024


@contextlib.contextmanager
def running(options: argparse.Namespace) -> Iterator[Session]:
    """Give the session of one command; signals stop it while the block runs."""
    stop = Stop()
    with stopping_signals(stop):
        try:
            yield Session(stop=stop, reporter=choose_reporter(as_json=options.json, quiet=options.quiet))
        except Cancelled as error:
            # What waits for a child knows that it has to stop, not which signal decides the exit code.
            if stop.requested:
                error.signal_number, error.exit_code = stop.signal_number, 128 + stop.signal_number
            raise


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
