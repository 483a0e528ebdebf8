"""Makes an age identity in a new file of mode 0600. The secret is never printed, logged or overwritten."""

from __future__ import annotations

import os
import time

from zfs_push_backups import engine
from zfs_push_backups.errors import AccessDenied, UsageError


def keygen(path: str) -> str:
    """Write a new identity to `path`, which must not exist; return its recipient."""
    secret, recipient = engine.generate_identity()
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise UsageError(f"{path} exists and is never overwritten", hint="name a file that doesn't exist") from None
    except OSError as error:
        raise AccessDenied(
            f"{path} can't be written: {error.strerror}", hint="name a folder you may write to"
        ) from error
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"# created: {created}\n# public key: {recipient}\n{secret}\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        # Half an identity opens nothing, and would keep the next attempt from this name.
        os.unlink(path)  # noqa: PTH108
        raise AccessDenied(f"{path} can't be written: {error.strerror}", hint="make room, or name another") from error
    return recipient
