"""Hooks around a task: commands as argument lists, run without a shell, in their own session.

A failing `before` hook skips its task unless `on_error: continue`; `after` hooks learn the outcome from ZPB_STATUS (ok
or failed) and run after a stop as well, since what a `before` hook froze has to be thawed. Their output goes to the
log, never to stdout, which may carry a result. A process that a hook leaves behind with its output still open is not
waited for.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

from zfs_push_backups.errors import HookFailed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from zfs_push_backups.run.shutdown import Shutdown

TICK_SECONDS = 0.1
LAST_WORDS_SECONDS = 2.0
SHOWN_OUTPUT = 500

log = logging.getLogger(__name__)


def run_hook(argv: Sequence[str], variables: Mapping[str, str], stop: Shutdown | None) -> None:
    """Run one hook to its end, or until `stop`; raise `HookFailed` when it can't start or ends with a status but 0."""
    name = argv[0]
    try:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **variables},
            start_new_session=True,
        )
    except OSError as error:
        raise HookFailed(
            f"hook {name} can't run: {error.strerror}", hint="hooks are argument lists; name the program by its path"
        ) from error
    output = _wait(process, stop)
    for line in output.splitlines():
        log.info("hook %s: %s", name, line)
    if process.returncode != 0:
        tail = output.strip()[-SHOWN_OUTPUT:].replace("\n", "; ")
        raise HookFailed(f"hook {name} ended with status {process.returncode}" + (f": {tail}" if tail else ""))


def _wait(process: subprocess.Popen[bytes], stop: Shutdown | None) -> str:
    over_since: float | None = None
    with process:
        while True:
            try:
                return process.communicate(timeout=TICK_SECONDS)[0].decode("utf-8", "replace")
            except subprocess.TimeoutExpired as expired:
                if stop is not None and stop.requested:
                    _end(process)
                    raise stop.as_error() from None
                if process.poll() is None:
                    continue
                over_since = over_since or time.monotonic()
                if time.monotonic() - over_since > LAST_WORDS_SECONDS:
                    log.warning(
                        "the hook ended, but something that it started keeps its output open; send that elsewhere"
                    )
                    return (expired.output or b"").decode("utf-8", "replace")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask the hook's session to end, then end it; the group may be gone already."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.communicate(timeout=2)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
