"""Holds freed by hand: by snapshot name, or all of them.

Invariants: with the locks of every host concerned, taken before the journal is read for good; a name that nobody of us
holds is refused before anything noted is freed. Rationale: the store isn't asked, since one that is gone for ever is
the best reason to free what was held for it.
"""

from __future__ import annotations

import contextlib
import logging
import re
from typing import TYPE_CHECKING

from zfs_push_backups.config.models import Host
from zfs_push_backups.errors import UsageError, ZfsError
from zfs_push_backups.names import instead
from zfs_push_backups.plan.holds import TAG_PREFIX, Place, hold_tag
from zfs_push_backups.run.held import View, host_of, tag_asked_for
from zfs_push_backups.run.keeper import Keeper
from zfs_push_backups.run.locks import locked
from zfs_push_backups.run.state import look_at_catalogue, open_catalogue
from zfs_push_backups.zfs import holds as zfs_holds
from zfs_push_backups.zfs.names import split_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from zfs_push_backups.catalogue.catalogue import Catalogue
    from zfs_push_backups.catalogue.records import HeldSnapshot
    from zfs_push_backups.config.models import Config
    from zfs_push_backups.run.options import HoldsOptions
    from zfs_push_backups.run.session import Session

REPOSITORY_ID = re.compile(r"[0-9a-f]{32}")

log = logging.getLogger(__name__)


def release_holds(options: HoldsOptions, session: Session) -> tuple[str, ...]:
    """Free the holds named, or all; returns the full names of what was freed.

    Raises `UsageError` for a name that nobody of us holds, `ZfsError` where zfs refused.
    """
    refuse_contradictions(options)
    config = session.configuration(options)
    tag = tag_asked_for(options, session, config)
    tags = concerned(options, config, tag, peeked(config))
    if not tags:
        raise_unknown(options.names, ())
        return ()
    with contextlib.ExitStack() as stack:
        locks = [
            stack.enter_context(
                locked(session, config, host, command="holds release", wait_seconds=options.wait_seconds)
            )
            for host in (host_behind(one, config) for one in sorted(tags))
        ]
        catalogue = stack.enter_context(open_catalogue(config))
        noted = [note for note in catalogue.holds.noted() if note.tag in tags]
        by_url = {host_of(one) for one in tags if REPOSITORY_ID.fullmatch(host_of(one))}
        for repository in sorted(by_url | {note.repository for note in noted}):
            # All through one of them: a second lock of the same file would be kept out by the first.
            locks[0].repository(repository)
        return Releasing(session, config, catalogue, noted, tags).run(options)


def refuse_contradictions(options: HoldsOptions) -> None:
    """Refuse what isn't clear before anything is looked at."""
    if options.every and options.names:
        raise UsageError("--all and snapshot names contradict each other", hint="name the snapshots, or say --all")
    if not options.every and not options.names:
        raise UsageError("which holds? no snapshot is named", hint="`holds` lists them; --all frees every one")
    for name in options.names:
        split_snapshot(name)


def peeked(config: Config) -> tuple[HeldSnapshot, ...]:
    """What is noted, read without a lock: only to know whose locks to take."""
    catalogue = look_at_catalogue(config)
    if catalogue is None:
        return ()
    with catalogue:
        return catalogue.holds.noted()


def concerned(options: HoldsOptions, config: Config, tag: str | None, noted: Sequence[HeldSnapshot]) -> set[str]:
    """The tags that may have to go: that of the host named, else those noted, and where that isn't all every host's."""
    if tag is not None:
        return {tag}
    by_name: dict[str, set[str]] = {}
    for note in noted:
        by_name.setdefault(f"{note.dataset}@{note.snapshot}", set()).add(note.tag)
    if options.names and all(name in by_name for name in options.names):
        return {one for name in options.names for one in by_name[name]}
    return {note.tag for note in noted} | {hold_tag(host.name, None) for host in config.hosts}


def host_behind(tag: str, config: Config) -> Host:
    """The host of a tag, for its lock; one that no configuration names any more, or that was a URL, is made up."""
    name = host_of(tag)
    for host in config.hosts:
        if host.name == name:
            return host
    return Host.model_construct(name=f"repository://{name}" if REPOSITORY_ID.fullmatch(name) else name)


def raise_unknown(missing: Sequence[str], holds: Iterable[str]) -> None:
    """Refuse names that nobody of us holds, if there are any."""
    if missing:
        shown = " and ".join(missing)
        raise UsageError(f"no hold of this program on {shown}", hint=instead(missing[0], set(holds), "holds"))


class Releasing:
    """What one release does once it has its locks."""

    def __init__(
        self, session: Session, config: Config, catalogue: Catalogue, noted: Sequence[HeldSnapshot], tags: set[str]
    ) -> None:
        self.session = session
        self.catalogue = catalogue
        self.noted = noted
        self.tags = tags
        self.view = View(session, config, noted)
        if not self.view.looked:
            # Says why: without zfs nothing can be freed.
            session.zfs.run("list", "-H", "-o", "name")
        self.freed: list[str] = []
        self.refused: list[str] = []

    def run(self, options: HoldsOptions) -> tuple[str, ...]:
        """Free what nobody noted, then what is noted."""
        names = set(options.names)
        known = {name: note for note in self.noted for name in self.names_of(note)}
        unnoted = self.unnoted(None if options.every else names - known.keys())
        raise_unknown(sorted(names - known.keys() - unnoted), {*known, *unnoted})
        for note in self.noted:
            if options.every or names.intersection(self.names_of(note)):
                self.release(note)
        if self.refused:
            raise ZfsError("; ".join(self.refused), hint="all others are freed; run again for these")
        return tuple(dict.fromkeys(self.freed))

    def names_of(self, note: HeldSnapshot) -> set[str]:
        """The name that was noted, and those of now."""
        return {f"{note.dataset}@{note.snapshot}", *(self.view.name(place) for place in self.view.now(note))}

    def release(self, note: HeldSnapshot) -> None:
        """Free one noted hold, wherever its snapshot is now."""
        self.session.stop.check()
        keeper = Keeper(self.session, self.catalogue, note.repository, note.tag)
        here = self.view.now(note)
        name = f"{note.dataset}@{note.snapshot}"
        if not here and note.dataset.partition("/")[0] not in self.view.seen.whole_pools:
            self.refused.append(f"{name} can't be freed: its pool isn't here")
            return
        try:
            for place in here:
                name = self.view.name(place)
                if keeper.release(place, name.partition("@")[2]):
                    self.freed.append(name)
        except ZfsError as error:
            self.refused.append(error.message)
            return
        keeper.forget(Place(note.dataset, note.snapshot_guid))

    def unnoted(self, names: Iterable[str] | None) -> set[str]:
        """Free holds of ours that nobody noted: of these snapshots, or (None) of all that the tasks have."""
        held = {self.view.name(place) for place in self.view.suspects()}
        if names is None:
            noted = {name for note in self.noted for name in self.names_of(note)}
            wanted = held - noted
        else:
            wanted = set(names)
        return {name for name in sorted(wanted) if self.release_unnoted(name)}

    def release_unnoted(self, name: str) -> bool:
        """Try every tag of ours on one snapshot; whether it had one."""
        found = False
        for tag in sorted(self.tags):
            if self.view.tags is not None and name in self.view.tags and tag not in self.view.tags[name]:
                continue
            self.session.stop.check()
            try:
                found |= zfs_holds.release(self.session.zfs, tag, name)
            except ZfsError as error:
                self.refused.append(error.message)
        if found:
            self.freed.append(name)
        return found


def as_lines(freed: Sequence[str]) -> str:
    """What was freed, for people."""
    if not freed:
        return f"nothing was held under {TAG_PREFIX}*"
    again = "what an enabled task or a resumable run still needs is held again by the next push"
    return "\n".join([*(f"released {name}" for name in freed), f"({again})"])
