"""One lock as a file: taken by flock, removed while it is still held.

Invariants: flock decides, for the life of the process, so a dead owner never blocks and a recycled PID means nothing;
whoever gets a lock checks that the path still names the file that was locked. Children don't inherit it. Nothing but a
file of our own is ever written to.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pwd
import stat
import weakref
from typing import TYPE_CHECKING

from zfs_push_backups.errors import LockError
from zfs_push_backups.run.lock_holder import own_words

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_held: weakref.WeakSet[Lock] = weakref.WeakSet()


class Lock:
    """A lock by its path."""

    def __init__(self, path: Path, *, command: str = "push") -> None:
        self.path = path
        self.command = command
        self._descriptor = -1

    @property
    def is_held(self) -> bool:
        """Whether this object holds the lock."""
        return self._descriptor >= 0

    def take(self, wait: Callable[[int], bool] | None = None) -> bool:
        """Take the lock; False when another has it. `wait` gets the descriptor and waits; False when in vain."""
        while True:
            descriptor = open_lock(self.path)
            try:
                if not (try_flock(descriptor, self.path) or (wait is not None and wait(descriptor))):
                    os.close(descriptor)
                    return False
                if is_at(descriptor, self.path):
                    refuse_where_it_binds_nobody(self.path)
                    self._keep(descriptor)
                    return True
            except BaseException:
                self._descriptor = -1
                os.close(descriptor)
                raise
            # Removed between opening and locking: what we have is nobody's path any more.
            os.close(descriptor)

    def release(self) -> None:
        """Remove the file while it is still held, then let go; harmless when not held."""
        descriptor, self._descriptor = self._descriptor, -1
        _held.discard(self)
        if descriptor < 0:
            return
        try:
            with contextlib.suppress(OSError):
                if is_at(descriptor, self.path):
                    self.path.unlink()
        finally:
            os.close(descriptor)

    def _keep(self, descriptor: int) -> None:
        self._descriptor = descriptor
        _held.add(self)
        # The words are for people: a full disk must not keep a backup from being made.
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, own_words(self.command).encode(), 0)

    def forget_in_child(self) -> None:
        """Let a forked child drop what its parent holds; the parent keeps it."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def _forget_all_in_child() -> None:
    for lock in list(_held):
        lock.forget_in_child()
    _held.clear()


os.register_at_fork(after_in_child=_forget_all_in_child)


def open_lock(path: Path) -> int:
    """Open or make the lock's file; refuse what isn't a file of our own with one name. Raises LockError."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        raise _cannot_open(path, error) from error
    found = os.fstat(descriptor)
    reason = None
    if not stat.S_ISREG(found.st_mode):
        reason = "is no regular file"
    elif found.st_uid != os.geteuid():
        reason = f"belongs to {_owner(found.st_uid)}"
    elif found.st_nlink > 1:
        reason = "is another name of some file"
    if reason is not None:
        os.close(descriptor)
        raise _refused(path, reason)
    return descriptor


def try_flock(descriptor: int, path: Path) -> bool:
    """Lock without waiting; False when another has it. Raises LockError where there are no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno == errno.EWOULDBLOCK:
            return False
        raise LockError(f"the lock folder {path.parent} knows no locks: {error.strerror}") from error
    return True


def is_at(descriptor: int, path: Path) -> bool:
    """Whether the path names the file that is open."""
    mine = os.fstat(descriptor)
    try:
        there = path.stat(follow_symlinks=False)
    except FileNotFoundError:
        return False
    return (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino)


def refuse_where_it_binds_nobody(path: Path) -> None:
    """Try the lock that we hold a second time: where that works too, flock means nothing in this folder."""
    try:
        second = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        # Removed by somebody: then there is nothing to try it on.
        return
    try:
        if try_flock(second, path):
            raise LockError(f"in the lock folder {path.parent} a lock binds nobody: it can be taken twice")
    finally:
        os.close(second)


def is_locked(path: Path) -> bool:
    """Whether somebody holds the lock, by trying for an instant, which those who take locks bear with."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno == errno.EWOULDBLOCK
    finally:
        os.close(descriptor)
    return False


def _cannot_open(path: Path, error: OSError) -> LockError:
    if error.errno == errno.ELOOP:
        return _refused(path, "is a symbolic link")
    reasons = {
        errno.ENOENT: f"the lock folder {path.parent} does not exist",
        errno.EROFS: f"the lock folder {path.parent} is read-only",
        errno.EISDIR: f"the lock {path} is a folder",
        errno.ENXIO: f"the lock {path} is no regular file",
    }
    default = f"the lock {path} can't be made: {error.strerror}"
    return LockError(reasons.get(error.errno or 0, default))


def _refused(path: Path, reason: str) -> LockError:
    return LockError(
        f"the lock {path} {reason}, so it is left alone",
        hint="find out who made it and remove it, or set lock_dir in the configuration to a folder of yours alone",
    )


def _owner(uid: int) -> str:
    try:
        return f"the user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"the user {uid}"
