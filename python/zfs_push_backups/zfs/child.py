"""Ends a zfs child for sure: kill its group, close our pipe ends, wait a bounded time.

Rationale: a send blocked in the kernel doesn't die before its pipe is closed (openzfs #12500), and one in
uninterruptible sleep never does: such a one is left behind rather than waited for.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess

KILL_WAIT_SECONDS = 5.0

log = logging.getLogger(__name__)


def end_child(process: subprocess.Popen[bytes], wait_seconds: float = KILL_WAIT_SECONDS) -> bool:
    """Kills the child's process group, closes our pipe ends and reaps it; False if it didn't die in time."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
    try:
        process.wait(wait_seconds)
    except subprocess.TimeoutExpired:
        log.warning("zfs process %d doesn't die (uninterruptible sleep?) and is left behind", process.pid)
        return False
    return True
