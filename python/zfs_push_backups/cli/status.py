"""Show what runs now, what can be gone on with, what is pending, and the last runs. Works beside a running push."""

from __future__ import annotations

from zfs_push_backups.cli.parser import add_config
from zfs_push_backups.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

LARGEST_LIMIT = 500


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `status`."""
    add_config(parser)
    parser.add_argument("--host", metavar="NAME|URL", help="only this host; else every one")
    parser.add_argument("--last", default="10", metavar="N", help="how many ended runs to show of each (default: 10)")


def run(options: argparse.Namespace) -> int:
    """Print a block a host, or one JSON document."""
    from zfs_push_backups.cli.running import running
    from zfs_push_backups.report.progress import emit_json, tell
    from zfs_push_backups.run.options import StatusOptions
    from zfs_push_backups.run.status import as_text, status

    request = StatusOptions(config=options.config, host=options.host, limit=parse_limit(options.last))
    with running(options) as run_context:
        found = status(request, run_context)
    if options.json:
        emit_json(found.as_dict())
    else:
        tell(as_text(found))
    return 0


def parse_limit(text: str) -> int:
    """A number of runs."""
    if text.isascii() and text.isdigit() and len(text) <= len(str(LARGEST_LIMIT)) and int(text) <= LARGEST_LIMIT:
        return int(text)
    raise UsageError(f"--last: found {text[:40]!r}; allowed: a number up to {LARGEST_LIMIT}")
