"""Encrypted, incremental ZFS backups in S3 or a directory: the importable package.

    from zfs_push_backups import push, restore, list_backups, check

Every use case has a blocking form (`push(...)`) and an awaitable one (`await push_async(...)`); cancelling the awaiting
task, or Ctrl-C in a script, cancels the job, drains it, and then raises. Importing this module loads nothing else of
the package, no third-party module, and installs no signal handler: names are resolved when first used.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .api import (
        check as check,
        check_async as check_async,
        list_backups as list_backups,
        list_backups_async as list_backups_async,
        push as push,
        push_async as push_async,
        restore as restore,
        restore_async as restore_async,
    )
    from .errors import ZfsPushBackupsError as ZfsPushBackupsError

__version__ = "0.1.0"
