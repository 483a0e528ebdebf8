"""Show the backups of a host: by source and dataset, each with its level, snapshot time and what it stands on."""

from __future__ import annotations

from zfs_push_backups.cli.parser import add_host

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `list`."""
    add_host(parser)
    parser.add_argument("--source", metavar="NAME", help="only this machine's")
    parser.add_argument("--dataset", metavar="POOL/DATASET", help="only this dataset's")
    parser.add_argument("-l", "--long", action="store_true", help="read the manifests: snapshots, sizes, groups")


def run(options: argparse.Namespace) -> int:
    """Print a table or one JSON document."""
    from zfs_push_backups.cli.running import running
    from zfs_push_backups.report.progress import emit_json, tell
    from zfs_push_backups.run.listing import as_table, list_backups
    from zfs_push_backups.run.options import ListOptions

    request = ListOptions(
        config=options.config,
        host=options.host,
        endpoint=options.endpoint,
        region=options.region,
        source=options.source,
        dataset=options.dataset,
        long=options.long,
    )
    with running(options) as run_context:
        listing = list_backups(request, run_context)
    if options.json:
        emit_json(listing.as_dict())
    else:
        tell(as_table(listing))
    return 0
