"""What a command costs: CPU seconds of its whole process tree, seconds on the clock, peak resident memory."""

from __future__ import annotations

import os
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from harness.processes import CommandFailed, stop

MIB = 1 << 20
GIB = 1 << 30
Command = Sequence[str | Path]
_GENERATOR = Path(__file__).with_name("stream.py")


@dataclass(frozen=True)
class Spent:
    """`cpu` and `wall` in seconds; `peak` in bytes: the largest resident size of any process of the tree."""

    cpu: float
    wall: float
    peak: int


def run(command: Command, *, environment: Mapping[str, str] | None = None) -> Spent:
    """Run to the end; raise CommandFailed with what it wrote to stderr if that is not a success."""
    begun = time.monotonic()
    return _finished(_start(command, stderr=subprocess.PIPE, environment=environment), begun)


def run_pipeline(*commands: Command, source: Path | None, environment: Mapping[str, str] | None = None) -> Spent:
    """Run `<source command | command >/dev/null` in a shell; every process of it counts, and none may fail."""
    line = " | ".join(shlex.join(str(word) for word in command) for command in commands)
    script = f"set -o pipefail; {{ {line}; }} <{shlex.quote(str(source or '/dev/null'))} >/dev/null"
    return run(["bash", "-c", script], environment=environment)


def run_fed(command: Command, length: int, *, environment: Mapping[str, str] | None = None) -> Spent:
    """Run one command with a stream of `length` bytes on its stdin; only the command counts."""
    generator = _start([sys.executable, _GENERATOR, str(length)], stdout=subprocess.PIPE)
    try:
        begun = time.monotonic()
        process = _start(command, stdin=generator.stdout, stderr=subprocess.PIPE, environment=environment)
        assert generator.stdout is not None
        generator.stdout.close()
        return _finished(process, begun)
    finally:
        stop(generator)


def run_drained(command: Command, *, environment: Mapping[str, str] | None = None) -> Spent:
    """Run one command with its stdout a pipe that is read and thrown away; only the command counts."""
    drain = _start(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    try:
        begun = time.monotonic()
        process = _start(command, stdout=drain.stdin, stderr=subprocess.PIPE, environment=environment)
        assert drain.stdin is not None
        drain.stdin.close()
        return _finished(process, begun)
    finally:
        stop(drain)


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds that a running process has used so far, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pid_of(word: str) -> int:
    """Return the process that has `word` among its arguments."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and word.encode() in _arguments(entry):
            return int(entry.name)
    raise LookupError(word)


def median(values: Sequence[Spent], of: Callable[[Spent], float]) -> float:
    """Return the median of one figure."""
    return statistics.median(of(value) for value in values)


def _arguments(entry: Path) -> list[bytes]:
    try:
        return (entry / "cmdline").read_bytes().split(b"\0")
    except FileNotFoundError:
        return []


def _start(
    command: Command,
    *,
    stdin: int | IO[bytes] | None = subprocess.DEVNULL,
    stdout: int | IO[bytes] | None = subprocess.DEVNULL,
    stderr: int | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    words = [str(word) for word in command]
    return subprocess.Popen(words, stdin=stdin, stdout=stdout, stderr=stderr, env=environment)


def _finished(process: subprocess.Popen[bytes], begun: float) -> Spent:
    """Wait by wait4, which alone tells the usage of this very process tree."""
    assert process.stderr is not None
    with process.stderr:
        said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise CommandFailed(f"{process.args!r} ended with {process.returncode}\n{said.decode(errors='replace')}")
    return Spent(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss * 1024)
