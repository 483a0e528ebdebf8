"""The command's entry: finds the subcommand, runs it, turns every ending into one line and an exit code.

Invariants: exit codes are those of DESIGN 6 (0, 1, 2, 3, 4, 129, 130, 143); no traceback for an expected failure.
Only the subcommand asked for is imported, and heavy modules only inside it, so that `--help` stays fast.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from types import ModuleType

    from zfs_push_backups.cli.parser import Parser
    from zfs_push_backups.errors import UsageError, ZfsPushBackupsError

PROGRAM = "zfs-push-backups"

DEFAULT_COMMAND = "push"
COMMANDS = {
    "push": "send datasets to a host (the default command)",
    "restore": "bring a backup back: to a new dataset, a file or stdout",
    "list": "show the backups of a host",
    "check": "look at configuration, keys, rights and freshness, and say what to do",
    "keygen": "make an age identity and print its recipient",
    "config": "print the configuration's JSON Schema",
    "completions": "print shell completions for bash, zsh or tcsh",
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0] in {"-h", "--help"}:
        # Written here, not by argparse: the overview must cost no more than a bare interpreter and a bit.
        sys.stdout.write(overview())
        return 0
    return guarded(words)


def guarded(words: list[str]) -> int:
    """Run the command line; every ending becomes one line and an exit code."""
    from zfs_push_backups.errors import ZfsPushBackupsError

    as_json = "--json" in words
    try:
        return dispatch(words)
    except ZfsPushBackupsError as error:
        return fail(error, as_json=as_json)
    except KeyboardInterrupt:
        sys.stderr.write(f"{PROGRAM}: interrupted\n")
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone; without this the interpreter complains once more while it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except Exception as error:  # noqa: BLE001  # the last line of defence against tracebacks
        from zfs_push_backups.report.failures import unexpected

        return fail(unexpected(error), as_json=as_json)


def dispatch(words: list[str]) -> int:
    """Find the subcommand and run it."""
    if words and words[0] in {"-V", "--version"}:
        from zfs_push_backups.cli.version import run_version

        return run_version(words[1:])
    name = DEFAULT_COMMAND
    if words and not words[0].startswith("-"):
        name, words = words[0], words[1:]
        if name not in COMMANDS:
            raise unknown_command(name)
    from zfs_push_backups.cli.parser import Parser, add_common

    module = load(name)
    parser = Parser(prog=f"{PROGRAM} {name}", description=module.__doc__)
    module.add_arguments(parser)
    add_common(parser)
    options = parser.parse_strictly(words)
    return run(module, options)


def run(module: ModuleType, options: argparse.Namespace) -> int:
    """Set up logging and run one subcommand."""
    from zfs_push_backups.report.logs import configure

    log_format = "json" if options.json and options.log_format == "auto" else options.log_format
    configure(verbosity=-1 if options.quiet else options.verbose, log_format=log_format)
    code: int = module.run(options)
    return code


def load(name: str) -> ModuleType:
    """Import the module of one subcommand."""
    import importlib

    return importlib.import_module(f"zfs_push_backups.cli.{name}")


def overview() -> str:
    """Write the top-level help: one line a command, none of them imported."""
    width = max(map(len, COMMANDS))
    listing = "\n".join(f"  {name:<{width}}  {text}" for name, text in COMMANDS.items())
    return f"""usage: {PROGRAM} [COMMAND] [OPTIONS]

Encrypted, incremental ZFS backups in S3 or a directory. Without a command: push.

commands:
{listing}

options:
  -h, --help     show this help
  -V, --version  versions of all parts (with --json as JSON)

`{PROGRAM} COMMAND --help` shows a command's options.
"""


def full_parser() -> Parser:
    """Make one parser with every subcommand in it, for completions."""
    from zfs_push_backups.cli.parser import Parser, add_common

    parser = Parser(prog=PROGRAM)
    parser.add_argument("-V", "--version", action="store_true", help="versions of all parts")
    subparsers = parser.add_subparsers(dest="command", parser_class=Parser)
    for name, text in COMMANDS.items():
        module = load(name)
        subparser = subparsers.add_parser(name, help=text, description=module.__doc__)
        module.add_arguments(subparser)
        add_common(subparser)
    return parser


def unknown_command(name: str) -> UsageError:
    """Name the nearest command."""
    import difflib

    from zfs_push_backups.errors import UsageError

    near = difflib.get_close_matches(name, COMMANDS, n=1)
    hint = f"did you mean `{PROGRAM} {near[0]}`?" if near else "commands: " + ", ".join(COMMANDS)
    return UsageError(f"unknown command {name!r}", hint=hint)


def fail(error: ZfsPushBackupsError, *, as_json: bool) -> int:
    """Show the error and return its exit code."""
    from zfs_push_backups.report.failures import show

    show(error, as_json=as_json)
    return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
