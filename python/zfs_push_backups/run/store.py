"""The store as a use case sees it: what is committed there, what manifests say, whether a restore can begin.

Invariant: reading only, but for `repository_id(create=True)` and a probe that may write. Requests are counted.
"""

from __future__ import annotations

import dataclasses
import logging
from typing import TYPE_CHECKING, Any

from zfs_push_backups import engine
from zfs_push_backups.engine_errors import translate
from zfs_push_backups.errors import StoreDamaged
from zfs_push_backups.plan.chain import Facts
from zfs_push_backups.plan.listing import Backup
from zfs_push_backups.run.jobs import run_job
from zfs_push_backups.run.results import add_requests

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from zfs_push_backups.config.models import Host
    from zfs_push_backups.errors import ZfsPushBackupsError
    from zfs_push_backups.run.session import Session

log = logging.getLogger(__name__)
Manifest = dict[str, Any]

_CHOOSE_ANOTHER = "restore another one (`list --long` shows which are whole), and push a new full with --level 0"


class StoreView:
    """One host's store. Manifests are read once and kept."""

    def __init__(self, session: Session, host: Host) -> None:
        self.session = session
        self.host = host
        self.config = store_config(host)
        self.requests: dict[str, int] = {}
        self.repository: str | None = None
        # The id of the repository that it must be, once that is known.
        self.expected: str | None = None
        self._manifests: dict[str, Manifest] = {}
        self._damage: dict[str, ZfsPushBackupsError] = {}

    def call(self, operation: dict[str, Any]) -> dict[str, Any]:
        """Run one store operation to its end."""
        report = run_job(self.session, engine.StoreJob({"store": self.config, "operation": operation}))
        add_requests(self.requests, report.get("requests") or {})
        return report

    def backups(self, source: str | None = None) -> tuple[Backup, ...]:
        """Everything committed (of one source). Where a key holds only a hash, the dataset's name is the manifest's.

        Raises `StoreDamaged` where another repository, or none, came in the place of the one expected.
        """
        report = self.call({"list": {"source": source, "dataset": None}})
        self.repository = (report.get("repository") or {}).get("id")
        if self.expected not in (None, self.repository):
            raise self._other_repository()
        listed = tuple(Backup.from_report(entry) for entry in report["backups"])
        hashed = [backup for backup in listed if backup.dataset is None]
        if not hashed:
            return listed
        names = {backup.key: manifest["dataset"] for backup, manifest in self.readable_manifests(hashed)}
        return tuple(
            dataclasses.replace(backup, dataset=names.get(backup.key)) if backup.dataset is None else backup
            for backup in listed
        )

    def _other_repository(self) -> StoreDamaged:
        stands = f"another repository, {self.repository}," if self.repository else "no repository any more"
        return StoreDamaged(
            f"there is {stands} at {self.host.url}, where {self.expected} was before",
            hint="if it is a disk, look whether it is mounted",
            code="engine.repository_changed",
        )

    def manifests(self, backups: Iterable[Backup]) -> list[tuple[Backup, Manifest]]:
        """Each backup with its manifest; only those not yet known are read. Raises for one that can't be read."""
        wanted = list(backups)
        self._read(wanted)
        for backup in wanted:
            if (damage := self._damage.get(backup.key)) is not None:
                damage.hint = damage.hint or _CHOOSE_ANOTHER
                raise damage
        return [(backup, self._manifests[backup.key]) for backup in wanted]

    def readable_manifests(self, backups: Iterable[Backup]) -> list[tuple[Backup, Manifest]]:
        """Each backup whose manifest can be read, with that; of the others a warning is given, once each."""
        wanted = list(backups)
        for key in self._read(wanted):
            log.warning("a backup is left out: %s", self._damage[key].message)
        return [(backup, self._manifests[backup.key]) for backup in wanted if backup.key in self._manifests]

    def damage(self, backup: Backup) -> str | None:
        """Why the manifest of a backup can't be read, where that was tried in vain."""
        found = self._damage.get(backup.key)
        return None if found is None else found.message

    def _read(self, backups: Sequence[Backup]) -> list[str]:
        """Read the manifests not yet known; returns the keys of those that were found damaged."""
        known = self._manifests.keys() | self._damage.keys()
        missing = [backup.key for backup in backups if backup.key not in known]
        if not missing:
            return []
        damaged = []
        report = self.call({"manifests": {"keys": missing}})
        for key, entry in zip(missing, report["manifests"], strict=True):
            if (damage := entry.get("damage")) is None:
                self._manifests[key] = entry["manifest"]
            else:
                self._damage[key] = translate(damage["code"], damage["message"], reads_backups=True)
                damaged.append(key)
        return damaged

    def manifest(self, backup: Backup) -> Manifest:
        """The manifest of one backup."""
        return self.manifests([backup])[0][1]

    def facts(self, backups: Iterable[Backup]) -> dict[str, Facts]:
        """What the planner needs of the manifests, by backup id; without those that can't be read."""
        return {
            backup.id: Facts(
                dataset=manifest["dataset"],
                snapshot=manifest["snapshot"],
                snapshot_created=manifest.get("snapshot_created"),
                tree_group=manifest.get("tree_group"),
            )
            for backup, manifest in self.readable_manifests(backups)
        }

    def create_repository(self) -> tuple[str, bool]:
        """Make the repository if the prefix holds none; return its id, and whether it was made."""
        report = self.call({"create_repository": {}})
        self.repository = str(report["repository"]["id"])
        return self.repository, bool(report["created"])

    def preflight(self, backups: Sequence[Backup], identities: Sequence[str]) -> dict[str, Any]:
        """Look at every part before the first byte is received; raises naming the bad part or identity."""
        keys = [backup.key for backup in backups]
        return self.call({"preflight": {"keys": keys, "identity_files": list(identities)}})

    def meta(self, backup: Backup, identities: Sequence[str]) -> dict[str, Any]:
        """Open what is sealed beside the parts: ZFS properties and statistics."""
        found = self.call({"meta": {"key": backup.key, "identity_files": list(identities)}})["meta"]
        return dict(found)

    def probe(self, *, write: bool, storage_classes: Sequence[str]) -> dict[str, Any]:
        """Try what a push will need."""
        return self.call({"probe": {"write": write, "storage_classes": list(storage_classes)}})


def store_config(host: Host) -> dict[str, Any]:
    """The engine's description of a host's store; absent settings keep the engine's defaults."""
    wanted = {
        "url": host.url,
        "endpoint": host.endpoint,
        "region": host.region,
        "checksum": host.checksum,
        "payload_signing": host.payload_signing,
        "path_style": host.path_style,
        "stall_seconds": int(host.stall_timeout.total_seconds()),
        "patience_seconds": int(host.retry_timeout.total_seconds()),
        "credentials_file": None if host.credentials_file is None else str(host.credentials_file),
        "profile": host.profile,
    }
    return {key: value for key, value in wanted.items() if value is not None}
