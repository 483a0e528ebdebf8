"""Progress of one stream: a bar on a terminal, JSON lines with --json, else nothing between the step lines.

Invariant: the bar and the log share stderr through one writer, so a line never tears the bar; stdout stays free for
results and streams. rich is imported only when a bar is shown.
"""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any, Protocol

from zfs_push_backups.report.logs import active_handler, step
from zfs_push_backups.report.visible import visible_lines

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

JSON_INTERVAL_SECONDS = 1.0
KIB = 1024


class StdoutLost(OSError):
    """Nobody takes what is written to stdout: no defect of ours, and no failure of a task."""


class EventsLost(StdoutLost):
    """Nobody takes the events of work that is under way: it ends there, and says so."""


class Snapshot(Protocol):
    """What is read of the engine's progress: bytes and counts so far."""

    @property
    def stage(self) -> str:
        """What the job does now."""

    @property
    def stream_bytes(self) -> int:
        """Bytes of the send stream so far."""

    @property
    def stored_bytes(self) -> int:
        """Bytes in the store so far."""

    @property
    def parts_stored(self) -> int:
        """Parts in the store so far."""

    @property
    def parts_total(self) -> int | None:
        """Parts there will be, where that is known."""


class Reporter:
    """What a use case tells about itself. This base reports steps to the log and nothing else."""

    def step(self, message: str, **fields: object) -> None:
        """One line for one step."""
        step(message, **fields)

    def begin(self, label: str, total_bytes: int | None) -> None:
        """A stream starts; `total_bytes` is an estimate or None."""

    def update(self, progress: Snapshot) -> None:
        """Called about ten times a second while the stream runs."""

    def end(self) -> None:
        """The stream is over, well or not."""

    def result(self, entry: dict[str, Any]) -> None:
        """One finished unit of work, for machines."""


class JsonReporter(Reporter):
    """JSON lines on stdout: `step`, `progress` (at most one a second) and `result` events."""

    def __init__(self) -> None:
        self._label = ""
        self._total: int | None = None
        self._started = self._last = 0.0

    def step(self, message: str, **fields: object) -> None:
        """A `step` event."""
        self._emit({"event": "step", "message": message, **fields})

    def begin(self, label: str, total_bytes: int | None) -> None:
        """Remembers what the next progress events are about."""
        self._label, self._total = label, total_bytes
        self._started = self._last = time.monotonic()

    def update(self, progress: Snapshot) -> None:
        """A `progress` event, at most one a second."""
        now = time.monotonic()
        if now - self._last < JSON_INTERVAL_SECONDS:
            return
        self._last = now
        rate = progress.stream_bytes / (now - self._started)
        self._emit(
            {
                "event": "progress",
                "what": self._label,
                "stage": progress.stage,
                "stream_bytes": progress.stream_bytes,
                "stored_bytes": progress.stored_bytes,
                "parts_stored": progress.parts_stored,
                "parts_total": progress.parts_total,
                "bytes_per_second": round(rate),
                "estimated_bytes": self._total,
                "seconds_left": seconds_left(self._total, progress.stream_bytes, rate),
            }
        )

    def result(self, entry: dict[str, Any]) -> None:
        """A `result` event."""
        self._emit({"event": "result", **entry})

    @staticmethod
    def _emit(event: dict[str, Any]) -> None:
        try:
            emit_json(event)
        except StdoutLost as lost:
            raise EventsLost(lost.errno, lost.strerror) from lost


class BarReporter(Reporter):
    """A bar on the terminal behind stderr: bytes, rate, parts, time left."""

    def __init__(self) -> None:
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None
        self._started = 0.0

    def begin(self, label: str, total_bytes: int | None) -> None:
        """Shows the bar."""
        from rich import progress
        from rich.console import Console

        console = Console(stderr=True)
        self._bar = progress.Progress(
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(),
            progress.DownloadColumn(binary_units=True),
            progress.TextColumn("{task.fields[rate]}"),
            progress.TextColumn("{task.fields[parts]}"),
            progress.TimeRemainingColumn(),
            console=console,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._bar.add_task(label, total=total_bytes, parts="", rate="")
        self._started = time.monotonic()
        self._bar.start()
        handler = active_handler()
        if handler is not None:
            handler.write = lambda line: console.print(line, markup=False, highlight=False, soft_wrap=True)

    def update(self, progress: Snapshot) -> None:
        """Moves the bar; an estimate that proves too small grows with the stream."""
        if self._bar is None or self._task is None:
            return
        total = self._bar.tasks[0].total
        if total is not None and progress.stream_bytes > total:
            total = progress.stream_bytes
        of = f"/{progress.parts_total}" if progress.parts_total else ""
        # A stream without a store has none.
        parts = f"{progress.parts_stored}{of} parts" if of or progress.parts_stored else ""
        elapsed = max(time.monotonic() - self._started, 0.001)
        rate = f"{human_bytes(int(progress.stream_bytes / elapsed))}/s"
        self._bar.update(self._task, completed=progress.stream_bytes, total=total, parts=parts, rate=rate)

    def end(self) -> None:
        """Takes the bar away and gives stderr back to the log."""
        if self._bar is not None:
            from zfs_push_backups.report.logs import write_stderr

            self._bar.stop()
            self._bar = None
            handler = active_handler()
            if handler is not None:
                handler.write = write_stderr


def choose_reporter(*, as_json: bool, quiet: bool) -> Reporter:
    """The reporter that fits the command line and what stderr is."""
    if as_json:
        return JsonReporter()
    return BarReporter() if sys.stderr.isatty() and not quiet else Reporter()


def seconds_left(total: int | None, done: int, rate: float) -> int | None:
    """Time left at this rate; None when the size or the rate isn't known."""
    return round(max(total - done, 0) / rate) if total and rate > 0 else None


def emit_json(entry: dict[str, Any]) -> None:
    """One JSON document on one line of stdout."""
    write_stdout(json.dumps(entry, ensure_ascii=True, default=str))


def tell(text: str) -> None:
    """Write lines for people to stdout, whatever a terminal would act on escaped. Raises `StdoutLost`."""
    write_stdout(visible_lines(text))


def write_stdout(text: str) -> None:
    """Write lines to stdout at once, whatever its encoding lacks escaped. Raises `StdoutLost`."""
    try:
        encoding = sys.stdout.encoding or "utf-8"
        sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        sys.stdout.flush()
    except OSError as error:
        raise StdoutLost(error.errno, error.strerror) from error


def human_bytes(count: int) -> str:
    """`1.5 GiB`, or plain bytes below a KiB."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if value < KIB or unit == "PiB":
            return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= KIB
    raise AssertionError
