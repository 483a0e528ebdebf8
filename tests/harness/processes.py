"""Start servers and run commands so that nothing outlives the tests and nothing waits for ever.

A server dies with its parent thread (setpriv --pdeathsig), also when the tests are killed with SIGKILL.
Readiness is asked for, never slept for.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

READY_SECONDS = 60.0
POLL_SECONDS = 0.05


class CommandFailed(Exception):
    """A command ended with another status than 0, or not in time; the text has its output."""


def run(command: Sequence[str | Path], *, timeout: float = 60.0, environment: Mapping[str, str] | None = None) -> str:
    """Run to the end and return stdout; raise CommandFailed with both outputs otherwise."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words, check=False, capture_output=True, timeout=timeout, env=environment, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired as late:
        raise CommandFailed(f"{words} gave no answer in {timeout:.0f} s") from late
    out, err = (text.decode(errors="replace") for text in (done.stdout, done.stderr))
    if done.returncode != 0:
        raise CommandFailed(f"{words} ended with {done.returncode}\n{out}{err}")
    return out


def free_port() -> int:
    """Return a TCP port of the loopback interface that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def server(
    command: Sequence[str | Path],
    *,
    log: Path,
    ready: Callable[[], bool],
    environment: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server for the length of the block: entered when `ready` says so, killed at the end whatever happens."""
    words = ["setpriv", "--pdeathsig", "KILL", *(str(word) for word in command)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, start_new_session=True
        )
    try:
        _await_ready(process, ready, log)
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes], *, grace_seconds: float = 5.0) -> None:
    """End a process: TERM, then KILL when it does not go in time; always reaped."""
    process.terminate()
    try:
        process.wait(grace_seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _await_ready(process: subprocess.Popen[bytes], ready: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not ready():
        if process.poll() is not None:
            raise CommandFailed(f"{process.args!r} ended with {process.returncode}\n{log.read_text(errors='replace')}")
        if time.monotonic() > deadline:
            raise CommandFailed(
                f"{process.args!r} was not ready in {READY_SECONDS:.0f} s\n{log.read_text(errors='replace')}"
            )
        time.sleep(POLL_SECONDS)
