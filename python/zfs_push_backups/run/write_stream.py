"""Writes one backup's send stream to a file or stdout.

A chain of several streams is refused: no zfs receive takes them as one.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from zfs_push_backups import engine
from zfs_push_backups.errors import UsageError
from zfs_push_backups.run.jobs import run_job
from zfs_push_backups.run.output_file import STDOUT, check_target, output_named, sink
from zfs_push_backups.run.results import RestoredDataset

if TYPE_CHECKING:
    from zfs_push_backups.run.restore import Chain, Restoration


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
    with sink(output, force=work.options.force) as descriptor, output_named(output):
        job = engine.RestoreJob(request, descriptor)
        label = f"{chain.dataset}@{snapshot}"
        report = run_job(work.session, job, label=label, total_bytes=int(manifest["stream_length"]))
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
    check_target(output, force=force)
