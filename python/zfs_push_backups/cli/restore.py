"""Bring a backup back, with the whole chain it stands on: to a new dataset, a file or stdout."""

from __future__ import annotations

from zfs_push_backups.cli.parser import add_host

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `restore`."""
    add_host(parser)
    what = parser.add_argument_group("what")
    what.add_argument("--task", metavar="NAME", help="the dataset of this task")
    what.add_argument("--dataset", metavar="POOL/DATASET", help="the dataset as it was named at the source")
    what.add_argument("--source", metavar="NAME", help="the machine it was on, where the host holds several")
    what.add_argument("--snapshot", metavar="NAME", help="this snapshot instead of the newest")
    what.add_argument(
        "--at", metavar="TIME", help="the newest snapshot not younger than this, e.g. 2026-11-21T01:00:00Z"
    )
    what.add_argument("--backup", metavar="ID", help="this very backup, as `list` shows it")
    what.add_argument("--group", metavar="ID", help="the whole tree that was pushed together under this id")
    what.add_argument("--recursive", action="store_true", help="the datasets below as well, as they were at that time")
    what.add_argument("--identity", action="append", default=[], metavar="FILE", help="age identity or SSH key file")
    where = parser.add_argument_group("where to")
    where.add_argument("--to", metavar="POOL/DATASET", help="receive into this new dataset")
    where.add_argument("--output", metavar="FILE|-", help="write one backup's stream to a file or stdout instead")
    where.add_argument(
        "--force", action="store_true", help="receive -F into a dataset that exists: it loses newer data"
    )
    where.add_argument("--mount", action="store_true", help="mount the dataset when it is complete")
    where.add_argument("--properties", action="store_true", help="set the recorded properties, but for those below")
    where.add_argument("--mountpoints", action="store_true", help="also set mountpoint, canmount and sharing")
    parser.add_argument("--dry-run", action="store_true", help="show what would be restored; read no part")


def run(options: argparse.Namespace) -> int:
    """Restore and print what exists now."""
    from zfs_push_backups.cli.running import running
    from zfs_push_backups.run.options import RestoreOptions
    from zfs_push_backups.run.restore import restore

    request = RestoreOptions(
        config=options.config,
        host=options.host,
        endpoint=options.endpoint,
        region=options.region,
        task=options.task,
        dataset=options.dataset,
        source=options.source,
        snapshot=options.snapshot,
        at=options.at,
        backup=options.backup,
        group=options.group,
        recursive=options.recursive,
        identities=tuple(options.identity),
        to=options.to,
        output=options.output,
        force=options.force,
        mount=options.mount,
        properties=options.properties,
        mountpoints=options.mountpoints,
        dry_run=options.dry_run,
    )
    if options.json and options.output == "-":
        from zfs_push_backups.errors import UsageError

        raise UsageError("--json and --output - both want stdout", hint="write the stream to a file")
    with running(options) as run_context:
        restore(request, run_context)
    return 0
