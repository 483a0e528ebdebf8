"""Encrypted, incremental ZFS backups in S3 or a directory: the importable package.

    from zfs_push_backups import push, restore, list_backups, check

Every use case has a blocking form (`push(...)`) and an awaitable one (`await push_async(...)`); cancelling the awaiting
task, or Ctrl-C in a script, cancels the job, drains it, and then raises. Importing this module loads nothing else of
the package, no third-party module, and installs no signal handler: names are resolved when first used.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from zfs_push_backups.errors import ZfsPushBackupsError
    from zfs_push_backups.run.library import (
        check,
        check_async,
        list_backups,
        list_backups_async,
        push,
        push_async,
        restore,
        restore_async,
    )

__version__ = "0.1.0"

__all__ = [
    "ZfsPushBackupsError",
    "__version__",
    "check",
    "check_async",
    "list_backups",
    "list_backups_async",
    "push",
    "push_async",
    "restore",
    "restore_async",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    home = "zfs_push_backups.errors" if name == "ZfsPushBackupsError" else "zfs_push_backups.run.library"
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
