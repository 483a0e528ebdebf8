"""List: the committed backups of a host, by source and dataset, as a table or records.

The listing alone costs one LIST; snapshot names, sizes and groups are in the manifests, read only with `long`.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from zfs_push_backups.errors import UsageError
from zfs_push_backups.plan.listing import Chains
from zfs_push_backups.record import Record
from zfs_push_backups.report.progress import human_bytes
from zfs_push_backups.report.visible import visible
from zfs_push_backups.run.store import StoreView
from zfs_push_backups.zfs.names import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from zfs_push_backups.plan.listing import Backup
    from zfs_push_backups.run.options import ListOptions
    from zfs_push_backups.run.session import Session
    from zfs_push_backups.run.store import Manifest


class ListedBackup(Record, kw_only=True):
    """One backup. What stands in the manifest only is None unless it was read; sizes in bytes.

    `damage` says why its manifest can't be read; what stands on it is not restorable.
    """

    source: str
    dataset: str
    id: str
    level: int
    created: str
    parent: str | None
    restorable: bool
    snapshot_guid: str
    snapshot: str | None = None
    snapshot_created: int | None = None
    stream_bytes: int | None = None
    sealed_bytes: int | None = None
    parts: int | None = None
    tree_group: str | None = None
    task: str | None = None
    raw: bool | None = None
    damage: str | None = None


class Listing(Record, kw_only=True):
    """All backups found, oldest first within a dataset."""

    host: str
    location: str
    repository: str | None
    backups: tuple[ListedBackup, ...]
    requests: dict[str, int]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def list_backups(options: ListOptions, session: Session) -> Listing:
    """List what is committed. Raises `UsageError` for a source or dataset that has nothing there."""
    config = session.configuration(options)
    host = session.host(config, options)
    store = StoreView(session, host)
    everything = store.backups()
    chosen = narrowed(everything, options)
    manifests = dict(store.readable_manifests(chosen)) if options.long else {}
    chains = Chains(everything)
    rows = [row_of(backup, chains, manifests.get(backup), store) for backup in chosen]
    return Listing(
        host=host.name,
        location=host.url,
        repository=store.repository,
        backups=tuple(sorted(rows, key=lambda row: (row.source, row.dataset.split("/"), row.created, row.id))),
        requests=dict(store.requests),
    )


def narrowed(everything: tuple[Backup, ...], options: ListOptions) -> list[Backup]:
    """Those of the source and dataset asked for."""
    mine = [backup for backup in everything if options.source in (None, backup.source)]
    if options.source and not mine:
        raise UsageError(
            f"the store has no source {options.source}", hint=guess(options.source, sources_of(everything))
        )
    found = [backup for backup in mine if options.dataset in (None, backup.dataset)]
    if options.dataset and not found:
        names = {backup.dataset for backup in mine if backup.dataset}
        raise UsageError(f"the store has no backup of {options.dataset}", hint=guess(options.dataset, names))
    return found


def sources_of(backups: Iterable[Backup]) -> set[str]:
    """All sources."""
    return {backup.source for backup in backups}


def guess(wanted: str, known: set[str]) -> str:
    """The nearest name, or all of them."""
    near = nearest(wanted, known)
    return f"did you mean {near}?" if near else f"it has: {', '.join(sorted(known)) or 'nothing at all'}"


def row_of(backup: Backup, chains: Chains, manifest: Manifest | None, store: StoreView) -> ListedBackup:
    """One backup as a record."""
    path = chains.whole(backup)
    whole = path is not None and all(store.damage(one) is None for one in path)
    parts = manifest["parts"] if manifest else []
    return ListedBackup(
        source=backup.source,
        dataset=backup.dataset or "",
        id=backup.id,
        level=backup.level,
        created=backup.created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        parent=path[-2].id if path and len(path) > 1 else None,
        restorable=whole,
        snapshot_guid=str(backup.snapshot_guid),
        snapshot=manifest["snapshot"] if manifest else None,
        snapshot_created=manifest.get("snapshot_created") if manifest else None,
        stream_bytes=manifest["stream_length"] if manifest else None,
        sealed_bytes=sum(part["sealed_length"] for part in parts) if manifest else None,
        parts=len(parts) if manifest else None,
        tree_group=manifest.get("tree_group") if manifest else None,
        task=manifest.get("task") if manifest else None,
        raw=manifest["send"]["raw"] if manifest else None,
        damage=store.damage(backup),
    )


def as_table(listing: Listing) -> str:
    """The listing for people: one block a dataset, one line a backup."""
    if not listing.backups:
        return f"{listing.host}: no backups yet in {listing.location}"
    lines: list[str] = []
    heading = ""
    for row in listing.backups:
        title = visible(f"{row.dataset}  (source {row.source})")
        if title != heading:
            lines += ["", title] if heading else [title]
            heading = title
        lines.append("  " + "  ".join(cells(row)))
    return "\n".join(lines)


def cells(row: ListedBackup) -> list[str]:
    """The columns of one line."""
    on = "full" if row.level == 0 else f"on {row.parent}" if row.parent else "on what is gone"
    columns = [row.created.replace("T", " "), f"level {row.level}", row.id, on]
    if row.snapshot is not None:
        columns += [f"@{row.snapshot}", human_bytes(row.sealed_bytes or 0)]
        columns += [f"group {row.tree_group}"] if row.tree_group else []
    if row.damage is not None:
        columns.append("NOT RESTORABLE: its manifest can't be read")
    elif not row.restorable:
        columns.append("NOT RESTORABLE: its chain is broken")
    return [visible(column) for column in columns]
