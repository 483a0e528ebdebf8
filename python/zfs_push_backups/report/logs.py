"""One stream of log lines from Python and the engine: text, JSON or journald fields, in order.

Invariants: engine events keep their own time stamps; before a Python record is written, the running job's waiting
events are pulled, so that lines stand in the order in which things happened. Nothing here is set up by an import:
only the command calls `configure`. Steps are records of `STEP_LOGGER`: shown without -v, and without a prefix.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sys
import time
from typing import TYPE_CHECKING, Any

from zfs_push_backups.report.journal import JournalSocket, stderr_is_journal
from zfs_push_backups.report.visible import visible, visible_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

ROOT_LOGGER = "zfs_push_backups"
STEP_LOGGER = "zfs_push_backups.step"
FORMATS = ("auto", "text", "json", "journal")

_LEVELS = {"error": logging.ERROR, "warn": logging.WARNING, "info": logging.INFO, "debug": logging.DEBUG}
_PRIORITY = {logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6, logging.DEBUG: 7}


class OrderedHandler(logging.Handler):
    """Writes finished lines through `write`; asks `pull` for the engine's waiting events before each Python record."""

    def __init__(self, formatter: logging.Formatter, write: Callable[[str], None]) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self.write = write
        self.pull: Callable[[], None] | None = None
        self._pulling = False

    def emit(self, record: logging.LogRecord) -> None:
        """Writes one record, the engine's earlier events first."""
        if self.pull is not None and not self._pulling and not getattr(record, "from_engine", False):
            self._pulling = True
            try:
                self.pull()
            finally:
                self._pulling = False
        try:
            self.deliver(record)
        except (OSError, ValueError):
            # The journal has gone, or stderr is full: no traceback for that, and no reason to end a backup.
            with contextlib.suppress(OSError, ValueError):
                write_stderr(self.format(record))

    def deliver(self, record: logging.LogRecord) -> None:
        """Formats and writes; the journal's handler sends fields instead."""
        self.write(self.format(record))


class JournalHandler(OrderedHandler):
    """Sends native journal fields, so that `journalctl ZPB_DATASET=tank/x` works."""

    def __init__(self, socket: JournalSocket) -> None:
        super().__init__(logging.Formatter("%(message)s"), lambda _line: None)
        self._socket = socket

    def deliver(self, record: logging.LogRecord) -> None:
        """One datagram a record."""
        fields = {
            "MESSAGE": self.format(record),
            "PRIORITY": str(_PRIORITY.get(record.levelno, 6)),
            "SYSLOG_IDENTIFIER": "zfs-push-backups",
            "TARGET": record.name,
            "EVENT_TIME": iso_time(record.created),
        }
        fields.update({f"ZPB_{key}": str(value) for key, value in fields_of(record).items()})
        self._socket.send(fields)


class TextFormatter(logging.Formatter):
    """`01:02:03.456 warning store: message key=value`; steps are their message alone."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, plus the traceback when the record has one."""
        line = record.getMessage()
        if record.name != STEP_LOGGER:
            clock = time.strftime("%H:%M:%S", time.localtime(record.created)) + f".{int(record.msecs):03d}"
            area = record.name.removeprefix(ROOT_LOGGER + ".")
            line = f"{clock} {record.levelname.lower()} {area}: {line}"
            line += "".join(f" {key}={value}" for key, value in fields_of(record).items())
        # A step is one line, whatever is in the names in it.
        line = visible(line) if record.name == STEP_LOGGER else visible_lines(line)
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, target, message, and the fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of JSON."""
        entry: dict[str, Any] = {
            "time": iso_time(record.created),
            "level": record.levelname.lower(),
            "target": record.name.removeprefix(ROOT_LOGGER + "."),
            "message": record.getMessage(),
        }
        fields = fields_of(record)
        if fields:
            entry["fields"] = fields
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False, default=str)


def configure(*, verbosity: int, log_format: str) -> OrderedHandler:
    """Sets up logging for the command: -1 errors only, 0 warnings and steps, 1 info, 2 debug. Returns the handler."""
    handler = _handler(log_format)
    root = logging.getLogger(ROOT_LOGGER)
    root.handlers[:] = [handler]
    root.propagate = False
    root.setLevel({-1: logging.ERROR, 0: logging.WARNING, 1: logging.INFO}.get(verbosity, logging.DEBUG))
    logging.getLogger(STEP_LOGGER).setLevel(logging.ERROR if verbosity < 0 else logging.INFO)
    return handler


def active_handler() -> OrderedHandler | None:
    """The command's handler, or None in a script that configures logging itself."""
    for handler in logging.getLogger(ROOT_LOGGER).handlers:
        if isinstance(handler, OrderedHandler):
            return handler
    return None


def forward_engine_events(events: Iterable[Mapping[str, Any]]) -> None:
    """Hands the engine's events to logging with the time at which they happened."""
    for event in events:
        logger = logging.getLogger(f"{ROOT_LOGGER}.{str(event.get('target', 'engine')).replace('::', '.')}")
        level = _LEVELS.get(str(event.get("level", "info")), logging.DEBUG)
        if not logger.isEnabledFor(level):
            continue
        record = logger.makeRecord(logger.name, level, "engine", 0, str(event.get("message", "")), (), None)
        created = float(event.get("seconds_since_epoch", record.created))
        record.created, record.msecs = created, (created % 1) * 1000
        record.fields = dict(event.get("fields") or {})
        record.from_engine = True
        logger.handle(record)


def step(message: str, **fields: object) -> None:
    """One line for one step of a run."""
    logging.getLogger(STEP_LOGGER).info("%s", message, extra={"fields": fields})


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """The structured fields of a record, wherever it came from."""
    fields = getattr(record, "fields", None)
    return fields if isinstance(fields, dict) else {}


def iso_time(seconds: float) -> str:
    """Unix seconds as UTC with microseconds."""
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds % 1 * 1_000_000):06d}Z"


def write_stderr(line: str) -> None:
    """Writes one line to stderr; bytes that aren't UTF-8 are shown escaped."""
    sys.stderr.write(line.encode("utf-8", "backslashreplace").decode("utf-8") + "\n")
    sys.stderr.flush()


def _handler(log_format: str) -> OrderedHandler:
    if log_format == "journal" or (log_format == "auto" and stderr_is_journal()):
        socket = JournalSocket.open()
        if socket is not None:
            return JournalHandler(socket)
    return OrderedHandler(JsonFormatter() if log_format == "json" else TextFormatter(), write_stderr)
