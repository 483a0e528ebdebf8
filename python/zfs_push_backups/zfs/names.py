"""Names as people type them, checked by ZFS's own rules before they can reach a command line, and the nearest name.

Invariant: what passes is never taken for an option. The rules themselves are in `zfs_push_backups.names`.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from zfs_push_backups import names
from zfs_push_backups.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

_MARKS = {"@": "a snapshot", "#": "a bookmark"}


def check_dataset(name: str) -> str:
    """Return `name` if it can be a dataset's name; raise `UsageError` saying what is wrong with it."""
    for mark, meaning in _MARKS.items():
        if mark in name:
            raise UsageError(
                f"{name[:255]!r} names {meaning}, not a dataset", hint=f"leave out {mark!r} and what follows"
            )
    try:
        return names.check_dataset_name(name)
    except ValueError as error:
        raise UsageError(str(error), hint="write POOL/DATASET") from None


def split_snapshot(name: str) -> tuple[str, str]:
    """Split `pool/dataset@snapshot`; raise `UsageError` when it isn't one."""
    try:
        names.check_snapshot_name(name)
    except ValueError as error:
        raise UsageError(str(error), hint="write POOL/DATASET@SNAPSHOT") from None
    dataset, _, snapshot = name.partition("@")
    return dataset, snapshot


def nearest(name: str, candidates: Iterable[str]) -> str:
    """The candidate that `name` was most likely meant to be, or an empty string."""
    found = difflib.get_close_matches(name, list(candidates), n=1, cutoff=0.5)
    return found[0] if found else ""
