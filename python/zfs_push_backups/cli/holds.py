"""Show which snapshots are held for which task, why and how long; `holds release NAME...` frees them by name."""

from __future__ import annotations

from zfs_push_backups.cli.parser import add_host, add_wait
from zfs_push_backups.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

ACTION = "release"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `holds`."""
    parser.add_argument(
        "words", nargs="*", metavar="release POOL/DATASET@SNAPSHOT", help="free these; without: list all"
    )
    parser.add_argument("--all", action="store_true", help="with release: free every one (of the host named)")
    add_wait(parser)
    add_host(parser)


def run(options: argparse.Namespace) -> int:
    """Print a table or one JSON document; or release."""
    from zfs_push_backups.cli.running import parse_wait, running
    from zfs_push_backups.report.progress import emit_json, tell
    from zfs_push_backups.run.held import as_table, list_holds
    from zfs_push_backups.run.options import HoldsOptions

    action, names = options.words[:1], tuple(options.words[1:])
    if action not in ([], [ACTION]):
        raise UsageError(f"holds: unknown action {action[0]!r}", hint="`holds` lists; `holds release NAME...` frees")
    if not action and (options.all or options.wait):
        raise UsageError("--all and --wait go with `holds release` only", hint="`holds` alone lists every hold")
    request = HoldsOptions(
        config=options.config,
        host=options.host,
        endpoint=options.endpoint,
        region=options.region,
        names=names,
        every=options.all,
        wait_seconds=parse_wait(options.wait),
    )
    with running(options) as run_context:
        if action:
            from zfs_push_backups.run.release import as_lines, release_holds

            freed = release_holds(request, run_context)
            shown: dict[str, list[Any]] = {"released": list(freed)}
            text = as_lines(freed)
        else:
            rows = list_holds(request, run_context)
            shown = {"holds": [row.as_dict() for row in rows]}
            text = as_table(rows)
    if options.json:
        emit_json(shown)
    else:
        tell(text)
    return 0
