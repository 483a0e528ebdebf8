"""Make an age identity: the secret goes into a new file that only you can read, the recipient is printed."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `keygen`."""
    parser.add_argument("file", metavar="FILE", help="where the identity goes; an existing file is never overwritten")


def run(options: argparse.Namespace) -> int:
    """Make the identity."""
    from zfs_push_backups.run.keygen import keygen

    recipient = keygen(options.file)
    from zfs_push_backups.report.progress import emit_json, write_stdout

    if options.json:
        emit_json({"recipient": recipient, "identity_file": options.file})
    else:
        write_stdout(recipient)
        if not options.quiet:
            from zfs_push_backups.report.logs import step

            step(f"identity written to {options.file}: keep a copy off this machine, nothing restores without it")
    return 0
