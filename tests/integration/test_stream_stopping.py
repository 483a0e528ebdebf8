"""The stream commands stopped while a pipe is silent: at once, with the signal's exit code, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from harness.program import COMMAND, STREAMS, without_aws

WHOLE = (STREAMS / "z-full.zs").read_bytes()
RESUMED = (STREAMS / "z-full.resumed.zs").read_bytes()
KEPT = 231_168
STOPPING = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]
# The promise is a second; a busy machine gets some more.
SOON_SECONDS = 5.0


class Silent:
    """A command with a sender that has sent so much that it must have been read, and then says nothing."""

    def __init__(self, words: list[str], sent: bytes, folder: Path) -> None:
        reading, self.writing = os.pipe()
        command = [str(COMMAND), "stream", *words]
        self.process = subprocess.Popen(
            command, stdin=reading, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=without_aws(), cwd=folder
        )
        os.close(reading)
        # The pipe holds 64 KiB: when the last of it is written, the first was read.
        assert len(sent) > 100_000
        while sent:
            sent = sent[os.write(self.writing, sent) :]

    def stop(self, number: int) -> tuple[int, str, float]:
        begun = time.monotonic()
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=30)
        os.close(self.writing)
        return self.process.returncode, err.decode(), time.monotonic() - begun


@pytest.mark.parametrize("number", STOPPING, ids=lambda number: number.name)
@pytest.mark.parametrize("what", ["inspect", "token", "splice"])
def test_a_signal_ends_it_while_the_sender_is_silent(what: str, number: signal.Signals, tmp_path: Path) -> None:
    (tmp_path / "kept").write_bytes(WHOLE[:KEPT])
    if what == "splice":
        silent = Silent(["splice", "kept", "-", "--output", "out"], RESUMED[:150_000], tmp_path)
    else:
        silent = Silent([what, "-"], WHOLE[:200_000], tmp_path)
    code, err, seconds = silent.stop(number)
    assert code == 128 + number, err
    assert f"stopped by {number.name}" in err
    assert "Traceback" not in err
    assert seconds < SOON_SECONDS
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_not_even_a_kill_leaves_plain_bytes_under_a_name(tmp_path: Path) -> None:
    (tmp_path / "kept").write_bytes(WHOLE[:KEPT])
    silent = Silent(["splice", "kept", "-", "--output", "out"], RESUMED[:150_000], tmp_path)
    assert silent.stop(signal.SIGKILL)[0] == -signal.SIGKILL
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_a_fifo_without_a_writer_is_waited_for_and_can_be_stopped(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    process = subprocess.Popen([str(COMMAND), "stream", "inspect", str(fifo)], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 30
    while not has_open(process.pid, fifo):
        assert process.poll() is None
        assert time.monotonic() < deadline, "it never opened the FIFO"
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM, err


def has_open(process: int, file: Path) -> bool:
    """Whether a process has opened a file, told without opening it."""
    return any(Path(os.path.realpath(link)) == file for link in Path(f"/proc/{process}/fd").iterdir())


def test_a_fifo_is_read_like_a_file(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    process = subprocess.Popen([str(COMMAND), "stream", "inspect", str(fifo)], stdout=subprocess.PIPE)
    fifo.write_bytes(WHOLE)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert out.startswith(f"{fifo}: whole".encode())


def test_a_reader_that_is_slow_does_not_keep_a_splice_from_stopping(tmp_path: Path) -> None:
    (tmp_path / "kept").write_bytes(WHOLE[:KEPT])
    (tmp_path / "resumed").write_bytes(RESUMED)
    words = [str(COMMAND), "stream", "splice", "kept", "resumed", "--output", "-"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path)
    assert process.stdout is not None
    # One byte has come, and the rest is more than a pipe holds: it waits for us.
    assert os.read(process.stdout.fileno(), 1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 128 + signal.SIGTERM
    process.communicate()
