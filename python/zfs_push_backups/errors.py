"""Every failure this package expects, as one tree grouped by what the operator does next.

Invariants: whatever leaves the package on purpose is a `ZfsPushBackupsError`; `code` is stable and meant for machines,
`exit_code` is what the command ends with, `message` says what failed, on what and why, `hint` says what to do.
Rationale: a handler asks "retry, fix rights, fix the configuration, call for help?", never "which layer was it?".
Only the standard library is imported here, since everything else imports this module.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from typing import ClassVar


class ZfsPushBackupsError(Exception):
    """Root of the tree. Catch it to catch every expected failure.

    `message` is one clear line without a full stop: what failed, on what, why. `hint` is what to do, or empty.
    `code` given to the constructor replaces the class's own (the engine's codes are finer than the classes).
    """

    exit_code: int = 1
    code: str = "error"
    default_hint: ClassVar[str] = ""

    def __init__(self, message: str, *, hint: str = "", code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.default_hint
        if code:
            self.code = code

    def __str__(self) -> str:
        """The message, then the hint: one line unless the message itself lists several problems."""
        if not self.hint:
            return self.message
        between = "\n" if "\n" in self.message else "; "
        return f"{self.message}{between}{self.hint}"


class UsageError(ZfsPushBackupsError):
    """The command line asks for something that doesn't exist or contradicts itself. Next: type another command."""

    exit_code = 2
    code = "usage"


class ConfigurationError(ZfsPushBackupsError):
    """The configuration cannot be used. Next: edit the file at the line named.

    `problems` holds one line for each thing that is wrong, in the order of the file; `message` joins them.
    """

    exit_code = 2
    code = "configuration"

    def __init__(self, message: str, *, hint: str = "", code: str = "", problems: Sequence[str] = ()) -> None:
        super().__init__(message, hint=hint, code=code)
        self.problems: tuple[str, ...] = tuple(problems) or (message,)


class StreamRefused(ZfsPushBackupsError):
    """The stream offered on standard input is of a kind that is never taken. Next: send it as the hint says."""

    exit_code = 2
    code = "stream_refused"


class StoreUnavailable(ZfsPushBackupsError):
    """The store did not answer, is full, or is too slow. Next: wait or repair the way to it; the next run resumes."""

    code = "store_unavailable"


class AccessDenied(ZfsPushBackupsError):
    """The store or the machine said no. Next: correct credentials, policy or file rights."""

    code = "access_denied"


class StoreDamaged(ZfsPushBackupsError):
    """A backup in the store is incomplete or altered. Next: restore another one, take a new full, find the cause."""

    code = "store_damaged"


class FormatTooNew(ZfsPushBackupsError):
    """The store was written by a newer version. Next: upgrade this package; nothing was changed."""

    code = "format_too_new"
    default_hint = "upgrade zfs-push-backups on this machine"


class IdentityError(ZfsPushBackupsError):
    """A recipient or identity is invalid or doesn't fit the backup. Next: name the right key file."""

    code = "identity"


class ZfsError(ZfsPushBackupsError):
    """A zfs command failed. Next: read its own words in the message and repair the pool, dataset or rights."""

    code = "zfs"


class NoBase(ZfsPushBackupsError):
    """No backup that an incremental could stand on. Next: type the command of the hint (usually a full)."""

    code = "no_base"


class SourceFailed(ZfsPushBackupsError):
    """What produces the stream failed or ended early; nothing was committed. Next: repair it and run again."""

    code = "source_failed"


class StreamUnfit(ZfsPushBackupsError):
    """A send stream in a file is cut off, damaged, or not the one needed. Next: as the message says."""

    code = "stream_unfit"


class HookFailed(ZfsPushBackupsError):
    """A hook command failed, so its task was skipped. Next: repair the hook, or say `on_error: continue`."""

    code = "hook_failed"


class StateError(ZfsPushBackupsError):
    """The run state can't be read or kept. Next: look at space and rights of `base_dir`; nothing was committed."""

    code = "state"


class ResumeImpossible(ZfsPushBackupsError):
    """What is stored of a run can't be gone on with. Next: nothing; the run is begun anew, which says so."""

    code = "resume_impossible"


class SomeTasksFailed(ZfsPushBackupsError):
    """Some tasks of the run failed, the others are done. Next: look at the failed ones; the next run takes them up."""

    exit_code = 3
    code = "some_tasks_failed"


class LockHeld(ZfsPushBackupsError):
    """Another run works on this host. Next: wait for it, or use `--wait`; nothing was changed."""

    exit_code = 4
    code = "lock_held"


class LockError(ZfsPushBackupsError):
    """No lock can be taken where locks should lie, so nothing was begun. Next: set `lock_dir` to a local folder."""

    exit_code = 2
    code = "lock_folder"
    default_hint = "set lock_dir in the configuration to a folder of yours on a local disk or in memory"


class Cancelled(ZfsPushBackupsError):
    """Stopped by a signal, in order: nothing half-done counts. Next: run again, it resumes.

    `signal_number` decides the exit code (128 + signal), whatever the stop left behind.
    """

    exit_code = 128 + signal.SIGINT
    code = "cancelled"

    def __init__(self, message: str, *, hint: str = "", code: str = "", signal_number: int = signal.SIGINT) -> None:
        super().__init__(message, hint=hint, code=code)
        self.signal_number = int(signal_number)
        self.exit_code = 128 + self.signal_number


class ShuttingDown(Cancelled):
    """New work was asked for after the stop began. Next: nothing; the work stays pending for the next run."""

    code = "shutting_down"


class InternalError(ZfsPushBackupsError):
    """A defect of this package. Next: report it with the log; run state and store stay as they were."""

    code = "internal"
    default_hint = "this is a defect: please report it with the log of the run"
