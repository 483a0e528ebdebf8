"""Writes one backup's send stream to a file or stdout.

Invariants: a file appears whole or not at all (temporary name in the same folder, mode 0600, fsync, rename); an
existing one is replaced only with `force`. A chain of several streams is refused: no zfs receive takes them as one.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING

from zfs_push_backups import engine
from zfs_push_backups.errors import AccessDenied, UsageError, ZfsError
from zfs_push_backups.run.jobs import run_job
from zfs_push_backups.run.results import RestoredDataset

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zfs_push_backups.run.restore import Chain, Restoration

STDOUT = "-"


def write_stream(work: Restoration, chain: Chain) -> RestoredDataset:
    """Write the one backup of `chain`."""
    started = time.monotonic()
    output = work.options.output or STDOUT
    (backup,) = chain.backups
    manifest = work.store.manifest(backup)
    snapshot = str(manifest["snapshot"])
    request = {
        "store": work.store.config,
        "identity_files": list(work.identities),
        "manifest_key": backup.key,
        "memory_budget_bytes": work.memory_budget,
    }
    with sink(output, force=work.options.force) as descriptor:
        job = engine.RestoreJob(request, descriptor)
        label = f"{chain.dataset}@{snapshot}"
        try:
            report = run_job(work.session, job, label=label, total_bytes=int(manifest["stream_length"]))
        except ZfsError as error:
            # The engine knows a descriptor only.
            if output != STDOUT:
                error.message = f"{output} can't be written: {error.message}"
                error.hint = error.hint or "make room there, or name another file"
            raise
    if output != STDOUT:
        work.session.reporter.step(f"{label} written to {output}")
    return RestoredDataset(
        dataset=chain.dataset,
        target=output,
        backups=(backup.id,),
        snapshots=(snapshot,),
        stream_bytes=int(report["stream_bytes"]),
        seconds=time.monotonic() - started,
    )


def check_output(chain: Chain, output: str, *, force: bool) -> None:
    """Refuse what can't end well, before anything is read."""
    if len(chain.backups) > 1:
        ids = ", ".join(backup.id for backup in chain.backups)
        raise UsageError(
            f"{chain.dataset} needs {len(chain.backups)} streams, and a file holds one",
            hint=f"restore with --to, or write each with --backup, in this order: {ids}",
        )
    if output == STDOUT:
        if os.isatty(1):
            raise UsageError("stdout is a terminal", hint="pipe the stream into zfs receive, or name a file")
        return
    path = Path(output)
    if os.path.isdir(path):  # noqa: PTH112
        raise UsageError(f"{output} is a folder", hint="name the file in it")
    if os.path.exists(path) and not os.path.isfile(path):  # noqa: PTH110, PTH113  # these never raise
        raise UsageError(f"{output} is no regular file, and is never replaced", hint=f"say --output - >{output}")
    if os.path.exists(path) and not force:  # noqa: PTH110
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
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise AccessDenied(f"{path.parent} can't be written: {error.strerror}", hint="name another folder") from error
    try:
        yield descriptor
        os.fsync(descriptor)
        give_name(draft, path, force=force)
    finally:
        os.close(descriptor)
        draft.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def give_name(draft: Path, path: Path, *, force: bool) -> None:
    """Give the finished draft its name; without `force` never in the place of a file that appeared meanwhile."""
    if force:
        draft.replace(path)
        return
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        raise UsageError(f"{path} has appeared meanwhile and is left alone", hint="name another file") from None
    except OSError:
        # A filesystem without hard links: the look before the rename is the best that can be had there.
        if path.exists():
            raise UsageError(f"{path} has appeared meanwhile and is left alone", hint="name another file") from None
        draft.replace(path)
