"""Look at configuration, keys, zfs, connectivity, rights and freshness: a line is ok, warn or FAIL and what to do."""

from __future__ import annotations

from zfs_push_backups.cli.parser import add_host

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `check`."""
    add_host(parser)
    parser.add_argument("--recipient", action="append", default=[], metavar="AGE", help="check this recipient too")
    parser.add_argument("--max-age", metavar="SPAN", help="fail when a task's newest backup is older, e.g. 26h")
    parser.add_argument("--read-only", action="store_true", help="don't write the small test objects")


def run(options: argparse.Namespace) -> int:
    """Print the findings; 0 when nothing failed, else 1."""
    from zfs_push_backups.cli.running import running
    from zfs_push_backups.report.progress import emit_json, tell
    from zfs_push_backups.run.check import as_text, check
    from zfs_push_backups.run.options import CheckOptions

    request = CheckOptions(
        config=options.config,
        host=options.host,
        endpoint=options.endpoint,
        region=options.region,
        recipients=tuple(options.recipient),
        max_age=options.max_age,
        write=not options.read_only,
    )
    with running(options) as run_context:
        report = check(request, run_context)
    if options.json:
        emit_json(report.as_dict())
    else:
        tell(as_text(report))
    return 0 if report.ok else 1
