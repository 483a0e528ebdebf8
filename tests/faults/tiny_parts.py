"""The command, but its configuration takes parts of any size, in bytes: very many parts of few bytes."""

from __future__ import annotations

from zfs_push_backups.cli.main import entry
from zfs_push_backups.config import fields

if __name__ == "__main__":
    # The models, which are not imported yet, take their limit from here.
    fields.PartSize = int
    entry()
