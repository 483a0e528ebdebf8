"""What to restore: which backup, and the chain that leads to it.

Invariants: a chain begins with a full and every step is there, or the error names what is missing. Backups of several
sources are never mixed nor guessed between. 'Newest' is the newest snapshot where the manifests were read, else the
newest push; what stands on a backup is always newer than it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from zfs_push_backups.errors import UsageError
from zfs_push_backups.names import instead, nearest
from zfs_push_backups.plan.listing import Backup, Chains
from zfs_push_backups.plan.tree import parents_first
from zfs_push_backups.record import Record


class Facts(Record):
    """What a manifest adds to the listing; `snapshot_created` in Unix seconds."""

    dataset: str
    snapshot: str
    snapshot_created: int | None = None
    tree_group: str | None = None


class Wanted(Record):
    """Which state: that of a snapshot (name or guid), or the last one not younger than `at`, or the newest."""

    snapshot: str | None = None
    at: datetime | None = None


class Member(Record):
    """One dataset of a tree to restore. `in_group`: made together with the root's backup, at the same instant."""

    dataset: str
    chain: tuple[Backup, ...]
    in_group: bool


def of_dataset(backups: Iterable[Backup], dataset: str, source: str | None = None) -> tuple[Backup, ...]:
    """The backups of one dataset of one source. Raises UsageError if there are none, or several sources have it.

    Backups whose dataset the key doesn't tell must have been given theirs from the manifest before.
    """
    listed = tuple(backups)
    sources = sorted({backup.source for backup in listed})
    if source is not None and source not in sources:
        raise UsageError(f"the store has no source {source!r}", hint=instead(source, sources, "sources"))
    mine = [backup for backup in listed if source is None or backup.source == source]
    found = tuple(backup for backup in mine if backup.dataset == dataset)
    if not found:
        names = {backup.dataset for backup in mine if backup.dataset}
        raise UsageError(f"the store has no backup of {dataset!r}", hint=instead(dataset, names, "datasets there"))
    owners = sorted({backup.source for backup in found})
    if len(owners) > 1:
        choices = " or ".join(f"--source {owner}" for owner in owners)
        raise UsageError(f"{dataset!r} has backups of {len(owners)} sources", hint=f"say {choices}")
    return found


def choose(backups: Sequence[Backup], wanted: Wanted, facts: Mapping[str, Facts] | None = None) -> Backup:
    """The backup of one dataset and source (see `of_dataset`) that holds the wanted state. `facts` are by backup id.

    A snapshot's name needs the facts; its guid doesn't. Of the newest, or the newest not younger than `at`, nothing
    else that fits stands on the one chosen. Raises UsageError.
    """
    known = facts or {}
    fitting: Sequence[Backup] = [backup for backup in backups if _fits(backup, wanted, known.get(backup.id))]
    if wanted.snapshot is None:
        # Times have whole seconds, and of an unreadable backup only the push's is known: standing on it says more.
        # In a loop nothing is a tip: one of it is chosen, so that `resolve` says what is damaged.
        fitting = tips(fitting) or fitting
    if not fitting:
        raise _nothing_fits(backups, wanted, known)
    whole = Chains(backups)
    # Of several backups of one state: one that is whole, with the shortest chain, so that the fewest parts are read.
    return max(fitting, key=lambda b: (state_time(b, known), bool(whole.whole(b)), -b.level, b.created, b.id))


def tips(backups: Sequence[Backup]) -> tuple[Backup, ...]:
    """Those that nothing stands on: the newest state is one of theirs, whatever the order of the pushes was."""
    parents = {(backup.folder, backup.parent_nonce) for backup in backups}
    return tuple(backup for backup in backups if (backup.folder, backup.nonce) not in parents)


def resolve(backup: Backup, backups: Iterable[Backup]) -> tuple[Backup, ...]:
    """The chain of `backup`, the full first. Raises StoreDamaged naming what is missing."""
    return Chains(backups).path(backup)


def resolve_tree(root: Backup, backups: Sequence[Backup], facts: Mapping[str, Facts]) -> tuple[Member, ...]:
    """The chain of each dataset below the root's, parents first, as it was when `root` was made.

    A dataset with a backup in the root's group is restored from that (the one nearest in time, where a snapshot's name
    was used again); one that was up to date then, from its newest backup before. Raises StoreDamaged if a chain is
    broken.
    """
    top = facts[root.id]
    chains = Chains(backups)
    by_dataset: dict[str, list[Backup]] = {top.dataset: [root]}
    for backup in backups:
        name = facts[backup.id].dataset if backup.id in facts else backup.dataset
        if backup.source == root.source and name is not None and name.startswith(f"{top.dataset}/"):
            by_dataset.setdefault(name, []).append(backup)
    members = []
    for name in parents_first(by_dataset):
        if chosen := _of_group(by_dataset[name], root, facts):
            grouped = top.tree_group is not None and _group(chosen, facts) == top.tree_group
            members.append(Member(name, chains.path(chosen), in_group=grouped or chosen == root))
    return tuple(members)


def _of_group(candidates: Sequence[Backup], root: Backup, facts: Mapping[str, Facts]) -> Backup | None:
    group = facts[root.id].tree_group
    together = [backup for backup in candidates if group is not None and _group(backup, facts) == group]
    moment = state_time(root, facts)
    if together:
        return max(together, key=lambda b: (-abs(state_time(b, facts) - moment), b.created, b.id))
    before = [backup for backup in candidates if state_time(backup, facts) <= moment]
    return max(before, key=lambda b: (state_time(b, facts), b.created, b.id), default=None)


def _group(backup: Backup, facts: Mapping[str, Facts]) -> str | None:
    known = facts.get(backup.id)
    return known.tree_group if known else None


def state_time(backup: Backup, facts: Mapping[str, Facts]) -> datetime:
    """When the state in the backup was taken, as far as known."""
    known = facts.get(backup.id)
    if known is None or known.snapshot_created is None:
        return backup.created
    return datetime.fromtimestamp(known.snapshot_created, UTC)


def _fits(backup: Backup, wanted: Wanted, known: Facts | None) -> bool:
    facts = {} if known is None else {backup.id: known}
    if wanted.at is not None and state_time(backup, facts) > wanted.at:
        return False
    if wanted.snapshot is None:
        return True
    name = wanted.snapshot.rpartition("@")[2]
    return name == str(backup.snapshot_guid) or (known is not None and known.snapshot == name)


def _nothing_fits(backups: Sequence[Backup], wanted: Wanted, facts: Mapping[str, Facts]) -> UsageError:
    if not backups:
        return UsageError(
            "there are no backups to choose from", hint="`zfs-push-backups list` shows what the store has"
        )
    if wanted.snapshot is not None:
        names = [known.snapshot for known in facts.values()]
        near = nearest(wanted.snapshot.rpartition("@")[2], names)
        hint = f"did you mean {near!r}?" if near else "`zfs-push-backups list` shows the snapshots that are committed"
        return UsageError(f"no backup holds the snapshot {wanted.snapshot!r}", hint=hint)
    oldest = min(state_time(backup, facts) for backup in backups)
    when = wanted.at.isoformat() if wanted.at else "then"
    return UsageError(f"no backup is as old as {when}", hint=f"the oldest one is of {oldest.isoformat()}")
