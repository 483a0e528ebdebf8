"""Print shell completions, to be kept for example as /etc/bash_completion.d/zfs-push-backups."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the words of `completions`."""
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"), help="for which shell")


def run(options: argparse.Namespace) -> int:
    """Print the script."""
    import shtab

    from zfs_push_backups.cli.main import full_parser
    from zfs_push_backups.report.progress import write_stdout

    write_stdout(shtab.complete(full_parser(), shell=options.shell))
    return 0
