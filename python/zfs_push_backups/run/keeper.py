"""Takes and releases holds under one tag, each change journaled.

Invariant: a hold is noted before it is taken and forgotten after it was released, so that no crash leaves one that
nobody can name; what a command left open (no answer, a stop) stays noted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zfs_push_backups.catalogue.records import HeldSnapshot
from zfs_push_backups.errors import ZfsError
from zfs_push_backups.plan.holds import Place
from zfs_push_backups.zfs import holds as zfs_holds

if TYPE_CHECKING:
    from zfs_push_backups.catalogue.catalogue import Catalogue
    from zfs_push_backups.plan.holds import Need
    from zfs_push_backups.run.session import Session


class Keeper:
    """Takes and releases holds under one tag, each change journaled."""

    def __init__(self, session: Session, catalogue: Catalogue, repository: str, tag: str) -> None:
        self.session = session
        self.journal = catalogue.holds
        self.repository = repository
        self.tag = tag

    def own_notes(self) -> tuple[HeldSnapshot, ...]:
        """What is noted under this tag for this repository."""
        return tuple(held for held in self.journal.noted(self.repository) if held.tag == self.tag)

    def foreign_places(self) -> set[Place]:
        """What is noted under this tag for other repositories: the store was replaced, or a name is used twice."""
        everything = self.journal.noted()
        mine = (held for held in everything if held.tag == self.tag and held.repository != self.repository)
        return {place_of(held) for held in mine}

    def note(self, place: Place, name: str, need: Need) -> None:
        """Note a hold that is there or about to be taken."""
        self.journal.note(
            HeldSnapshot(
                repository=self.repository,
                tag=self.tag,
                dataset=place.dataset,
                snapshot=name,
                snapshot_guid=place.guid,
                task=need.task,
                reason=need.reason,
                since=self.session.now(),
            )
        )

    def forget(self, place: Place) -> None:
        """Forget a hold that is gone."""
        self.journal.forget(self.repository, place.dataset, place.guid, tag=self.tag)

    def hold(self, place: Place, name: str, need: Need) -> bool:
        """Note, then hold; False if it was held already. Raises `ZfsError`."""
        full_name = f"{place.dataset}@{name}"
        noted = place in map(place_of, self.own_notes())
        self.note(place, name, need)
        try:
            fresh = zfs_holds.hold(self.session.zfs, self.tag, full_name)
        except ZfsError as error:
            # A command that gave no answer may have done it all the same.
            if not noted and error.code != "zfs.timeout":
                self.forget(place)
            raise
        if fresh and zfs_holds.guid_of(self.session.zfs, full_name) not in (place.guid, None):
            zfs_holds.release(self.session.zfs, self.tag, full_name)
            self.forget(place)
            raise ZfsError(
                f"{full_name} was destroyed and made again while it was being held",
                hint="run again: the new snapshot will be looked at afresh",
                code="zfs.snapshot_replaced",
            )
        return fresh

    def release(self, place: Place, name: str) -> bool:
        """Release, then forget; False if it wasn't held. Raises `ZfsError`."""
        freed = zfs_holds.release(self.session.zfs, self.tag, f"{place.dataset}@{name}")
        self.forget(place)
        return freed


def place_of(held: HeldSnapshot) -> Place:
    """Where a noted hold is, or was."""
    return Place(held.dataset, held.snapshot_guid)
