from __future__ import annotations

import json
import os
import pty
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from zfs_push_backups.errors import ConfigurationError, NoBase
from zfs_push_backups.report import failures, logs, progress

if TYPE_CHECKING:
    from pathlib import Path


@dataclass
class Now:
    stage: str = "uploading"
    stream_bytes: int = 0
    stored_bytes: int = 0
    parts_stored: int = 0
    parts_total: int | None = None


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (5 << 40, "5.0 TiB")]
)
def test_sizes_for_people(count: int, text: str) -> None:
    assert progress.human_bytes(count) == text


def test_time_left_needs_a_size_and_a_rate() -> None:
    assert progress.seconds_left(100, 50, 10.0) == 5
    assert progress.seconds_left(100, 150, 10.0) == 0
    assert progress.seconds_left(None, 50, 10.0) is None
    assert progress.seconds_left(100, 0, 0.0) is None


def test_json_progress_comes_at_most_once_a_second(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    reporter = progress.JsonReporter()
    reporter.begin("tank@x", 4000)
    for _ in range(25):
        clock[0] += 0.1
        reporter.update(Now(stream_bytes=int((clock[0] - 100) * 1000), parts_stored=1, parts_total=4))
    reporter.step("done", dataset="tank")
    reporter.result({"status": "pushed"})
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["event"] for line in lines] == ["progress", "progress", "step", "result"]
    assert lines[0]["bytes_per_second"] == pytest.approx(1000, rel=0.01)
    assert lines[0]["seconds_left"] == 3
    assert lines[0]["parts_total"] == 4


def test_the_bar_shows_rate_parts_and_time_left_and_log_lines_do_not_tear_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours, theirs = pty.openpty()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr("sys.stderr", terminal)
        handler = logs.configure(verbosity=0, log_format="text")
        reporter = progress.choose_reporter(as_json=False, quiet=False)
        assert isinstance(reporter, progress.BarReporter)
        reporter.begin("tank@x [1]", 8 << 20)
        reporter.update(Now(stream_bytes=2 << 20, parts_stored=1, parts_total=4))
        logs.step("a step [bold]between[/bold]")
        reporter.update(Now(stream_bytes=16 << 20, parts_stored=4, parts_total=4))
        reporter.end()
        assert handler.write is logs.write_stderr
    os.set_blocking(ours, False)
    shown = b""
    try:
        while block := os.read(ours, 65536):
            shown += block
    except OSError:
        pass
    os.close(ours)
    text = shown.decode()
    assert "tank@x [1]" in text
    assert "4/4 parts" in text
    assert "/s" in text
    assert "a step [bold]between[/bold]" in text


def test_without_a_terminal_there_is_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = progress.choose_reporter(as_json=False, quiet=False)
    assert type(reporter) is progress.Reporter
    assert isinstance(progress.choose_reporter(as_json=True, quiet=False), progress.JsonReporter)


def test_an_error_is_one_line_and_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    failures.show(NoBase("level 2 has nothing to stand on", hint="run: x"), as_json=True)
    out, err = capsys.readouterr()
    assert err == "zfs-push-backups: level 2 has nothing to stand on\n  hint: run: x\n"
    assert json.loads(out) == {
        "error": {"code": "no_base", "message": "level 2 has nothing to stand on", "hint": "run: x", "exit_code": 1}
    }
    failures.show(ConfigurationError("bad"), as_json=False)
    assert capsys.readouterr() == ("", "zfs-push-backups: bad\n")


def test_names_that_are_not_utf8_can_be_shown(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    failures.show(NoBase("tank/" + os.fsdecode(b"\xff")), as_json=False)
    assert capsys.readouterr().err == "zfs-push-backups: tank/\\udcff\n"
