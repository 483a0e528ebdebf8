"""Remove what unfinished runs of this machine left in a store. Every push does so by itself; nothing committed goes."""

from __future__ import annotations

from zfs_push_backups.cli.parser import add_host, add_wait

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `cleanup`."""
    add_host(parser)
    parser.add_argument("--source", metavar="NAME", help="name of the machine that is backed up")
    parser.add_argument("--dry-run", action="store_true", help="show every key that would go; change nothing")
    add_wait(parser)


def run(options: argparse.Namespace) -> int:
    """Sweep, and print what went."""
    from zfs_push_backups.cli.running import parse_wait, running
    from zfs_push_backups.report.progress import emit_json, tell
    from zfs_push_backups.run.cleanup import as_text, cleanup
    from zfs_push_backups.run.options import CleanupOptions

    request = CleanupOptions(
        config=options.config,
        host=options.host,
        endpoint=options.endpoint,
        region=options.region,
        source=options.source,
        dry_run=options.dry_run,
        wait_seconds=parse_wait(options.wait),
    )
    with running(options) as run_context:
        report = cleanup(request, run_context)
    if options.json:
        emit_json(report.as_dict())
    else:
        tell(as_text(report))
    return 0
