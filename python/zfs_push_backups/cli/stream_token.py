"""Make the token with which `zfs send -t` goes on with a send stream that broke off, and say how much of it to keep.

Prints the commands to type next. Exit 1 where there is no token: the stream is whole, or can't be gone on with.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the words of `stream token`."""
    parser.add_argument("file", metavar="FILE|-", help="what there is of the stream; - is stdin")


def run(options: argparse.Namespace) -> int:
    """Print the token."""
    from zfs_push_backups.cli.running import running
    from zfs_push_backups.report.progress import emit_json, tell
    from zfs_push_backups.run.stream_token import as_text, token

    with running(options) as session:
        found = token(options.file, session, progress=not options.json)
    if options.json:
        emit_json(found.as_dict())
    else:
        tell(as_text(found))
    return 0
