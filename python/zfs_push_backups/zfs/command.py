"""Runs `zfs`: argument lists only, in its own session, with a deadline, stderr kept for the error.

Invariants: LC_ALL=C so that messages can be read; the terminal's Ctrl-C never reaches the child; a requested stop ends
the child within a tick. Rationale: cron's PATH lacks the sbin folders where zfs lives, so they are added here.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from typing import TYPE_CHECKING

from zfs_push_backups.errors import ShuttingDown, ZfsError
from zfs_push_backups.zfs.child import end_child

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SBIN_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")
DEFAULT_TIMEOUT_SECONDS = 300.0
TICK_SECONDS = 0.1
SHOWN_COMMAND = 160
# Not the apostrophe of `can't`.
_QUOTED = re.compile(r"(?<!\w)'[^'\n]*'(?!\w)")

_NOT_ROOT = ("permission denied", "failed to initialize zfs library", "must be superuser", "operation not permitted")
_RIGHTS = {
    "send": "send,hold,release",
    "hold": "hold,release",
    "release": "release",
    "bookmark": "bookmark",
    "snapshot": "snapshot,mount",
    "destroy": "destroy",
    "receive": "receive,create,mount",
}
# zfs-fuse says it beside a sign of missing rights.
_ABSENT_DAEMON = "make sure that the zfs-fuse daemon is running"
_NO_DAEMON = (
    _ABSENT_DAEMON,
    "connection refused",
    "/dev/zfs",
    "zfs modules are not loaded",
    "no such file or directory",
)


class ZfsCommand:
    """The `zfs` program found once, with the environment every call gets.

    `stopping` is asked every 100 ms while a command runs; when it answers True the command is killed and
    `ShuttingDown` raised.
    """

    def __init__(self, program: str | None = None, *, stopping: Callable[[], bool] = lambda: False) -> None:
        self.environment = {**os.environ, "LC_ALL": "C", "PATH": search_path()}
        self.stopping = stopping
        found = program or shutil.which("zfs", path=self.environment["PATH"])
        if found is None:
            raise ZfsError(
                "there is no zfs command on this machine",
                hint=f"install OpenZFS (Debian: apt install zfsutils-linux); looked in {self.environment['PATH']}",
                code="zfs.no_command",
            )
        self.program = found

    def run(self, *arguments: str, timeout: float = DEFAULT_TIMEOUT_SECONDS) -> str:
        """Runs one command to its end and returns its stdout; raises `ZfsError` in the command's own words."""
        code, out, err = self.attempt(*arguments, timeout=timeout)
        if code != 0:
            raise failure(arguments, err, code)
        return out

    def attempt(self, *arguments: str, timeout: float = DEFAULT_TIMEOUT_SECONDS) -> tuple[int, str, str]:
        """Runs one command to its end, whatever its exit status: (status, stdout, stderr)."""
        process = self.start(arguments, stdout=subprocess.PIPE)
        waited = 0.0
        while True:
            try:
                out, err = process.communicate(timeout=TICK_SECONDS)
                return process.returncode, decode(out), decode(err)
            except subprocess.TimeoutExpired:
                waited += TICK_SECONDS
                if self.stopping():
                    end_child(process)
                    raise ShuttingDown(f"stopped while `zfs {arguments[0]}` ran") from None
                if waited >= timeout:
                    end_child(process)
                    raise ZfsError(
                        f"`{spell(arguments)}` gave no answer in {timeout:.0f} s",
                        hint="look at `zpool status`: a suspended pool makes every zfs command hang",
                        code="zfs.timeout",
                    ) from None
            except BaseException:
                end_child(process)
                raise

    def start(
        self, arguments: Sequence[str], *, stdin: int = subprocess.DEVNULL, stdout: int = subprocess.DEVNULL
    ) -> subprocess.Popen[bytes]:
        """Starts one command in its own session with stderr piped; the caller ends and reaps it."""
        try:
            return subprocess.Popen(
                [self.program, *arguments],
                stdin=stdin,
                stdout=stdout,
                stderr=subprocess.PIPE,
                env=self.environment,
                start_new_session=True,
                close_fds=True,
            )
        except OSError as error:
            raise ZfsError(f"cannot run {self.program}: {error.strerror}", code="zfs.no_command") from error


def search_path() -> str:
    """PATH with the folders added where zfs lives and which cron leaves out."""
    folders = [folder for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    return os.pathsep.join([*folders, *(folder for folder in SBIN_FOLDERS if folder not in folders)])


def failure(arguments: Sequence[str], stderr: str, code: int) -> ZfsError:
    """The typed error for a command that ended with `code` and said `stderr`."""
    words = first_words(stderr) or (f"killed by signal {-code}" if code < 0 else f"exit status {code}, no message")
    message = f"`{spell(arguments)}` failed: {words}"
    lower = without_names(stderr).lower()
    if any(sign in lower for sign in _NOT_ROOT) and _ABSENT_DAEMON not in lower:
        hint = f"run as root, or let the user do it: zfs allow USER {permissions(arguments)} DATASET"
        return ZfsError(message, hint=hint, code="zfs.permission")
    if "does not exist" in lower:
        return ZfsError(message, hint="`zfs list -t all` shows what exists", code="zfs.not_found")
    if any(sign in lower for sign in _NO_DAEMON) and "cannot open '" not in lower:
        return ZfsError(
            message, hint="load the module (modprobe zfs) or start the zfs-fuse daemon", code="zfs.not_running"
        )
    return ZfsError(message, code="zfs.failed")


def without_names(stderr: str) -> str:
    """What zfs said, each quoted name empty: a dataset may be called `tank/permission denied`."""
    return _QUOTED.sub("''", stderr)


def permissions(arguments: Sequence[str]) -> str:
    """What `zfs allow` would have to grant for this command."""
    return _RIGHTS.get(arguments[0], "send,hold,release,bookmark,snapshot")


def first_words(stderr: str) -> str:
    """What zfs said, without the usage text that follows some messages, on one line."""
    lines = []
    for line in stderr.splitlines():
        if line.startswith("usage:"):
            break
        if line.strip():
            lines.append(line.strip())
    return "; ".join(lines[:4])


def spell(arguments: Sequence[str]) -> str:
    """The command as a person would type it, cut to a readable length."""
    text = "zfs " + " ".join(shlex.quote(argument) for argument in arguments)
    return text if len(text) <= SHOWN_COMMAND else text[: SHOWN_COMMAND - 3] + "..."


def decode(data: bytes) -> str:
    """Zfs output as text; bytes that aren't UTF-8 survive a round trip to another command line."""
    return data.decode("utf-8", "surrogateescape")
