"""A push that ends before its stream does: a signal, a sender that says nothing, a reader of its events that went."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from harness.program import STREAMS
from integration.fake_source import hanging_source
from integration.workbench import Workbench


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_a_push_in_order(bench: Workbench, tmp_path: Path, number: signal.Signals) -> None:
    fake = hanging_source(tmp_path)
    process = bench.start("--dataset", "t/d", "--json", path=fake.path())
    assert process.stdout is not None
    for line in process.stdout:
        if b'"progress"' in line:
            break
    started = time.monotonic()
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number, err
    assert time.monotonic() - started < 5
    assert b"Traceback" not in err
    assert f"stopped by {signal.Signals(number).name}".encode() in err
    assert bench.listed() == []
    left = subprocess.run(["pgrep", "-f", str(fake.program)], check=False, capture_output=True, timeout=30)
    assert left.stdout == b""


def test_what_a_before_hook_froze_is_thawed_after_a_stop(bench: Workbench, tmp_path: Path) -> None:
    fake, told = hanging_source(tmp_path), tmp_path / "told"
    hooks = {"before": [["/bin/true"]], "after": [["/bin/sh", "-c", f"echo $ZPB_STATUS >> {told}"]]}
    bench.configure([bench.task("t/d", hooks=hooks)])
    process = bench.start("--json", path=fake.path())
    assert process.stdout is not None
    for line in process.stdout:
        if b'"progress"' in line:
            break
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM, err
    assert told.read_text() == "failed\n"


def test_a_sender_that_says_nothing_for_too_long_is_dead(bench: Workbench, tmp_path: Path) -> None:
    bench.configure([], source_stall_timeout="1s")
    fake = hanging_source(tmp_path)
    done = bench.run("--dataset", "t/d", path=fake.path())
    assert done.code == 1, done.err
    assert "silent for 1 s" in done.error_line()
    assert bench.listed() == []
    left = subprocess.run(["pgrep", "-f", str(fake.program)], check=False, capture_output=True, timeout=30)
    assert left.stdout == b""


def test_a_sender_on_standard_input_that_never_begins_is_dead(bench: Workbench) -> None:
    bench.configure([], source_stall_timeout="1s")
    reading, writing = os.pipe()
    try:
        words = bench.command("push", "--stdin", "tank/d@a")
        done = subprocess.run(
            words, check=False, capture_output=True, text=True, timeout=60, stdin=reading, env=bench.environment()
        )
    finally:
        os.close(reading)
        os.close(writing)
    assert done.returncode == 1, done.stderr
    assert "standard input has been silent for 1 s" in done.stderr
    assert bench.objects() == []


def test_work_that_ends_since_nobody_takes_its_events_says_so(bench: Workbench) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with (STREAMS / "d-full.zs").open("rb") as stream:
        words = bench.command("push", "--stdin", "tank/d@a", "--json")
        process = subprocess.Popen(words, stdin=stream, stdout=writing, stderr=subprocess.PIPE, env=bench.environment())
        _, err = process.communicate(timeout=60)
    os.close(writing)
    assert process.returncode == 1
    assert b"zfs-push-backups: stdout can't be written: Broken pipe" in err
    assert bench.listed() == []
