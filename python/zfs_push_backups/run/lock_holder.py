"""What a lock's file tells people: who holds it, since when, and whether that process can be reached at all.

Invariant: nothing here decides; flock does. A PID that stands in a file is believed only as long as the process with
that number is the one that wrote it (PIDs are used again).
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from zfs_push_backups.record import Record

PROCESSES: Final = Path("/proc")
_LARGEST_FILE_BYTES: Final = 4096
_FIELDS_BEFORE_START: Final = 19


class Holder(Record):
    """Who wrote itself into a lock: `since` is when it took the lock; `start` tells its PID from a later one's."""

    pid: int
    since: datetime
    command: str
    start: str

    def is_alive(self) -> bool:
        """Whether this very process exists here."""
        return process_start(self.pid) == self.start

    def is_stuck(self) -> bool:
        """Whether it is in uninterruptible sleep, where no signal reaches it."""
        return any(state == "D" for state in thread_states(self.pid))

    def describe(self, now: datetime | None = None) -> str:
        """`process 12 (push) since 2026-11-21 04:40:09 UTC, 5 min ago`."""
        age = max(((now or datetime.now(UTC)) - self.since).total_seconds(), 0.0)
        shown = f"{age:.0f} s" if age < 120 else f"{age / 60:.0f} min" if age < 7200 else f"{age / 3600:.0f} h"  # noqa: PLR2004
        return f"process {self.pid} ({self.command}) since {self.since:%Y-%m-%d %H:%M:%S} UTC, {shown} ago"


def own_words(command: str) -> str:
    """What the holder writes into its lock: the PID alone on the first line, as in every PID file."""
    since = datetime.now(UTC).isoformat(timespec="seconds")
    start = process_start(os.getpid())
    return f"{os.getpid()}\nsince {since}\nstarted {_as_time(start)}\nstart {start}\ncommand {command}\n"


def holder(path: Path) -> Holder | None:
    """Who stands in a lock's file, alive or not; None where nobody does."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        text = os.read(descriptor, _LARGEST_FILE_BYTES).decode("utf-8", "replace")
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return parse(text)


def parse(text: str) -> Holder | None:
    """Read the holder's words; None for anything else."""
    first, *lines = text.splitlines() or [""]
    words = {key: rest for key, _, rest in (line.partition(" ") for line in lines)}
    try:
        since = datetime.fromisoformat(words["since"]).astimezone(UTC)
        pid = int(first)
    except (KeyError, ValueError, OverflowError):
        return None
    command = "".join(sign for sign in words.get("command", "") if sign.isprintable()) or "unknown"
    return Holder(pid, since, command, words.get("start", "")) if pid > 0 else None


def process_start(pid: int) -> str:
    """The moment a process started, in the kernel's own count since the boot; empty where there is none."""
    fields = _stat_fields(PROCESSES / str(pid) / "stat")
    return fields[_FIELDS_BEFORE_START] if len(fields) > _FIELDS_BEFORE_START else ""


def thread_states(pid: int) -> list[str]:
    """The state letter of each thread: a killed process may have a dead leader and one thread that can't die."""
    try:
        threads = list((PROCESSES / str(pid) / "task").iterdir())
    except OSError:
        return []
    return [fields[0] for thread in threads if (fields := _stat_fields(thread / "stat"))]


def _as_time(start: str) -> str:
    """A process's start for people, as `ps -o lstart` shows it; empty where the kernel doesn't say."""
    try:
        lines = (PROCESSES / "stat").read_text(encoding="ascii").splitlines()
        boot = next(int(line.split()[1]) for line in lines if line.startswith("btime "))
        moment = datetime.fromtimestamp(boot + int(start) / os.sysconf("SC_CLK_TCK"), UTC)
    except (OSError, ValueError, StopIteration, IndexError):
        return ""
    return moment.isoformat(timespec="seconds")


def _stat_fields(path: Path) -> list[str]:
    """The fields behind the command's name, which may hold blanks and parentheses."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return []
