"""Make the whole send stream out of the kept part of one that broke off and of what `zfs send -t` sent.

Proven record by record; what does not continue the kept part is refused, and nothing is written then.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the words of `stream splice`."""
    parser.add_argument("kept", metavar="KEPT", help="as much as `stream token` said, or all that there is")
    parser.add_argument("resumed", metavar="RESUMED|-", help="the output of zfs send -t; - is stdin")
    parser.add_argument(
        "--output",
        required=True,
        metavar="FILE|-",
        help="where the whole stream goes, for you alone to read; - is stdout",
    )
    parser.add_argument("--force", action="store_true", help="replace a file that exists, once the new one is whole")


def run(options: argparse.Namespace) -> int:
    """Splice, and say what there is now."""
    from zfs_push_backups.cli.running import running
    from zfs_push_backups.errors import UsageError
    from zfs_push_backups.report.logs import step
    from zfs_push_backups.report.progress import emit_json
    from zfs_push_backups.run.stream_splice import SpliceOptions, splice

    if options.json and options.output == "-":
        raise UsageError("--json and --output - both want stdout", hint="write the stream to a file")
    request = SpliceOptions(kept=options.kept, resumed=options.resumed, output=options.output, force=options.force)
    with running(options) as session:
        spliced = splice(request, session, progress=not options.json)
    if options.json:
        emit_json(spliced.as_dict())
    else:
        step(spliced.as_text())
    return 0
