"""`zfs send` as a supervised child: its pipe goes to the engine, its exit status decides whether anything may commit.

Invariants: one dataset, one snapshot, one stream (never -R, -I or -p); the child is never signalled but to end it; the
verdict is reported exactly once, after the child is reaped. Rationale: the end of the pipe says nothing: a killed
`zfs send` of zfs-fuse leaves its daemon writing on to a perfect END.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import signal
import subprocess
import threading
from typing import TYPE_CHECKING, Literal, Self

from zfs_push_backups.errors import SourceFailed, ZfsError
from zfs_push_backups.zfs.child import end_child
from zfs_push_backups.zfs.command import ZfsCommand, decode, failure, first_words, spell

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from zfs_push_backups.zfs.capabilities import Capabilities
    from zfs_push_backups.zfs.datasets import Dataset
    from zfs_push_backups.zfs.snapshots import Snapshot

PIPE_BYTES = 1 << 20
DEFAULT_PIPE_BYTES = 65536
ESTIMATE_TIMEOUT_SECONDS = 120.0
STDERR_LIMIT = 64 * 1024

log = logging.getLogger(__name__)

Verdict = Literal["success", "failed", "unknown"]


class SendProcess:
    """A running `zfs send`. Use as a context manager: leaving it ends the child and reaps it.

    Hand `fileno()` to the engine, then `close_pipe()`, then `supervise(report)`: `report(verdict, message)` is called
    once, on a thread of this object, when the child is gone.
    """

    def __init__(self, zfs: ZfsCommand, arguments: Sequence[str]) -> None:
        self.arguments = tuple(arguments)
        self._process = zfs.start(self.arguments, stdout=subprocess.PIPE)
        self._words = b""
        self._hint = ""
        self._thread: threading.Thread | None = None
        self._widen()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        """End the child; the failure that its verdict became gets the hint that a verdict can't carry."""
        self.end()
        if isinstance(error, SourceFailed):
            error.hint = error.hint or self._hint

    def fileno(self) -> int:
        """The reading end of the stream."""
        if self._process.stdout is None:
            raise SourceFailed("the stream's pipe is closed")
        return self._process.stdout.fileno()

    def close_pipe(self) -> None:
        """Closes our reading end (the engine has its own by now), so that the engine's close ends the send."""
        if self._process.stdout is not None:
            self._process.stdout.close()

    def supervise(self, report: Callable[[Verdict, str], None]) -> None:
        """Waits for the child on a thread and reports how it ended."""
        self._thread = threading.Thread(target=self._watch, args=(report,), name="zfs-send", daemon=True)
        self._thread.start()

    def said(self) -> str:
        """What it wrote to stderr so far; all of it once its end was reported."""
        return first_words(decode(self._words))

    def end(self) -> None:
        """Kill, close our end, bounded wait; harmless once the child is gone."""
        if self._thread is None:
            end_child(self._process)
            return
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self.close_pipe()
        self._thread.join(5.0)

    def _watch(self, report: Callable[[Verdict, str], None]) -> None:
        stderr = self._process.stderr
        if stderr is not None:
            while block := stderr.read(4096):
                self._words = (self._words + block)[-STDERR_LIMIT:]
            stderr.close()
        status = self._process.wait()
        words = decode(self._words)
        if status != 0:
            self._hint = failure(self.arguments, words, status).hint
        report(*verdict(self.arguments, status, words))

    def _widen(self) -> None:
        """A wide pipe keeps the sender busy between reads; the limit of an unprivileged user may be lower."""
        size = PIPE_BYTES
        while size > DEFAULT_PIPE_BYTES:
            try:
                fcntl.fcntl(self.fileno(), fcntl.F_SETPIPE_SZ, size)
            except OSError:
                size //= 2
            else:
                return


def verdict(arguments: Sequence[str], status: int, words: str) -> tuple[Verdict, str]:
    """How a send ended, in words for the error. A warning on stderr with status 0 counts as success."""
    if status == 0:
        return "success", first_words(words)
    return "failed", failure(arguments, words, status).message


def send_arguments(snapshot: str, *, base: str | None, flags: Sequence[str]) -> tuple[str, ...]:
    """The argument list of one send; `base` is a full snapshot or bookmark name."""
    return ("send", *flags, *(("-i", base) if base else ()), snapshot)


def flags_for(capabilities: Capabilities, *, raw: bool) -> tuple[str, ...]:
    """The flags a new chain is pinned to."""
    return ("-w",) if raw else capabilities.block_flags()


def estimate(
    zfs: ZfsCommand, capabilities: Capabilities, dataset: Dataset, snapshot: Snapshot, arguments: Sequence[str]
) -> int | None:
    """Bytes the stream will have, roughly: asked of zfs where it can say, else the snapshot's `referenced`.

    An incremental of a zfs that can't say is unknown (None).
    """
    if capabilities.send_estimate:
        try:
            status, out, err = zfs.attempt("send", "-nP", *arguments[1:], timeout=ESTIMATE_TIMEOUT_SECONDS)
        except ZfsError as error:
            # Onto a bookmark without sizes zfs walks the whole dataset, which can take hours; the send doesn't need it.
            if error.code != "zfs.timeout":
                raise
            log.info("zfs takes longer than %.0f s to say how much %s is", ESTIMATE_TIMEOUT_SECONDS, snapshot.full_name)
            return None
        found = parse_estimate(out + "\n" + err)
        if status == 0 and found is not None:
            return found
    if "-i" in arguments:
        return None
    status, out, _ = zfs.attempt("get", "-Hp", "-o", "value", "referenced", snapshot.full_name)
    text = out.strip()
    return int(text) if status == 0 and text.isdigit() else dataset.referenced or dataset.used or None


def parse_estimate(text: str) -> int | None:
    """The `size` line of `zfs send -nP`, in bytes."""
    for line in text.splitlines():
        key, _, value = line.partition("\t")
        if key == "size" and value.strip().isdigit():
            return int(value)
    return None


def describe(arguments: Sequence[str]) -> str:
    """The command as a person would type it."""
    return spell(arguments)
