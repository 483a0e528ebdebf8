"""Push one dataset, list what is there, and prove the newest backup by restoring it: the package as a library.

nightly.py POOL/DATASET HOST_URL RECIPIENT IDENTITY_FILE NEW_DATASET
"""
# ruff: noqa: INP001, T201  # a script that talks to people

from __future__ import annotations

import asyncio
import sys

from zfs_push_backups import ZfsPushBackupsError, list_backups, push, restore_async


def main(dataset: str, host: str, recipient: str, identity: str, target: str) -> int:
    """Run the three steps; the exit code is the error's own."""
    try:
        summary = push(host=host, dataset=dataset, recipients=(recipient,))
        for result in summary.results:
            print(f"{result.dataset}@{result.snapshot}: {result.status}, level {result.level}")
        for backup in list_backups(host=host, dataset=dataset, long=True).backups:
            print(f"{backup.created} level {backup.level} @{backup.snapshot} {backup.sealed_bytes} bytes")
        # The awaitable forms do the same; cancelling the task that awaits stops the job in order.
        done = asyncio.run(restore_async(host=host, dataset=dataset, identities=(identity,), to=target))
        print(f"restored to {done.restored[0].target}: {', '.join(done.restored[0].snapshots)}")
    except ZfsPushBackupsError as error:
        print(f"{error.message}\n{error.hint}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:6]))
