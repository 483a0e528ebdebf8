from __future__ import annotations

import io
import json
import logging
import os
import socket
import struct
from typing import TYPE_CHECKING

import pytest

from zfs_push_backups.report import journal, logs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _leave_logging_as_it_was() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in (logs.ROOT_LOGGER, logs.STEP_LOGGER)]
    before = [(logger.handlers[:], logger.level, logger.propagate) for logger in loggers]
    yield
    for logger, (handlers, level, propagate) in zip(loggers, before, strict=True):
        logger.handlers[:], logger.level, logger.propagate = handlers, level, propagate
        logger.manager._clear_cache()  # type: ignore[attr-defined]


def configured(verbosity: int = 0, log_format: str = "text") -> tuple[logs.OrderedHandler, list[str]]:
    handler = logs.configure(verbosity=verbosity, log_format=log_format)
    lines: list[str] = []
    handler.write = lines.append
    return handler, lines


def event(message: str, at: float = 1795223332.25, level: str = "warn") -> dict[str, object]:
    return {
        "seconds_since_epoch": at,
        "level": level,
        "target": "store::s3",
        "message": message,
        "fields": {"key": "a"},
    }


def test_engine_events_that_wait_come_before_a_later_python_line() -> None:
    handler, lines = configured()
    waiting = [event("first")]

    def pull() -> None:
        events, waiting[:] = waiting[:], []
        logs.forward_engine_events(events)

    handler.pull = pull
    logging.getLogger("zfs_push_backups.run").warning("second")
    assert [line.split(": ")[1].split(" ")[0] for line in lines] == ["first", "second"]


def test_engine_events_keep_their_own_time_and_fields() -> None:
    _, lines = configured(log_format="json")
    logs.forward_engine_events([event("x")])
    entry = json.loads(lines[0])
    assert entry == {
        "time": "2026-11-21T01:08:52.250000Z",
        "level": "warning",
        "target": "store.s3",
        "message": "x",
        "fields": {"key": "a"},
    }


@pytest.mark.parametrize(
    ("verbosity", "expected"),
    [(-1, ["e"]), (0, ["s", "w", "e"]), (1, ["s", "i", "w", "e"]), (2, ["s", "d", "i", "w", "e"])],
)
def test_verbosity_decides_what_is_shown(verbosity: int, expected: list[str]) -> None:
    _, lines = configured(verbosity)
    log = logging.getLogger("zfs_push_backups.somewhere")
    logs.step("s")
    log.debug("d")
    log.info("i")
    log.warning("w")
    log.error("e")
    assert [line[-1] for line in lines] == expected


def test_a_step_is_its_message_alone_and_other_lines_say_where_from() -> None:
    _, lines = configured()
    logs.step("sending tank@x", dataset="tank")
    logging.getLogger("zfs_push_backups.zfs.send").warning("odd", extra={"fields": {"dataset": "tank"}})
    assert lines[0] == "sending tank@x"
    assert lines[1].endswith(" warning zfs.send: odd dataset=tank")


def test_a_traceback_goes_into_the_log_line() -> None:
    _, lines = configured(1)
    with pytest.raises(ZeroDivisionError) as caught:
        _ = 1 / 0
    logging.getLogger("zfs_push_backups.x").info("unexpected", exc_info=caught.value)
    assert "Traceback" in lines[0]
    _, lines = configured(1, "json")
    logging.getLogger("zfs_push_backups.x").info("unexpected", exc_info=RuntimeError("boom"))
    assert "boom" in json.loads(lines[0])["traceback"]


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as endpoint:
        endpoint.bind(str(tmp_path / "journal"))
        endpoint.settimeout(10)
        yield endpoint


def fields(data: bytes) -> dict[str, str]:
    found = {}
    stream = io.BytesIO(data)
    while line := stream.readline():
        name, equals, value = line[:-1].partition(b"=")
        if not equals:
            (length,) = struct.unpack("<Q", stream.read(8))
            value = stream.read(length)
            assert stream.read(1) == b"\n"
        found[name.decode()] = value.decode()
    return found


def test_the_journal_gets_native_fields(receiver: socket.socket, tmp_path: Path) -> None:
    connected = journal.JournalSocket.open(str(tmp_path / "journal"))
    assert connected is not None
    handler = logs.JournalHandler(connected)
    record = logging.makeLogRecord(
        {
            "name": "zfs_push_backups.run",
            "levelno": logging.WARNING,
            "msg": "two\nlines",
            "fields": {"dataset": "tank/x"},
        }
    )
    handler.emit(record)
    found = fields(receiver.recv(65536))
    connected.close()
    assert found["MESSAGE"] == "two\nlines"
    assert found["PRIORITY"] == "4"
    assert found["SYSLOG_IDENTIFIER"] == "zfs-push-backups"
    assert found["ZPB_DATASET"] == "tank/x"
    assert found["EVENT_TIME"].endswith("Z")


def test_an_entry_too_large_for_a_datagram_travels_in_a_file(receiver: socket.socket, tmp_path: Path) -> None:
    connected = journal.JournalSocket.open(str(tmp_path / "journal"))
    assert connected is not None
    connected.send({"MESSAGE": "x" * 4_000_000})
    _, descriptors, _, _ = socket.recv_fds(receiver, 16, 4)
    connected.close()
    with os.fdopen(descriptors[0], "rb") as file:
        file.seek(0)
        assert fields(file.read())["MESSAGE"] == "x" * 4_000_000


def test_without_a_journal_there_is_none(tmp_path: Path) -> None:
    assert journal.JournalSocket.open(str(tmp_path / "absent")) is None


def test_the_journal_is_taken_only_when_stderr_really_goes_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with (tmp_path / "err").open("w") as stderr:
        found = os.fstat(stderr.fileno())
        monkeypatch.setattr("sys.stderr", stderr)
        monkeypatch.delenv("JOURNAL_STREAM", raising=False)
        assert not journal.stderr_is_journal()
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino + 1}")
        assert not journal.stderr_is_journal()
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
        assert journal.stderr_is_journal()
