"""The file, or stdout, that a send stream is written to.

Invariants: a file appears whole or not at all, mode 0600, and an existing one is replaced only with `force`. What is
not whole has no name, so that not even SIGKILL leaves plain bytes behind; only where the filesystem has no such files
(O_TMPFILE) it has a temporary one in the same folder, which every end but that of a killed process takes away.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Final

from zfs_push_backups.errors import AccessDenied, UsageError, ZfsError

if TYPE_CHECKING:
    from collections.abc import Iterator

STDOUT: Final = "-"
_DESCRIPTORS: Final = "/proc/self/fd"
_MODE: Final = 0o600


def check_target(output: str, *, force: bool) -> None:
    """Refuse what can't end well, before anything is read."""
    if not output:
        raise UsageError("no file is named", hint="name one, or say - for stdout")
    if output == STDOUT:
        if os.isatty(1):
            raise UsageError("stdout is a terminal", hint="pipe the stream into zfs receive, or name a file")
        return
    path = Path(output)
    if os.path.isdir(path):  # noqa: PTH112
        raise UsageError(f"{output} is a folder", hint="name the file in it")
    if os.path.lexists(path) and not os.path.isfile(path):  # noqa: PTH113  # these never raise
        raise UsageError(f"{output} is no regular file, and is never replaced", hint=f"say --output - >{output}")
    if os.path.lexists(path) and not force:
        raise UsageError(f"{output} exists", hint="name another file, or say --force")
    if not os.path.isdir(path.absolute().parent):  # noqa: PTH112
        raise UsageError(f"there is no folder {path.absolute().parent}", hint="make it first")


@contextlib.contextmanager
def sink(output: str, *, force: bool) -> Iterator[int]:
    """Give the descriptor to write to; the file gets its name when the block ends well."""
    if output == STDOUT:
        yield 1
        return
    path = Path(output).absolute()
    draft = path.with_name(f".{path.name[:200]}.{secrets.token_hex(4)}.tmp")
    with drafted(draft) as (descriptor, named):
        yield descriptor
        try:
            os.fsync(descriptor)
            give_name(draft if named else descriptor, path, draft if force else None)
            sync_folder(path.parent)
        except OSError as error:
            raise unwritable(path, error) from error


@contextlib.contextmanager
def output_named(output: str) -> Iterator[None]:
    """Have a failed write say what could not be written: the engine knows a descriptor only."""
    try:
        yield
    except ZfsError as error:
        if output != STDOUT:
            error.message = f"{output} can't be written: {error.message}"
            error.hint = error.hint or "make room there, or name another file"
        raise


@contextlib.contextmanager
def drafted(draft: Path) -> Iterator[tuple[int, bool]]:
    """Open a new file, and whether it has the name `draft`; a name that it still has at the end goes."""
    try:
        descriptor, named = open_draft(draft)
    except OSError as error:
        raise unwritable(draft.parent, error) from error
    try:
        yield descriptor, named
    finally:
        os.close(descriptor)
        draft.unlink(missing_ok=True)


def open_draft(draft: Path) -> tuple[int, bool]:
    """Open a new file for writing: without a name where that can be, else as `draft`; says whether it has the name."""
    if os.path.isdir(_DESCRIPTORS):  # noqa: PTH112
        # Which error a filesystem without nameless files gives differs; the other way to open has the last word.
        with contextlib.suppress(OSError):
            return os.open(draft.parent, os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC, _MODE), False
    return os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE), True


def give_name(content: int | Path, path: Path, replacing: Path | None) -> None:
    """Give the finished file its name; without `replacing` (a name on the way) never in the place of another."""
    if replacing is not None:
        if isinstance(content, int):
            link(content, replacing)
        replacing.replace(path)
        return
    try:
        link(content, path)
    except FileExistsError:
        raise UsageError(f"{path} has appeared meanwhile and is left alone", hint="name another file") from None


def link(content: int | Path, path: Path) -> None:
    """Make `path` a name of the file; raises FileExistsError where there is one."""
    if isinstance(content, int):
        # Python follows the link to the file only if a descriptor is named; with an absolute path that has no effect.
        os.link(f"{_DESCRIPTORS}/{content}", path, src_dir_fd=content, follow_symlinks=True)
        return
    try:
        path.hardlink_to(content)
    except FileExistsError:
        raise
    except OSError:
        # A filesystem without hard links: the look before the rename is the best that can be had there.
        if path.exists():
            raise FileExistsError from None
        content.replace(path)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def unwritable(path: Path, error: OSError) -> AccessDenied:
    """Say that nothing can be written there."""
    return AccessDenied(f"{path} can't be written: {error.strerror}", hint="make room there, or name another place")
