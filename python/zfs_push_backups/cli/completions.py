"""Print shell completions, to be kept for example as /etc/bash_completion.d/zfs-push-backups."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

FILES = frozenset({"FILE", "KEPT", "RESUMED"})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the words of `completions`."""
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"), help="for which shell")


def run(options: argparse.Namespace) -> int:
    """Print the script."""
    import shtab

    from zfs_push_backups.cli.main import full_parser
    from zfs_push_backups.report.progress import write_stdout

    parser = full_parser()
    complete_files(parser, shtab.FILE)
    write_stdout(shtab.complete(parser, shell=options.shell))
    return 0


def complete_files(parser: argparse.ArgumentParser, files: object) -> None:
    """Have the names of files completed where one is wanted, in every command."""
    for action in parser._actions:  # noqa: SLF001  # argparse has no other way to ask
        if isinstance(action.choices, dict):
            for below in action.choices.values():
                complete_files(below, files)
        elif any(word in FILES for word in str(action.metavar).split("|")):
            action.complete = files  # type: ignore[attr-defined]  # read by shtab
