"""How a failure looks: `zfs-push-backups: <what failed>: <why>`, a hint line, and the same as JSON.

Invariant: no traceback for an expected failure; an unexpected one is one line, its traceback goes to the log (-v).
"""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import Any

from zfs_push_backups.errors import InternalError, ZfsPushBackupsError
from zfs_push_backups.report.visible import visible_lines

PROGRAM = "zfs-push-backups"

log = logging.getLogger(__name__)


def describe(error: ZfsPushBackupsError) -> dict[str, Any]:
    """The error for machines."""
    return {
        "code": error.code,
        "message": error.message,
        "hint": error.hint or None,
        "exit_code": error.exit_code,
    }


def as_text(error: ZfsPushBackupsError) -> str:
    """The error for people: one line, then the hint if there is one."""
    text = f"{PROGRAM}: {error.message}"
    return visible_lines(f"{text}\n  hint: {error.hint}" if error.hint else text)


def show(error: ZfsPushBackupsError, *, as_json: bool) -> None:
    """Writes the error: text on stderr, with --json also one JSON object on stdout."""
    from zfs_push_backups.report.logs import write_stderr

    with contextlib.suppress(OSError):
        write_stderr(as_text(error))
    if as_json:
        from zfs_push_backups.report.progress import emit_json

        emit_json({"error": describe(error)})
        sys.stdout.flush()


def unexpected(error: BaseException) -> InternalError:
    """Wraps a defect: the traceback goes to the log, where -v shows it."""
    log.info("unexpected %s", type(error).__name__, exc_info=error)
    return InternalError(
        f"internal error: {type(error).__name__}: {error}", hint="run again with -v and report the traceback"
    )
