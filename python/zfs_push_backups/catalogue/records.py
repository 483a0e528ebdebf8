"""What the catalogue holds, as plain frozen records: runs, and snapshots that are held.

Invariants: a part is the engine's own JSON object, of which only the six names of `REQUIRED` are read here; a run's
facts never change once it has begun. No I/O, so that the planner may use them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from zfs_push_backups.record import Record

Part = Mapping[str, Any]
Outcome = Literal["committed", "abandoned", "failed"]


class SavedRun(Record, kw_only=True):
    """One run of one dataset: what is pinned for it, and how far it came.

    `base` is what `zfs send -i` got (`@name` or `#name`), `base_guid` its guid, `parent_id` the backup that has it.
    `part_size_bytes` None is `auto`, by `estimated_bytes`. `manifest_key` and `manifest` are there from the moment
    the run was about to commit. `createtxg`: the transaction group that made the snapshot. `splice_refused`: why `zfs
    send -t` could not go on with it. `outcome` None: not ended. `swept`: nothing of it is left to remove.
    """

    id: str
    host: str
    repository: str
    source: str
    task: str | None
    dataset: str
    dataset_guid: str | None
    snapshot: str
    snapshot_guid: int
    level: int
    parent_id: str | None
    base: str | None
    base_guid: int | None
    flags: tuple[str, ...]
    raw: bool
    recipients: tuple[str, ...]
    compression: str
    part_size_bytes: int | None
    estimated_bytes: int | None
    zfs_userland: str | None
    zfs_kernel: str | None
    tree_group: str | None
    resumable: bool
    begun: datetime
    createtxg: int | None = None
    sessions: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()
    begin_record: str | None = None
    manifest_key: str | None = None
    manifest: str | None = None
    splice_refused: str | None = None
    outcome: Outcome | None = None
    ended: datetime | None = None
    error: str | None = None
    swept: bool = False

    @property
    def committing(self) -> bool:
        """Whether its manifest may have been sent."""
        return self.manifest_key is not None

    @property
    def name(self) -> str:
        """`pool/dataset@snapshot`, for people."""
        return f"{self.dataset}@{self.snapshot}"


class RunSummary(Record, kw_only=True):
    """One run without its parts, for `status`. Sizes in bytes; `pid` is who worked on it last."""

    id: str
    host: str
    repository: str
    source: str
    task: str | None
    dataset: str
    snapshot: str
    level: int
    resumable: bool
    committing: bool
    begun: datetime
    ended: datetime | None
    outcome: Outcome | None
    error: str | None
    parts: int
    stream_bytes: int
    sealed_bytes: int
    pid: int | None


class HeldSnapshot(Record, kw_only=True):
    """A hold that this machine has placed. `since` carries its time zone."""

    repository: str
    tag: str
    dataset: str
    snapshot: str
    snapshot_guid: int
    task: str | None
    reason: str
    since: datetime
