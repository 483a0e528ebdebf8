"""Send datasets to a host: by the configuration's tasks, ad hoc by --dataset, or a stream by --stdin."""

from __future__ import annotations

from zfs_push_backups.cli.parser import add_host, add_wait
from zfs_push_backups.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

# Digits: no chain is longer.
LONGEST_LEVEL = 9


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `push`."""
    add_host(parser)
    parser.add_argument("--task", action="append", default=[], metavar="NAME", help="only this task (repeatable)")
    parser.add_argument("--level", default="auto", metavar="auto|N", help="0: full; N: on the newest N-1; default auto")
    parser.add_argument("--snapshot", metavar="NAME", help="this snapshot instead of the newest that matches")
    parser.add_argument("--dry-run", action="store_true", help="show what would be sent; change nothing")
    parser.add_argument("--limit-upload", metavar="BYTES", help="at most this many bytes a second, e.g. 5MiB")
    add_wait(parser)
    group = parser.add_argument_group("without a task")
    group.add_argument("--dataset", metavar="POOL/DATASET", help="this dataset instead of the tasks")
    group.add_argument("--recipient", action="append", default=[], metavar="AGE", help="age recipient (repeatable)")
    group.add_argument("--recursive", action="store_true", help="the datasets below as well")
    group.add_argument("--include", action="append", default=[], metavar="PATTERN", help="only these (repeatable)")
    group.add_argument("--exclude", action="append", default=[], metavar="PATTERN", help="not these (repeatable)")
    group.add_argument("--create", action="store_true", help="take a snapshot first")
    group.add_argument("--raw", choices=("true", "false"), help="encrypted datasets: send as they are, or decrypted")
    group.add_argument("--stdin", metavar="POOL/DATASET@SNAPSHOT", help="take the stream from standard input")
    group.add_argument("--source", metavar="NAME", help="name of the machine that is backed up")


def parse_level(text: str) -> int | None:
    """`auto` is None; else a number from 0."""
    if text == "auto":
        return None
    if text.isascii() and text.isdigit() and len(text) <= LONGEST_LEVEL:
        return int(text)
    raise UsageError(f"--level {text[:40]!r} is neither `auto` nor a number from 0", hint="0 is a full backup")


def run(options: argparse.Namespace) -> int:
    """Run the pushes and print a summary."""
    from zfs_push_backups.cli.running import parse_rate, parse_wait, running
    from zfs_push_backups.run.options import PushOptions
    from zfs_push_backups.run.push import push

    request = PushOptions(
        config=options.config,
        host=options.host,
        endpoint=options.endpoint,
        region=options.region,
        tasks=tuple(options.task),
        level=parse_level(options.level),
        snapshot=options.snapshot,
        dry_run=options.dry_run,
        limit_upload=parse_rate(options.limit_upload),
        dataset=options.dataset,
        recipients=tuple(options.recipient),
        recursive=options.recursive,
        include=tuple(options.include),
        exclude=tuple(options.exclude),
        create=options.create,
        raw=None if options.raw is None else options.raw == "true",
        stdin=options.stdin,
        source=options.source,
        wait_seconds=parse_wait(options.wait),
    )
    with running(options) as run_context:
        push(request, run_context)
    return 0
