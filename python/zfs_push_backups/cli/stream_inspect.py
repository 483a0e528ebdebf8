"""Say what is in a send stream (records, objects, sizes, flags) and whether it is whole: exit 0 only then, else 1.

Every kind is taken: compound (-R, -I, -p), redacted, resumed (-t), raw, deduplicated; of either byte order.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the words of `stream inspect`."""
    parser.add_argument("file", metavar="FILE|-", help="the output of zfs send; - is stdin")


def run(options: argparse.Namespace) -> int:
    """Print the report; what is not whole also gets its line of error."""
    from zfs_push_backups.cli.running import running
    from zfs_push_backups.report.failures import describe, show
    from zfs_push_backups.report.progress import emit_json, tell
    from zfs_push_backups.run.stream_inspect import as_text, inspect

    with running(options) as session:
        found = inspect(options.file, session, progress=not options.json)
    failure = found.failure
    if options.json:
        emit_json({**found.as_dict(), **({"error": describe(failure)} if failure else {})})
    else:
        tell(as_text(found))
    if failure is None:
        return 0
    show(failure, as_json=False)
    return failure.exit_code
