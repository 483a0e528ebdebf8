"""The command's entry: finds the subcommand, runs it, turns every ending into one line and an exit code.

Invariants: exit codes are those of DESIGN 6 (0, 1, 2, 3, 4, 129, 130, 143); no traceback for an expected failure.
Only the subcommand asked for is imported, and heavy modules only inside it, so that `--help` stays fast.
"""

from __future__ import annotations

import errno
import gc
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
    "status": "show what runs, what can be gone on with, what is pending, and the last runs",
    "forget-run": "give an unfinished run up, so that the next push begins anew",
    "cleanup": "remove what unfinished runs left in a store",
    "holds": "show which snapshots are held, why and how long; release them",
    "keygen": "make an age identity and print its recipient",
    "stream inspect": "say what is in a send stream, and whether it is whole",
    "stream token": "make the token that goes on with a send stream that broke off",
    "stream splice": "make a whole send stream of the kept part and the resumed one",
    "config": "print the configuration's JSON Schema",
    "completions": "print shell completions for bash, zsh or tcsh",
}


# The first words of commands that have two.
GROUPS = frozenset(name.partition(" ")[0] for name in COMMANDS if " " in name)


def entry() -> None:
    """Run the command line and end the process.

    Everything is settled then. The interpreter's own end would take time, and would give signals their default back:
    one that came meanwhile would decide how the command ended.
    """
    os._exit(main())


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    fill_closed_descriptors()
    search_less_for_garbage()
    if words and words[0] in {"-h", "--help"}:
        # Written here, not by argparse: the overview must cost no more than a bare interpreter and a bit.
        return settled(show_help(overview()))
    return settled(guarded(words, as_program=arguments is None))


def show_help(text: str) -> int:
    """Write it; return the exit code."""
    try:
        sys.stdout.write(text)
    except OSError as error:
        complain_of_stdout(error)
        return 1
    return 0


def fill_closed_descriptors() -> None:
    """Fill standard descriptors that are closed, lest a file or socket of ours gets their number and their data.

    Reading 0 and writing to 1 stay errors; what is logged to 2 goes nowhere.
    """
    for number, mode in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w", encoding="utf-8", errors="backslashreplace", closefd=False))  # noqa: SIM115


def search_less_for_garbage() -> None:
    """Let imports pass: their objects stay until the exit, and searching them took a seventh of a start."""
    gc.set_threshold(20_000)


def settled(code: int) -> int:
    """Write out what is buffered: what stdout loses is a failure, a log that nobody takes is not."""
    if (lost := unwritable(1)) is not None:
        complain_of_stdout(lost)
        code = code or 1
    unwritable(2)
    return code


def unwritable(number: int) -> OSError | None:
    """Flush stdout or stderr; where that fails the rest goes nowhere, else the interpreter decides the exit code."""
    try:
        (sys.stdout if number == 1 else sys.stderr).flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), number)
        return error
    return None


def complain_of_stdout(error: OSError) -> None:
    """One line, unless the reader of what was merely shown has simply gone."""
    from zfs_push_backups.errors import AccessDenied
    from zfs_push_backups.report.progress import EventsLost

    if error.errno != errno.EPIPE or isinstance(error, EventsLost):
        fail(AccessDenied(f"stdout can't be written: {error.strerror}"), as_json=False)


def guarded(words: list[str], *, as_program: bool) -> int:
    """Run the command line; every ending becomes one line and an exit code."""
    from zfs_push_backups.errors import ZfsPushBackupsError

    as_json = "--json" in words
    try:
        return dispatch(words, as_program=as_program)
    except ZfsPushBackupsError as error:
        return fail(error, as_json=as_json)
    except SystemExit as error:
        # argparse's, after a command's --help.
        return int(error.code or 0)
    except KeyboardInterrupt:
        sys.stderr.write(f"{PROGRAM}: interrupted\n")
        return 130
    except Exception as error:  # noqa: BLE001  # the last line of defence against tracebacks
        from zfs_push_backups.report.failures import unexpected
        from zfs_push_backups.report.progress import StdoutLost

        if isinstance(error, StdoutLost):
            unwritable(1)
            complain_of_stdout(error)
            return 1
        return fail(unexpected(error), as_json=as_json)


def dispatch(words: list[str], *, as_program: bool) -> int:
    """Find the subcommand and run it."""
    if words and words[0] in {"-V", "--version"}:
        from zfs_push_backups.cli.version import run_version

        return run_version(words[1:])
    name, words = command_of(words)
    if not name:
        return show_help(overview(f"{words[0]} "))
    from zfs_push_backups.cli.parser import Parser, add_common

    module = load(name)
    parser = Parser(prog=f"{PROGRAM} {name}", description=module.__doc__)
    module.add_arguments(parser)
    add_common(parser)
    options = parser.parse_strictly(words)
    options.as_program = as_program
    return run(module, options)


def command_of(words: list[str]) -> tuple[str, list[str]]:
    """Part the command from its words; the name is empty where the help of a group of commands is asked for."""
    if not words or words[0].startswith("-"):
        return DEFAULT_COMMAND, words
    pair = " ".join(words[:2])
    if pair in COMMANDS:
        return pair, words[2:]
    if words[0] in COMMANDS:
        return words[0], words[1:]
    if words[0] in GROUPS and words[1:2] in (["-h"], ["--help"]):
        return "", words
    raise unknown_command(pair if words[0] in GROUPS else words[0])


def run(module: ModuleType, options: argparse.Namespace) -> int:
    """Set up logging and run one subcommand."""
    from zfs_push_backups.cli.hardening import forbid_core_dumps
    from zfs_push_backups.report.logs import configure

    log_format = "json" if options.json and options.log_format == "auto" else options.log_format
    configure(verbosity=-1 if options.quiet else options.verbose, log_format=log_format)
    forbid_core_dumps()
    code: int = module.run(options)
    return code


def load(name: str) -> ModuleType:
    """Import the module of one subcommand."""
    import importlib

    return importlib.import_module(f"zfs_push_backups.cli.{name.replace('-', '_').replace(' ', '_')}")


def overview(beginning: str = "") -> str:
    """Write the top-level help: one line a command, none of them imported; only those with that beginning."""
    width = max(map(len, COMMANDS))
    listing = "\n".join(f"  {name:<{width}}  {text}" for name, text in COMMANDS.items() if name.startswith(beginning))
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
    groups = {
        name: subparsers.add_parser(name, help=f"work on {name}s").add_subparsers(dest="action", parser_class=Parser)
        for name in sorted(GROUPS)
    }
    for name, text in COMMANDS.items():
        module = load(name)
        group, _, action = name.rpartition(" ")
        home = groups.get(group, subparsers)
        subparser = home.add_parser(action, help=text, description=module.__doc__)
        module.add_arguments(subparser)
        add_common(subparser)
    return parser


def unknown_command(name: str) -> UsageError:
    """Name the nearest command."""
    import difflib

    from zfs_push_backups.errors import UsageError

    group = name.partition(" ")[0]
    known = [command for command in COMMANDS if command.startswith(f"{group} ")] or list(COMMANDS)
    near = [] if name in GROUPS else difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean `{PROGRAM} {near[0]}`?" if near else "commands: " + ", ".join(known)
    return UsageError(f"unknown command {name!r}", hint=hint)


def fail(error: ZfsPushBackupsError, *, as_json: bool) -> int:
    """Show the error and return its exit code, which stands whether or not anybody can be told."""
    import contextlib

    from zfs_push_backups.report.failures import show

    with contextlib.suppress(OSError):
        show(error, as_json=as_json)
    return error.exit_code


if __name__ == "__main__":
    entry()
