"""The backups of a store as LIST shows them, and the chains they form.

Invariants: nothing but the listing is used, so planning costs no reads; a backup counts only if its chain leads without
gap, loop or ambiguity to a full. Backups of different datasets or sources (different folders) never mix.
Rationale: parents are found by nonce, since a guid doesn't name a stream (raw and plain ones share it).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from zfs_push_backups.errors import InternalError, StoreDamaged

NO_PARENT: Final = "0"


@dataclass(frozen=True, slots=True)
class Backup:
    """One committed backup. `created` is when its push began (UTC); `dataset` None: the key holds only a hash of it."""

    key: str
    source: str
    dataset: str | None
    id: str
    level: int
    created: datetime
    snapshot_guid: int
    nonce: str
    parent_nonce: str

    @property
    def is_full(self) -> bool:
        """Whether it stands alone."""
        return self.parent_nonce == NO_PARENT

    @property
    def folder(self) -> str:
        """The part of the key that all backups of one dataset of one source share."""
        return self.key.rpartition("/@/")[0]

    @classmethod
    def from_report(cls, entry: Mapping[str, Any]) -> Backup:
        """The backup in one entry of the engine's `list` report. Raises InternalError if it isn't one."""
        try:
            created = datetime.fromisoformat(str(entry["created"]))
            return cls(
                key=str(entry["key"]),
                source=str(entry["source"]),
                dataset=None if entry["dataset"] is None else str(entry["dataset"]),
                id=str(entry["id"]),
                level=int(entry["level"]),
                created=created if created.tzinfo else created.replace(tzinfo=UTC),
                snapshot_guid=int(entry["snapshot_guid"]),
                nonce=str(entry["nonce"]),
                parent_nonce=str(entry["parent_nonce"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InternalError(f"the engine's listing has an entry that cannot be read: {error!r}") from error


class Chains:
    """The chains among some backups."""

    def __init__(self, backups: Iterable[Backup]) -> None:
        self.backups = tuple(backups)
        self._by_nonce: defaultdict[tuple[str, str], list[Backup]] = defaultdict(list)
        for backup in self.backups:
            self._by_nonce[backup.folder, backup.nonce].append(backup)

    def path(self, backup: Backup) -> tuple[Backup, ...]:
        """The full, what stands on it, and so on to `backup`. Raises StoreDamaged if that cannot be followed."""
        steps = [backup]
        while not steps[-1].is_full:
            child = steps[-1]
            parents = self._by_nonce.get((child.folder, child.parent_nonce), [])
            if not parents:
                raise _broken(backup, f"the parent of {child.id} (its id ends with {child.parent_nonce}) is gone")
            if len(parents) > 1:
                raise _broken(backup, f"{len(parents)} backups claim to be the parent of {child.id}")
            if parents[0] in steps:
                raise _broken(backup, f"{parents[0].id} is its own ancestor")
            steps.append(parents[0])
        if len(self._by_nonce[steps[-1].folder, steps[-1].nonce]) > 1:
            raise _broken(backup, f"several backups have the nonce of its full, {steps[-1].nonce}")
        return tuple(reversed(steps))

    def whole(self, backup: Backup) -> tuple[Backup, ...] | None:
        """The path of `backup`, or None if it cannot be followed."""
        try:
            return self.path(backup)
        except StoreDamaged:
            return None

    def on(self, full: Backup) -> tuple[Backup, ...]:
        """The full and every backup whose chain leads to it, oldest push first."""
        members = [backup for backup in self.backups if (path := self.whole(backup)) is not None and path[0] == full]
        return tuple(sorted(members, key=lambda backup: (backup.created, backup.id)))


def _broken(backup: Backup, why: str) -> StoreDamaged:
    return StoreDamaged(
        f"the chain of backup {backup.id} of {backup.dataset or backup.folder} is broken: {why}",
        hint="choose an older backup with --snapshot, and take a new full with --level 0",
    )
