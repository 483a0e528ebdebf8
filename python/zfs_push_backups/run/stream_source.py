"""The file or pipe that a send stream is read from, and how it is named to people.

Invariant: opening never waits. A FIFO without a writer is waited for where a signal can stop it: in the engine.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING, Final

from zfs_push_backups.errors import AccessDenied, UsageError
from zfs_push_backups.report.visible import visible

if TYPE_CHECKING:
    from collections.abc import Iterator

STDIN: Final = "-"
_READING: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


@contextlib.contextmanager
def source(file: str, *, seekable: bool = False) -> Iterator[int]:
    """Give a descriptor of the stream."""
    name = shown(file)
    instead = "a pipe won't do" if seekable else "or - for stdin"
    with opened(file, name, instead) as descriptor:
        refuse_unfit(descriptor, name, seekable=seekable)
        yield descriptor


@contextlib.contextmanager
def opened(file: str, name: str, instead: str) -> Iterator[int]:
    """Open the file, or take stdin."""
    if file == STDIN:
        yield 0
        return
    try:
        descriptor = os.open(file, _READING)
    except FileNotFoundError:
        raise UsageError(f"there is no file {name}", hint=f"name the file with the send stream, {instead}") from None
    except OSError as error:
        hint = "correct the rights, or name another file"
        raise AccessDenied(f"{name} can't be read: {error.strerror}", hint=hint) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def refuse_unfit(descriptor: int, name: str, *, seekable: bool) -> None:
    """Refuse what no stream can come from."""
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISDIR(mode):
        raise UsageError(f"{name} is a folder", hint="name the file in it that holds the send stream")
    if os.isatty(descriptor):
        raise UsageError(f"{name} is a terminal", hint="name a file, or pipe a send stream in")
    if seekable and not stat.S_ISREG(mode):
        raise UsageError(f"{name} is no regular file, and the kept part is read twice", hint="keep it in a file first")


def length_of(descriptor: int) -> int | None:
    """How many bytes there are, where that can be known."""
    status = os.fstat(descriptor)
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def shown(file: str) -> str:
    """The file's name for people."""
    return visible("stdin" if file == STDIN else file)
