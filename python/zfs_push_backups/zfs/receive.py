"""`zfs receive` as a supervised child fed by the engine.

Invariants: a new dataset by default, `-F` only when the caller was told so by name; never mounted by us unless asked
(a restored root must not cover /). Rationale: zfs-fuse has no `-u`, so there the dataset is unmounted afterwards; its
stream carries no properties, so it can only have appeared at the place inherited from its parent.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from typing import TYPE_CHECKING, Self

from zfs_push_backups.errors import ShuttingDown, ZfsError
from zfs_push_backups.zfs.child import end_child
from zfs_push_backups.zfs.command import ZfsCommand, decode, failure, without_names

if TYPE_CHECKING:
    from zfs_push_backups.zfs.capabilities import Capabilities

FINISH_TIMEOUT_SECONDS = 600.0
ROLLBACK_SECONDS = 10.0
TICK_SECONDS = 0.1
EARLY_END_SECONDS = 5.0


class ReceiveProcess:
    """A running `zfs receive`. Use as a context manager: leaving it early ends the child, which rolls back."""

    def __init__(self, zfs: ZfsCommand, capabilities: Capabilities, target: str, *, force: bool) -> None:
        self._zfs = zfs
        flags = [*(("-u",) if capabilities.receive_unmounted else ()), *(("-F",) if force else ())]
        self.arguments = ("receive", *flags, target)
        self._process = zfs.start(self.arguments, stdin=subprocess.PIPE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None and not self._zfs.stopping():
            self._await_rollback()
        if self._process.poll() is None:
            end_child(self._process)
        elif self._process.stderr is not None:
            self._process.stderr.close()

    def _await_rollback(self) -> None:
        """Let the child meet the stream's end by itself: killed, it leaves zfs-fuse to roll back after our word."""
        self.close_pipe()
        deadline = time.monotonic() + ROLLBACK_SECONDS
        while time.monotonic() < deadline and not self._zfs.stopping():
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.communicate(timeout=TICK_SECONDS)
                return

    def fileno(self) -> int:
        """The writing end; the engine duplicates it, so close ours with `close_pipe` once its job has started."""
        if self._process.stdin is None:
            raise ZfsError("the pipe of zfs receive is closed")
        return self._process.stdin.fileno()

    def close_pipe(self) -> None:
        """Closes our writing end."""
        if self._process.stdin is not None:
            self._process.stdin.close()
            self._process.stdin = None

    def ended_early(self) -> ZfsError | None:
        """The error of a receive that closed its pipe by itself; None if it still runs or succeeded."""
        try:
            status = self._process.wait(EARLY_END_SECONDS)
        except subprocess.TimeoutExpired:
            return None
        if status == 0:
            return None
        return failure(self.arguments, self._read_words(), status)

    def finish(self) -> None:
        """Waits for the child after the whole stream was written; raises `ZfsError` in zfs's own words."""
        self.close_pipe()
        words = self._wait()
        if self._process.returncode != 0:
            raise failure(self.arguments, words, self._process.returncode)

    def _wait(self) -> str:
        waited = 0.0
        while True:
            try:
                return decode(self._process.communicate(timeout=TICK_SECONDS)[1])
            except subprocess.TimeoutExpired:
                waited += TICK_SECONDS
                if self._zfs.stopping():
                    end_child(self._process)
                    raise ShuttingDown("stopped while `zfs receive` ended") from None
                if waited >= FINISH_TIMEOUT_SECONDS:
                    end_child(self._process)
                    message = f"`zfs {' '.join(self.arguments)}` took the whole stream but did not end"
                    raise ZfsError(message) from None

    def _read_words(self) -> str:
        stderr = self._process.stderr
        if stderr is None or stderr.closed:
            return ""
        # A grandchild could hold stderr open for ever; what has been written by now is enough.
        os.set_blocking(stderr.fileno(), False)
        return decode(stderr.read() or b"")


def unmount(zfs: ZfsCommand, target: str) -> None:
    """Takes a freshly received dataset off the tree where `receive -u` doesn't exist; not mounted is fine."""
    zfs.attempt("unmount", target)


def mount(zfs: ZfsCommand, target: str) -> None:
    """Mount a dataset; one that is mounted already is fine."""
    arguments = ("mount", target)
    status, _, err = zfs.attempt(*arguments)
    if status != 0 and "already mounted" not in without_names(err):
        raise failure(arguments, err, status)
