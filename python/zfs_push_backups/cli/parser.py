"""The argument parser all commands share: one clear line for a usage error, the nearest option, no abbreviations.

Rationale: argparse alone fits the start-up limit of three bare interpreters; its default help formatter would import
shutil (and with it zlib, bz2 and lzma) only to learn the width of the terminal.
"""

from __future__ import annotations

import argparse
import os
import sys

from zfs_push_backups.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, NoReturn

PROGRAM = "zfs-push-backups"
DEFAULT_CONFIG = "/etc/zfs-push-backups/config.yaml"


class Formatter(argparse.HelpFormatter):
    """Help as wide as the terminal, at most 100 columns."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28, width=min(_columns(), 100) - 2)


class Once(argparse.Action):
    """Stores the value of an option that may be said once: of two values one would silently count for nothing."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: Any = None
    ) -> None:
        """Store it."""
        if option_string is not None and isinstance(parser, Parser):
            if self.dest in parser.said:
                raise UsageError(f"{option_string} is said twice", hint="say it once, or run the command for each")
            parser.said.add(self.dest)
        setattr(namespace, self.dest, values)


# No word of a command line can hold it: marks those behind `--`, which are no options whatever they begin with.
_BEHIND = "\0"


class Parser(argparse.ArgumentParser):
    """Raises `UsageError` where argparse would print its usage and exit."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", Formatter)
        options.setdefault("allow_abbrev", False)
        super().__init__(**options)
        self.said: set[str] = set()
        for name in (None, "store"):
            self.register("action", name, Once)

    def error(self, message: str) -> NoReturn:
        """One line, and how to learn more."""
        raise UsageError(message, hint=f"see `{self.prog} --help`")

    def print_help(self, file: Any = None) -> None:
        """Write the help; argparse would not say that it could not."""
        try:
            (sys.stdout if file is None else file).write(self.format_help())
        except OSError as error:
            from zfs_push_backups.report.progress import StdoutLost

            raise StdoutLost(error.errno, error.strerror) from error

    def parse_strictly(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parse; an option or word that isn't known is refused with the nearest one that is."""
        self.said.clear()
        words = list(arguments)
        if "--" in words:
            at = words.index("--")
            words[at:] = [_BEHIND + word for word in words[at + 1 :]]
        # Words may stand before, between and behind the options.
        found, unknown = self.parse_known_intermixed_args(words)
        if unknown:
            self.refuse(unknown[0])
        return found

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        """Refuse `--NAME=--`: argparse would take the word out, and leave no value, or an empty list."""
        if action.option_strings and "--" in arg_strings:
            raise argparse.ArgumentError(action, "found '--', which is no value")
        values = super()._get_values(action, arg_strings)
        if isinstance(values, list):
            return [_unmarked(value) for value in values]
        return _unmarked(values)

    def refuse(self, word: str) -> NoReturn:
        """Refuse one word of the command line."""
        import difflib

        name = word.partition("=")[0]
        if not name.startswith("-"):
            raise UsageError(
                f"unexpected argument {_unmarked(word)!r}",
                hint=f"options only here; the command stands first: see `{PROGRAM} --help`",
            )
        near = difflib.get_close_matches(name, self._option_string_actions, n=1)
        hint = f"did you mean {near[0]}?" if near else f"see `{self.prog} --help`"
        raise UsageError(f"unknown option {name}", hint=hint)


def add_common(parser: argparse.ArgumentParser) -> None:
    """Add the options of every command."""
    group = parser.add_argument_group("output")
    group.add_argument("--json", action="store_true", help="results as JSON on stdout")
    group.add_argument("-v", "--verbose", action="count", default=0, help="more log on stderr; -vv for details")
    group.add_argument("-q", "--quiet", action="store_true", help="errors only")
    group.add_argument(
        "--log-format",
        choices=("auto", "text", "json", "journal"),
        default="auto",
        help="log on stderr: auto takes journal fields under systemd, JSON with --json, else text",
    )


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add the configuration file's option."""
    parser.add_argument("--config", metavar="FILE", help=f"configuration (default: {DEFAULT_CONFIG})")


def add_host(parser: argparse.ArgumentParser) -> None:
    """Add what names a host, by configuration or ad hoc."""
    add_config(parser)
    parser.add_argument("--host", metavar="NAME|URL", help="a host of the configuration, or s3://... or file:///...")
    parser.add_argument("--endpoint", metavar="URL", help="S3 endpoint of an ad hoc host (absent: AWS)")
    parser.add_argument("--region", metavar="NAME", help="S3 region of an ad hoc host")


def add_wait(parser: argparse.ArgumentParser) -> None:
    """Add how long to wait for another run's lock."""
    parser.add_argument("--wait", metavar="S", help="wait so long for another run on the host: seconds, or 10m")


def _unmarked(value: Any) -> Any:
    return value.removeprefix(_BEHIND) if isinstance(value, str) else value


def _columns() -> int:
    try:
        return int(os.environ["COLUMNS"])
    except (KeyError, ValueError):
        pass
    try:
        return os.get_terminal_size(1).columns or 100
    except OSError:
        return 100
