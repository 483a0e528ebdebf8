"""The Rust engine, as Python sees it. Only `zfs_push_backups.engine` imports this module.

A job starts when its object is made and runs on threads of its own. It ends by itself, by `cancel`, or when its last
reference goes; an end always drains: what the job had begun in the store has been finished or taken back, or is swept
by the next run. Nothing here prints, calls back from a foreign thread, or installs a signal handler.

Requests and reports are JSON text. An unknown field is refused with `engine.bad_request`. Sizes are bytes, times
seconds, guids decimal strings. File descriptors are duplicated at once; the caller keeps its own and closes it.

After `fork` the child cannot use a job of its parent: every method raises `engine.forked`. It can start its own.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Literal, Self, final

__all__ = [
    "BUILD_INFO",
    "ERROR_CODES",
    "CancelledError",
    "EngineError",
    "Job",
    "PushJob",
    "RestoreJob",
    "StoreJob",
    "StreamJob",
    "__version__",
    "cancel_jobs_on_signals",
    "check_recipients",
    "generate_identity",
    "new_backup_id",
    "parse_begin",
    "resume_token",
]

__version__: Final[str]
"""Version of the engine; the package's own is the same."""

ERROR_CODES: Final[tuple[str, ...]]
"""Every code that an `EngineError` can carry, sorted. A released code keeps its meaning."""

BUILD_INFO: Final[dict[str, str]]
"""How the engine was built: `version`, `target` (architecture and system), `profile`."""

class EngineError(Exception):
    """A job or call failed. `str()` says what failed, on what, why, and what to do."""

    code: str
    """Stable `<area>.<kind>`, one of `ERROR_CODES`; decide by it alone."""
    context: dict[str, str]
    """Values apart from the text, such as the key of the object in question. Never a secret."""

class CancelledError(EngineError):
    """The job ended because it was asked to (`engine.cancelled`), and has drained."""

class Job:
    """A running job: a `PushJob`, `RestoreJob`, `StoreJob` or `StreamJob`. This base cannot be made by itself.

    Every method may be called from any thread, at any time, also after the end.
    """

    def wait(self, on_tick: Callable[[], None] | None = None) -> str:
        """Wait until the job has drained; return its report as JSON, or raise its `EngineError`.

        The GIL is released while waiting. At least every 100 ms the handlers of signals that have come in run (on the
        main thread, where Python runs them), then `on_tick`. What either raises cancels the job; the wait goes on until
        the job has drained, and then the exception is raised, with a note on how the job ended. An `on_tick` that has
        raised is not called again. May be called again, and by several threads: each gets the outcome.
        """

    def cancel(self, reason: str, within_seconds: float | None = None) -> None:
        """Ask the job to end soon. Returns at once; fit for a signal handler. The first `reason` is the one reported.

        `within_seconds` bounds what it may still take to tidy up; a later call can cut it shorter.

        A job that is past the point of no return (its manifest is written) is done nevertheless.
        """

    def snapshot(self) -> str:
        """Return the progress as JSON.

        `{"stage": str, "stream_bytes": int, "sealed_bytes": int, "stored_bytes": int, "parts_stored": int,
        "parts_total": int | null, "requests": int}`. Counters only grow; the stage is `done` once the job has drained.
        """

    def drain_events(self, max_events: int = 1000) -> str:
        """Take the job's waiting log events, oldest first, as a JSON list.

        `{"seconds_since_epoch": float, "level": "error" | "warn" | "info" | "debug", "target": "crate::module",
        "message": str, "fields": {...}}`. At most 2048 wait; when more come, the oldest go, and a warning at their
        place says how many (it is not counted in `max_events`).
        """

    def finished(self) -> asyncio.Future[str]:
        """Return an asyncio future of the report; needs a running loop.

        Cancelling the future leaves the job alone, and as long as the future is pending the job is not dropped.
        """

    @staticmethod
    def log_debug(enabled: bool) -> None:
        """Have the engine record events of level `debug` too, for all jobs of this process; at first it doesn't."""

@final
class PushJob(Job):
    """Seals a `zfs send` stream part by part into a store and commits it by writing its manifest."""

    def __new__(cls, request: str, head: bytes, source_fd: int) -> Self:
        """Start a push of `head` and all that `source_fd` yields after it (`head`: what was read of it already).

        `source_fd` must be a pipe, socket or file open for reading. Raises `EngineError` for a bad request or
        descriptor; all other failures are the job's outcome.
        """

    def source_exited(self, status: Literal["success", "failed", "unknown"], message: str) -> None:
        """Say how the process that made the stream ended. The commit waits for this word; only the first one counts.

        After `failed` nothing is committed, and `message` (what the process said) is the error. `unknown` is for a
        stream from standard input.
        """

    def drain_journal(self) -> str:
        """Take what was done since the last call, oldest first, as a JSON list; nothing is ever dropped.

        Only pushes with a `run` have a journal. `wait` returns to its caller's `on_tick` as soon as there is an entry.
        `{"kind": "begin", "record": hex of BEGIN}`, `{"kind": "skipped", "number": int}` (stored before, proven now),
        `{"kind": "part", "number", "key", ..., "proof": {...}}` (an element for the next session's `run.stored`),
        `{"kind": "committing", "manifest_key": str, "manifest": str}`, `{"kind": "committed", "manifest_key": str}`.
        """

    def journal_written(self, count: int) -> None:
        """Say that the first `count` entries ever drained are durable; the manifest is sent only after this word."""

@final
class RestoreJob(Job):
    """Reads one backup from a store, opens it, checks every part and record, and writes its send stream."""

    def __new__(cls, request: str, sink_fd: int) -> Self:
        """Start a restore into `sink_fd`, which must be open for writing. Raises as `PushJob` does."""

@final
class StoreJob(Job):
    """Looks at a store, or prepares it: list, read manifests, preflight a restore, create the repository, probe."""

    def __new__(cls, request: str) -> Self:
        """Start the operation that the request names. Raises `EngineError` for a bad request."""

@final
class StreamJob(Job):
    """Looks into send streams in files and pipes, or makes a whole one of two; needs no store."""

    def __new__(cls, operation: Literal["inspect", "token", "splice"], descriptors: list[int]) -> Self:
        """Start the operation; raises as `PushJob` does. In an error's context `stream` is the number of the one meant.

        `inspect` [stream]: `{"bytes": int, "verdict": {"state": "whole" | "truncated" | "corrupt", "at": int,
        "code": str, ...}, "package": {...} | null, "streams": [{"to_name": str, "features": [name, ...],
        "flags": [name, ...], "records": [{"kind": str, "records": int, "bytes": int, ...}], ...}], "streams_left_out":
        int}`; damage is no error.
        `token` [stream]: `{"token": str, "keep_bytes": int, "border_bytes": int, "object": int, "offset": int,
        "broken": {"code": str, "reason": str, "at": int}, "begin": {...}}`.
        `splice` [kept, a regular file; resumed; whole, for writing]: `{"stream_bytes": int, "border_bytes": int,
        "proven_bytes": int, "records_added": int, "records_dropped": int, "begin": {...}}`.
        """

def parse_begin(head: bytes) -> str:
    """Return what the first record of a send stream says, as JSON; `head` holds at least its first 312 bytes.

    `{"to_guid": str, "from_guid": str ("0": a full stream), "to_name": str, "creation_unix_seconds": int,
    "features": [name, ...], "raw": bool, ...}`. Raises `EngineError` with a `stream.*` code for what is no stream, or
    one of a kind that is never taken (compound, resuming, redacted, deduplicated).
    """

def generate_identity() -> tuple[str, str]:
    """Return a new age identity: its secret line (keep it off logs and terminals) and its recipient."""

def new_backup_id(level: int, snapshot_guid: str) -> str:
    """Return a name for a new backup of the snapshot with this guid (decimal)."""

def resume_token(request: str) -> str:
    """Return what `zfs send -t` takes to go on with an interrupted stream.

    The request: `{"begin_record": hex, "part": the journal's entry of the last but one stored part, "snapshot":
    "pool/dataset@snapshot", the present name}`. Raises `EngineError` where that part ends at no place to go on at.
    """

def cancel_jobs_on_signals(signals: list[int]) -> None:
    """Have each of these signals cancel every running job of this process from a thread of the engine's own.

    For a command that owns its process: call it once, after its own handlers are set; they are called as well. A later
    `signal.signal` for the same signal undoes it.
    """

def check_recipients(lines: list[str]) -> list[str]:
    """Return each age or SSH recipient in its one spelling; raises `EngineError` naming the one that is none."""
