"""The engine for the rest of the package: typed wrappers around `_engine`, which nothing else imports.

Invariants: whatever the engine fails with leaves here as a `ZfsPushBackupsError` whose `code` is the engine's and whose
cause is the engine's error; a job that was waited for has drained, however the wait ended. asyncio is imported only by
those who await.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, TypedDict

from zfs_push_backups import _engine
from zfs_push_backups.engine_errors import translate, translate_of_file
from zfs_push_backups.errors import ConfigurationError
from zfs_push_backups.record import Record
from zfs_push_backups.report.logs import ROOT_LOGGER, forward_engine_events

BUILD_INFO: Final = _engine.BUILD_INFO
ERROR_CODES: Final = _engine.ERROR_CODES
TICK_SECONDS: Final = 0.1

Report = dict[str, Any]
Request = Mapping[str, Any]
SourceStatus = Literal["success", "failed", "unknown"]
StreamOperation = Literal["inspect", "token", "splice"]


class Event(TypedDict):
    """One log event of a job."""

    seconds_since_epoch: float
    level: Literal["error", "warn", "info", "debug"]
    target: str
    message: str
    fields: dict[str, Any]


class Progress(Record):
    """How far a job is. `parts_total` is None where nobody knows yet; `stage` is `done` after the drain."""

    stage: str
    stream_bytes: int
    sealed_bytes: int
    stored_bytes: int
    parts_stored: int
    parts_total: int | None
    requests: int


class Job:
    """A running job; the kinds below start it. The last reference that goes cancels it."""

    def __init__(self, start: Callable[[], _engine.Job], *, reads_backups: bool = False) -> None:
        self._reads_backups = reads_backups
        _engine.Job.log_debug(logging.getLogger(ROOT_LOGGER).isEnabledFor(logging.DEBUG))
        with self._translated(), _utf8_only():
            self._native = start()

    def wait(self, on_tick: Callable[[], None] | None = None) -> Report:
        """Wait for the drain and return the report; `on_tick` is called about ten times a second.

        What a signal handler or `on_tick` raises cancels the job and is raised once it has drained.
        """
        with self._translated():
            return _report(self._native.wait(on_tick))

    def cancel(self, reason: str, within_seconds: float | None = None) -> None:
        """Ask for the end and return at once; may be called by a signal handler. The first reason is reported.

        `within_seconds` bounds what the job may still take to tidy up; a later call can cut it shorter.
        """
        with self._translated():
            self._native.cancel(reason, within_seconds)

    def snapshot(self) -> Progress:
        """Say how far the job is."""
        with self._translated():
            return Progress(**json.loads(self._native.snapshot()))

    def drain_events(self, max_events: int = 1000) -> list[Event]:
        """Take the waiting log events, oldest first."""
        with self._translated():
            events: list[Event] = json.loads(self._native.drain_events(max_events))
        return events

    async def wait_async(self, on_tick: Callable[[], None] | None = None) -> Report:
        """Do as `wait` does in asyncio; `on_tick` is called in the loop.

        Cancelling the awaiting task, or an exception of `on_tick`, cancels the job and is raised once it has drained.
        """
        import asyncio  # noqa: PLC0415  # importing this module must stay cheap

        with self._translated():
            future = self._native.finished()
            raised: BaseException | None = None
            while not future.done():
                try:
                    # Neither the timeout nor a cancellation reaches the future through `wait`.
                    await asyncio.wait([future], timeout=TICK_SECONDS)
                    if on_tick is not None:
                        on_tick()
                except GeneratorExit:
                    # Nobody can await any more. The job goes with its last reference, and must not call a dead loop.
                    with contextlib.suppress(RuntimeError):
                        future.cancel()
                    raise
                except BaseException as error:  # noqa: BLE001  # raised below, after the drain
                    self.cancel(f"{type(error).__name__} was raised while awaiting the job")
                    on_tick = None if isinstance(error, Exception) else on_tick
                    raised = raised or error
            if raised is not None:
                future.exception()
                raise raised
            return _report(future.result())

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        with translated(reads_backups=self._reads_backups):
            yield


class PushJob(Job):
    """Seals the stream `head` + what `source_fd` yields into a store. The caller closes its own descriptor."""

    def __init__(self, request: Request, head: bytes, source_fd: int) -> None:
        native: list[_engine.PushJob] = []

        def start() -> _engine.PushJob:
            native.append(_engine.PushJob(_text(request), head, source_fd))
            return native[0]

        super().__init__(start)
        self._push = native[0]

    def source_exited(self, status: SourceStatus, message: str) -> None:
        """Say how the source ended; the commit waits for it, and only the first word counts."""
        with self._translated():
            self._push.source_exited(status, message)

    def drain_journal(self) -> list[dict[str, Any]]:
        """Take what was done since the last call, oldest first; nothing is ever dropped."""
        with self._translated():
            entries: list[dict[str, Any]] = json.loads(self._push.drain_journal())
        return entries

    def journal_written(self, count: int) -> None:
        """Say that the first `count` entries ever drained are durable; the manifest is sent only after this word."""
        with self._translated():
            self._push.journal_written(count)


class RestoreJob(Job):
    """Writes one backup's send stream to `sink_fd`. The caller closes its own descriptor."""

    def __init__(self, request: Request, sink_fd: int) -> None:
        super().__init__(lambda: _engine.RestoreJob(_text(request), sink_fd), reads_backups=True)


class StoreJob(Job):
    """Looks at a store, or prepares it."""

    def __init__(self, request: Request) -> None:
        super().__init__(lambda: _engine.StoreJob(_text(request)), reads_backups=True)


class StreamJob(Job):
    """Looks into send streams in files and pipes, or splices. The caller closes its own descriptors.

    `names` say what people call the streams to be read; an error begins with that of its stream.
    """

    def __init__(self, operation: StreamOperation, descriptors: Sequence[int], names: Sequence[str]) -> None:
        self._names = names
        super().__init__(lambda: _engine.StreamJob(operation, list(descriptors)))

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except _engine.EngineError as error:
            which = error.context.get("stream")
            prefix = "" if which is None else f"{self._names[int(which)]}: "
            raise translate_of_file(error.code, f"{prefix}{error}") from error


def run(job: Job, on_tick: Callable[[], None] | None = None) -> Report:
    """Wait for `job` with its events going to logging on each tick, and the last ones before this returns."""
    try:
        return job.wait(_forwarding(job, on_tick))
    finally:
        _forward_all(job)


async def await_job(job: Job, on_tick: Callable[[], None] | None = None) -> Report:
    """Do as `run` does in asyncio: cancelling the awaiting task cancels the job, drains it, and then raises."""
    try:
        return await job.wait_async(_forwarding(job, on_tick))
    finally:
        _forward_all(job)


def parse_begin(head: bytes) -> dict[str, Any]:
    """Return what the first 312 bytes of a send stream say. Raises `StreamRefused` for what is never taken."""
    with translated():
        return _report(_engine.parse_begin(head))


def generate_identity() -> tuple[str, str]:
    """Return a new age identity: the secret line, which belongs in a 0600 file and nowhere else, and its recipient."""
    with translated():
        return _engine.generate_identity()


def resume_token(begin_record: str, part: Mapping[str, Any], snapshot: str) -> str:
    """Return what `zfs send -t` takes to go on with a stream behind `part`, the last but one that is stored.

    `begin_record` is the stream's BEGIN as journaled, `snapshot` its snapshot's present name. Raises
    ConfigurationError and the like for a journal that can't be right.
    """
    request = {"begin_record": begin_record, "part": part, "snapshot": snapshot}
    with translated():
        return _engine.resume_token(_text(request))


def new_backup_id(level: int, snapshot_guid: int) -> str:
    """Return a name for a new backup of a snapshot."""
    with translated():
        return _engine.new_backup_id(level, str(snapshot_guid))


def cancel_jobs_on_signals(signals: Sequence[int]) -> None:
    """Have each of these signals cancel every running job without waiting for the interpreter.

    For a command that owns its process: once, after its own handlers are set; they are called as well.
    """
    with translated():
        _engine.cancel_jobs_on_signals([int(number) for number in signals])


def check_recipients(lines: Sequence[str]) -> list[str]:
    """Return each recipient in its one spelling. Raises `IdentityError` naming the one that is none."""
    with translated(), _utf8_only():
        return _engine.check_recipients(list(lines))


@contextlib.contextmanager
def translated(*, reads_backups: bool = False) -> Iterator[None]:
    """Turn the engine's errors into the package's; with `reads_backups` a broken stream means a damaged backup."""
    try:
        yield
    except _engine.EngineError as error:
        raise translate(error.code, str(error), reads_backups=reads_backups) from error


def _forwarding(job: Job, on_tick: Callable[[], None] | None) -> Callable[[], None]:
    def tick() -> None:
        forward_engine_events(job.drain_events())
        if on_tick is not None:
            on_tick()

    return tick


def _forward_all(job: Job) -> None:
    while events := job.drain_events():
        forward_engine_events(events)


def _text(request: Request) -> str:
    # Not escaped: what is no UTF-8 is then refused where the engine takes it.
    return json.dumps(request, ensure_ascii=False)


@contextlib.contextmanager
def _utf8_only() -> Iterator[None]:
    try:
        yield
    except UnicodeEncodeError as error:
        text = error.object[: error.start].rpartition('"')[2] + error.object[error.start :].partition('"')[0]
        raise ConfigurationError(f"{text!r} is not UTF-8", hint="use names in UTF-8 there") from None


def _report(text: str) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(text)
    return report
