"""Locks: one run at a time for a host, and for a repository that has two names.

Invariants: whatever changes something holds both, from before it looks at any state until its end; hosts run in
parallel. A run that finds the lock held says who has it since when, and what to do about it.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

from zfs_push_backups.errors import LockError, LockHeld
from zfs_push_backups.names import lock_component
from zfs_push_backups.run.lock_file import Lock, is_locked
from zfs_push_backups.run.lock_folder import check_folder, lock_folder
from zfs_push_backups.run.lock_holder import Holder, holder
from zfs_push_backups.run.lock_wait import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from zfs_push_backups.config.models import Config, Host
    from zfs_push_backups.run.session import Session

__all__ = ["Holder", "Lock", "Locked", "holder", "host_lock_name", "is_running", "lock_folder", "locked"]

LONGEST_COMPONENT = 200
DIGEST_DIGITS = 16
# A holder that hasn't written its name yet, or only looked, is given so long before it counts as one.
GRACE_SECONDS = 0.25


def host_lock_name(host: str) -> str:
    """`zfs-push-backups-<host>.lock`, also for a repository's id; a name too long for a file ends in its hash."""
    component = lock_component(host)
    if len(component) > LONGEST_COMPONENT:
        digest = hashlib.sha256(host.encode("utf-8", "surrogateescape")).hexdigest()[:DIGEST_DIGITS]
        component = f"{component[: LONGEST_COMPONENT - DIGEST_DIGITS - 1]}-{digest}"
    return f"zfs-push-backups-{component}.lock"


class Locked:
    """What one run holds: its host's lock, and the repository's once it is known."""

    def __init__(self, session: Session, folder: Path, *, command: str, wait_seconds: float | None) -> None:
        self._session, self._stop = session, session.stop
        self._folder = folder
        self._command = command
        self._wait_seconds = wait_seconds or 0.0
        self._deadline = time.monotonic() + self._wait_seconds
        self._releases: dict[Path, Callable[[], None]] = {}

    def repository(self, repository_id: str) -> None:
        """Take the repository's lock too; once is enough. Raises LockHeld."""
        self.take(host_lock_name(repository_id), "the repository of this store")

    def take(self, name: str, what: str) -> None:
        """Take one lock and keep it to the end. Raises LockHeld, LockError, or ShuttingDown while waiting."""
        lock = Lock(self._folder / name, command=self._command)
        if lock.path in self._releases:
            return

        def wait(descriptor: int) -> bool:
            return self._wait(descriptor, lock.path, what)

        # Before it is taken: an interruption between the two would leave it held.
        self._releases[lock.path] = self._stop.push(f"lock {lock.path.name}", lock.release)
        if not lock.take(wait):
            self._stop.check()
            raise held_error(lock.path, what, self._wait_seconds)

    def release(self) -> None:
        """Release what is held, the last one first."""
        for path in reversed(tuple(self._releases)):
            self._releases.pop(path)()

    def _wait(self, descriptor: int, path: Path, what: str) -> bool:
        left = self._deadline - time.monotonic()
        found = holder(path)
        if found is None or not found.is_alive():
            left = max(left, GRACE_SECONDS)
        if left > GRACE_SECONDS:
            self._session.reporter.step(
                f"waiting up to {left:.0f} s for {what}" + (f": {found.describe()}" if found else "")
            )
        return left > 0 and wait_for(descriptor, left, self._stop)


@contextlib.contextmanager
def locked(
    session: Session, config: Config, host: Host, *, command: str, wait_seconds: float | None = None
) -> Iterator[Locked]:
    """Hold the host's lock while the block runs. A host that is a URL has none: its repository's has to do."""
    session.stop.check()
    folder = lock_folder(config)
    check_folder(folder)
    held = Locked(session, folder, command=command, wait_seconds=wait_seconds)
    try:
        if "://" not in host.name:
            held.take(host_lock_name(host.name), f"the host {host.name!r}")
        yield held
    finally:
        held.release()


def is_running(config: Config, host: Host, repository_id: str | None = None) -> Holder | None:
    """Who works on this host (or repository) now; None where nobody does. Nothing is made, and nobody is kept out."""
    with contextlib.suppress(LockError):
        folder = lock_folder(config)
        names = [host.name] if "://" not in host.name else []
        for name in [*names, *([repository_id] if repository_id else [])]:
            path = folder / host_lock_name(name)
            if is_locked(path) and (found := holder(path)) is not None:
                return found
    return None


def held_error(path: Path, what: str, waited_seconds: float = 0.0) -> LockHeld:
    """Who holds it since when, and what to do about it."""
    waited = f" after {waited_seconds:.0f} s of waiting" if waited_seconds else ""
    found = holder(path)
    if found is None or not found.is_alive():
        stands = f"process {found.pid} stands in it, but isn't visible here" if found else "nobody stands in it yet"
        return LockHeld(
            f"another run holds {what}{waited}: {stands} (lock {path})",
            hint="run again later or with --wait SECONDS; removing the file ends no run, `fuser -v` shows who has it",
        )
    message = f"another run holds {what}{waited}: {found.describe()}"
    if found.is_stuck():
        return LockHeld(
            f"{message}, now in uninterruptible sleep (state D)",
            hint="it waits for a disk or pool and no signal ends it: look at `zpool status` and `dmesg`; "
            "the lock goes when it wakes up, or with a restart of the machine",
        )
    return LockHeld(
        message, hint=f"wait for it (--wait SECONDS), or stop it in order: kill {found.pid}; nothing was changed"
    )
