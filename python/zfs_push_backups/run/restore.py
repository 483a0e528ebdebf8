"""Restore: choose the backups, look at all of them, then receive or write them.

Invariants: every backup of every chain passes the preflight before the first byte is received; a dataset that exists
is touched only with `force`; nothing that was there before is ever removed. An error in the middle says what exists.
"""

from __future__ import annotations

import logging
import os
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from zfs_push_backups.config.choice import choose_tasks
from zfs_push_backups.config.fields import unless_secret
from zfs_push_backups.errors import AccessDenied, ConfigurationError, StoreDamaged, UsageError
from zfs_push_backups.plan.chain import (
    Facts,
    Member,
    Wanted,
    choose,
    of_dataset,
    resolve,
    resolve_tree,
    state_time,
    tips,
)
from zfs_push_backups.record import Record
from zfs_push_backups.report.progress import human_bytes
from zfs_push_backups.run.receive_chain import TreeReceive
from zfs_push_backups.run.results import RestoreSummary
from zfs_push_backups.run.store import StoreView
from zfs_push_backups.run.write_stream import check_output, write_stream
from zfs_push_backups.zfs.names import check_dataset, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zfs_push_backups.config.models import Config, Host
    from zfs_push_backups.plan.listing import Backup
    from zfs_push_backups.run.options import RestoreOptions
    from zfs_push_backups.run.session import Session

log = logging.getLogger(__name__)


class Chain(Record):
    """One dataset's chain, the full first, and the dataset it goes to (empty for a file)."""

    dataset: str
    backups: tuple[Backup, ...]
    target: str


class Restoration(Record):
    """What every step of a restore needs."""

    options: RestoreOptions
    session: Session
    store: StoreView
    identities: tuple[str, ...]
    memory_budget: int


def restore(options: RestoreOptions, session: Session) -> RestoreSummary:
    """Run one restore; raises before anything is received if anything is amiss."""
    refuse_contradictions(options)
    config = session.configuration(options)
    host = session.host(config, options)
    identities = () if options.dry_run else readable_identities(options, config)
    store = StoreView(session, host)
    work = Restoration(options, session, store, identities, config.memory_budget)
    chains = chosen_chains(work, config, host)
    source = chains[0].backups[0].source
    if options.dry_run:
        for chain in chains:
            describe(work, chain)
        return RestoreSummary(host=host.name, source=source, restored=(), dry_run=True)
    receiver = TreeReceive(work, chains) if options.to else None
    if receiver:
        receiver.check_targets()
    else:
        check_output(chains[0], options.output or "-", force=options.force)
    backups = [backup for chain in chains for backup in chain.backups]
    store.manifests(backups)
    found = store.preflight(backups, identities)
    size = human_bytes(int(found.get("sealed_bytes", 0)))
    session.reporter.step(f"checked {len(backups)} backups, {found.get('parts')} parts, {size}: all there")
    restored = receiver.run() if receiver else (write_stream(work, chains[0]),)
    for one in restored:
        session.reporter.result(one.as_dict())
    return RestoreSummary(host=host.name, source=source, restored=restored)


def refuse_contradictions(options: RestoreOptions) -> None:
    """Refuse options that don't go together, before anything is looked at."""
    if not (options.to or options.output) and not options.dry_run:
        raise UsageError("where to?", hint="say --to POOL/DATASET or --output FILE")
    if options.to and options.output:
        raise UsageError("--to and --output contradict each other", hint="name one of them")
    if not (options.dataset or options.task or options.backup or options.group):
        raise UsageError("restore what?", hint="say --dataset or --task; `zfs-push-backups list` shows what there is")
    if options.dataset and options.task:
        raise UsageError("--dataset and --task contradict each other", hint="name one of them")
    which = [name for name in ("snapshot", "at", "backup", "group") if getattr(options, name)]
    if len(which) > 1:
        raise UsageError(f"--{which[0]} and --{which[1]} contradict each other", hint="name one of them")
    if (options.recursive or options.group) and options.output:
        raise UsageError("a tree can't go into one file", hint="use --to POOL/DATASET")
    if options.to:
        check_dataset(options.to)
    for name in ("mount", "properties", "mountpoints"):
        if getattr(options, name) and not options.to:
            raise UsageError(f"--{name} goes with --to only")


def readable_identities(options: RestoreOptions, config: Config) -> tuple[str, ...]:
    """The identity files, each of which must be readable."""
    files = options.identities or tuple(str(path) for path in config.identity)
    if not files:
        raise UsageError("no identity to open the backups with", hint="say --identity FILE (what keygen wrote)")
    for file in files:
        try:
            mode = Path(file).stat().st_mode
        except (FileNotFoundError, NotADirectoryError, ValueError):
            raise ConfigurationError(
                f"identity file {unless_secret(file)}: there is no such file", hint="correct --identity"
            ) from None
        except OSError as error:
            raise AccessDenied(f"identity file {file}: {error.strerror}", hint="run as its owner") from error
        if not stat.S_ISREG(mode):
            hint = "name a file: it is read once for each backup, so write a pipe's content to one on tmpfs first"
            raise ConfigurationError(f"identity file {file}: not a regular file", hint=hint)
        if not os.access(file, os.R_OK):
            raise AccessDenied(f"identity file {file}: not readable by this user", hint="run as its owner")
    return tuple(files)


def chosen_chains(work: Restoration, config: Config, host: Host) -> tuple[Chain, ...]:
    """The chains that the options mean, parents first."""
    options = work.options
    everything = work.store.backups()
    dataset = options.dataset
    if options.task:
        dataset = choose_tasks(config, host, (options.task,))[0].root
    if options.backup is not None:
        root = backup_of_id(options, everything, dataset)
    elif options.group is not None:
        root = root_of_group(work, everything, dataset)
    else:
        dataset = dataset or ""
        mine = of_dataset(everything, dataset, options.source or source_said(config, everything, dataset))
        wanted = Wanted(snapshot=options.snapshot, at=moment(options.at))
        facts = work.store.facts(mine if options.snapshot or options.at else tips(mine))
        root = choose(mine, wanted, facts)
    if not (options.recursive or options.group):
        only = (root,) if options.backup and options.output else resolve(root, everything)
        return (Chain(root.dataset or "", only, options.to or ""),)
    return tree_chains(work, root, everything)


def source_said(config: Config, everything: tuple[Backup, ...], dataset: str) -> str | None:
    """The configured `source:`, where it has backups of this dataset; a machine's own name is never guessed."""
    return config.source if any((b.source, b.dataset) == (config.source, dataset) for b in everything) else None


def tree_chains(work: Restoration, root: Backup, everything: tuple[Backup, ...]) -> tuple[Chain, ...]:
    """The chains of a whole tree; each dataset goes below the target as it lay below the root."""
    top = root.dataset or ""
    mine = [b for b in everything if b.source == root.source and f"{b.dataset}/".startswith(f"{top}/")]
    work.store.manifest(root)
    facts = work.store.facts(mine)
    members = resolve_tree(root, mine, facts)
    refuse_doubt(work, members, mine)
    for member in members:
        warn_of_moment(work, member, [b for b in mine if b.dataset == member.dataset], facts)
    target = work.options.to or ""
    return tuple(Chain(member.dataset, member.chain, target + member.dataset[len(top) :]) for member in members)


def refuse_doubt(work: Restoration, members: tuple[Member, ...], mine: list[Backup]) -> None:
    """A backup that can't be read, and is newer than the one chosen, may be the very one that is meant."""
    chosen = {member.dataset: member.chain[-1].created for member in members}
    for backup in mine:
        damage = work.store.damage(backup)
        if damage is not None and backup.created >= chosen.get(backup.dataset or "", backup.created):
            which = "`list --long` shows which are whole"
            hint = f"restore the datasets one by one, this one with --snapshot or --backup: {which}"
            raise StoreDamaged(damage, hint=hint)


def warn_of_moment(work: Restoration, member: Member, backups: list[Backup], facts: Mapping[str, Facts]) -> None:
    """Say it where a member of a tree is of another moment than the root, or older than what there is."""
    last, options = member.chain[-1], work.options
    newest = max((one for one in backups if one.id in facts), key=lambda backup: (state_time(backup, facts), backup.id))
    where = f"{member.dataset} comes from @{facts[last.id].snapshot} of {state_time(last, facts).isoformat()}"
    if not member.in_group:
        log.warning("%s, which was not pushed together with the root", where)
    if not (options.at or options.snapshot or options.backup or options.group) and (
        state_time(newest, facts) > state_time(last, facts)
    ):
        log.warning("%s, as the newest root; its own newest is @%s", where, facts[newest.id].snapshot)


def backup_of_id(options: RestoreOptions, everything: tuple[Backup, ...], dataset: str | None) -> Backup:
    """The backup of --backup; a dataset or source that was named as well must be its own."""
    listed = tuple(backup for backup in everything if options.source in (None, backup.source))
    for backup in listed:
        if backup.id == options.backup:
            if dataset not in (None, backup.dataset):
                raise UsageError(f"the backup {backup.id} is of {backup.dataset}, not of {dataset}", hint="name one")
            return backup
    near = nearest(options.backup or "", [backup.id for backup in listed])
    raise UsageError(f"no backup has the id {options.backup}", hint=f"did you mean {near}?" if near else "see `list`")


def root_of_group(work: Restoration, everything: tuple[Backup, ...], dataset: str | None) -> Backup:
    """The backup of a group that all others of it lie below, or the one of `dataset`; the newest of several."""
    options = work.options
    listed = tuple(backup for backup in everything if options.source in (None, backup.source))
    work.store.manifests(listed)
    facts = work.store.facts(listed)
    group = [backup for backup in listed if facts[backup.id].tree_group == options.group]
    if not group:
        near = nearest(options.group or "", {fact.tree_group for fact in facts.values() if fact.tree_group})
        hint = f"did you mean {near}?" if near else "`list --long` shows the groups"
        raise UsageError(f"no backup belongs to the group {options.group}", hint=hint)
    names = {facts[backup.id].dataset for backup in group}
    top = dataset or min(names, key=lambda name: (name.count("/"), name))
    shown = ", ".join(sorted(names))
    if top not in names:
        raise UsageError(f"the group {options.group} has no backup of {top}", hint=f"it has: {shown}")
    if dataset is None and not all(f"{name}/".startswith(f"{top}/") for name in names):
        raise UsageError(
            f"the group {options.group} has no dataset that all others lie below: {shown}",
            hint="restore each into a place of its own: say --dataset as well",
        )
    roots = [backup for backup in group if facts[backup.id].dataset == top]
    return max(roots, key=lambda backup: (state_time(backup, facts), backup.created, backup.id))


def describe(work: Restoration, chain: Chain) -> None:
    """Show one chain of a dry run: what would be read, and where it would go."""
    where = chain.target or work.options.output or "nowhere yet"
    for backup, manifest in work.store.manifests(chain.backups):
        size = human_bytes(sum(part["sealed_length"] for part in manifest["parts"]))
        name = f"{chain.dataset}@{manifest['snapshot']}"
        line = f"would restore {name} to {where}: level {backup.level}, {size}, {backup.id}"
        work.session.reporter.step(line)
        work.session.reporter.result({"dataset": chain.dataset, "target": where, "backup": backup.id, "dry_run": True})


def moment(text: str | None) -> datetime | None:
    """A time as people write it; without a zone it is this machine's."""
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        hint = "write 2026-11-21, 2026-11-21T01:00 or 2026-11-21T01:00:00Z"
        raise UsageError(f"--at {text!r} isn't a time", hint=hint) from None
