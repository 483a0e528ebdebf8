"""Print the configuration's JSON Schema, for editors and for checking files elsewhere."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the words of `config`."""
    parser.add_argument("what", choices=("schema",), help="what to print")


def run(options: argparse.Namespace) -> int:
    """Print the schema."""
    import json

    from zfs_push_backups.config.schema import json_schema
    from zfs_push_backups.report.progress import write_stdout

    del options
    write_stdout(json.dumps(json_schema(), indent=2, ensure_ascii=False))
    return 0
